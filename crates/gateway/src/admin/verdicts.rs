//! `GET /verdicts`: what guards have found, the newest first.

use civil_time::{Timestamp, rfc3339};
use config::Role;
use serde_json::{Value, json};

use crate::guards::verdict_log::{MAX_TIMESTAMP_MILLIS, VERDICT_PREFIX, key_part};
use crate::host::Host;

use super::AdminRequest;
use super::pagination::read_page;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult};

/// At most so many names are looked at for one answer; where more must be, the cursor goes on.
const MAX_NAMES_READ: usize = 2_000;

/// What a name behind [`NAMES`] may be chosen by, in the order in which it stands there.
const FILTERS: [&str; 4] = ["consumer", "guard", "label", "result"];

pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request
        .parse_query(&["consumer", "guard", "label", "result", "from", "to", "limit", "cursor"])?;
    let wanted = FILTERS.map(|name| query.get(name).map(key_part));
    let (from, to) = (parse_moment(&query, "from")?, parse_moment(&query, "to")?);
    let limit = query.page_limit()?;
    // What people have said is not for everybody who may look.
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
        // The newest come first, so that none of the time that is asked for follows.
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
        if !shows_content && let Some(members) = verdict.as_object_mut() {
            members.remove("content");
        }
        verdicts.push(verdict);
    }
    let cursor = if is_over { None } else { found.cursor_after(seen) };
    Ok(AdminResponse::json(&json!({ "data": verdicts, "cursor": cursor })))
}

/// When a verdict of this name was given.
fn timestamp_of(name: &str) -> Timestamp {
    let left =
        name.split('-').next().and_then(|time| time.parse().ok()).unwrap_or(MAX_TIMESTAMP_MILLIS);
    Timestamp::from_millis(MAX_TIMESTAMP_MILLIS.saturating_sub(left))
}

fn parse_moment(query: &Query, name: &'static str) -> Result<Option<Timestamp>, AdminError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let expected = "whole seconds since 1970 or a time such as \"2026-01-31T09:00:00Z\"";
    let wrong = || AdminError::invalid(name, format!("{text:?}"), expected);
    rfc3339::parse_timestamp(text).map(Some).ok_or_else(wrong)
}
