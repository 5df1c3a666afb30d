//! `GET /verdicts`: verdicts of guards, newest first.

use civil_time::Timestamp;
use config::Role;
use serde_json::{Value, json};

use crate::guards::verdict_log::{VERDICT_PREFIX, key_part};
use crate::host::Host;
use crate::host::newest_first::MAX_TIMESTAMP_MILLIS;

use super::AdminRequest;
use super::pagination::read_page;
use super::response::{AdminResponse, AdminResult, rfc3339_json};

/// Names examined at most for one response; the cursor continues after them.
const MAX_NAMES_READ: usize = 2_000;

/// Filters, in the order of their values in a name after [`VERDICT_PREFIX`].
const FILTERS: [&str; 4] = ["consumer", "guard", "label", "result"];

pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request
        .parse_query(&["consumer", "guard", "label", "result", "from", "to", "limit", "cursor"])?;
    let wanted = FILTERS.map(|name| query.get(name).map(key_part));
    let (from, to) = (query.time("from")?, query.time("to")?);
    let limit = query.page_limit()?;
    // Content of users needs a higher role than verdicts alone.
    let shows_content = request.operator.role >= Role::Editor;
    let found =
        read_page(&request.key_store(), VERDICT_PREFIX, query.get("cursor"), MAX_NAMES_READ)
            .await?;
    let (mut verdicts, mut seen, mut is_over) = (Vec::new(), 0, false);
    for name in &found.names {
        if verdicts.len() == limit {
            break;
        }
        seen += 1;
        let at = timestamp_of(name);
        // Newest first: no later name is in the requested time range.
        is_over = from.is_some_and(|from| at < from);
        if is_over {
            break;
        }
        let parts = name.split('/').skip(1);
        let fits = wanted
            .iter()
            .zip(parts)
            .all(|(wanted, part)| wanted.as_deref().is_none_or(|wanted| wanted == part));
        if !fits || to.is_some_and(|to| at >= to) {
            continue;
        }
        let Some(bytes) = request.host.get(&format!("{VERDICT_PREFIX}{name}")).await? else {
            continue;
        };
        let Ok(mut verdict) = json::from_bytes::<Value>(&bytes) else { continue };
        verdict["id"] = json!(name.split('/').next());
        // The stored entry has other names.
        if let Some(members) = verdict.as_object_mut() {
            let millis = members.remove("at_ms").and_then(|at| at.as_u64());
            let at = millis.map_or(at, Timestamp::from_millis);
            members.insert("at".to_owned(), rfc3339_json(at));
            let id = members.remove("request").unwrap_or_default();
            members.insert("request_id".to_owned(), id);
            if !shows_content {
                members.remove("content");
            }
        }
        verdicts.push(verdict);
    }
    let cursor = if is_over { None } else { found.cursor_after(seen) };
    Ok(AdminResponse::json(&json!({ "data": verdicts, "cursor": cursor })))
}

/// Time of the verdict with this name.
fn timestamp_of(name: &str) -> Timestamp {
    let left =
        name.split('-').next().and_then(|time| time.parse().ok()).unwrap_or(MAX_TIMESTAMP_MILLIS);
    Timestamp::from_millis(MAX_TIMESTAMP_MILLIS.saturating_sub(left))
}
