//! `GET /verdicts`: verdicts of guards, newest first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use civil_time::Timestamp;
use config::Role;
use json::percent;
use serde_json::{Value, json};

use crate::guards::verdict_log::{VERDICT_PREFIX, key_part};
use crate::host::Host;
use crate::host::newest_first::MAX_TIMESTAMP_MILLIS;

use super::AdminRequest;
use super::pagination::read_page;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// Names examined at most for one response; the cursor continues after them.
const MAX_NAMES_READ: usize = 2_000;

/// Names counted at most for one response: ten pages of Workers KV.
const MAX_NAMES_COUNTED: usize = 10_000;

/// Filters, in the order of their values in a name after [`VERDICT_PREFIX`].
const FILTERS: [&str; 4] = ["consumer", "guard", "label", "result"];

/// Criteria of a search.
struct Search {
    /// Encoded values, in the order of [`FILTERS`].
    wanted: [Option<String>; 4],
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// Result of a comparison with them.
enum Match {
    Found,
    Other,
    /// Older than the time range, as all later names are.
    Over,
}

impl Search {
    fn parse(query: &Query) -> Result<Self, AdminError> {
        let wanted = FILTERS.map(|name| query.get(name).map(key_part));
        Ok(Self { wanted, from: query.time("from")?, to: query.time("to")? })
    }

    fn judge(&self, name: &str) -> Match {
        let at = timestamp_of(name);
        if self.from.is_some_and(|from| at < from) {
            return Match::Over;
        }
        let parts = name.split('/').skip(1);
        let mut pairs = self.wanted.iter().zip(parts);
        let fits =
            pairs.all(|(wanted, part)| wanted.as_deref().is_none_or(|wanted| wanted == part));
        if fits && self.to.is_none_or(|to| at < to) { Match::Found } else { Match::Other }
    }
}

/// `GET /verdicts`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request
        .parse_query(&["consumer", "guard", "label", "result", "from", "to", "limit", "cursor"])?;
    let search = Search::parse(&query)?;
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
        match search.judge(name) {
            Match::Found => {}
            Match::Other => continue,
            Match::Over => {
                is_over = true;
                break;
            }
        }
        let Some(bytes) = request.host.get(&format!("{VERDICT_PREFIX}{name}")).await? else {
            continue;
        };
        let Ok(mut verdict) = json::from_bytes::<Value>(&bytes) else { continue };
        verdict["id"] = json!(name.split('/').next());
        // The stored entry has other names.
        if let Some(members) = verdict.as_object_mut() {
            let millis = members.remove("at_ms").and_then(|at| at.as_u64());
            let at = millis.map_or_else(|| timestamp_of(name), Timestamp::from_millis);
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

/// `GET /verdicts/summary`: numbers of verdicts, the greatest first. The names alone tell everything, so no
/// value is read.
pub(super) async fn summarize<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query =
        request.parse_query(&["consumer", "guard", "label", "result", "from", "to", "cursor"])?;
    let search = Search::parse(&query)?;
    let cursor = query.get("cursor");
    let found = read_page(&request.key_store(), VERDICT_PREFIX, cursor, MAX_NAMES_COUNTED).await?;
    let mut counts: BTreeMap<Vec<&str>, u64> = BTreeMap::new();
    let mut is_over = false;
    for name in &found.names {
        match search.judge(name) {
            Match::Found => *counts.entry(name.split('/').skip(1).collect()).or_default() += 1,
            Match::Other => {}
            Match::Over => {
                is_over = true;
                break;
            }
        }
    }
    let mut counts: Vec<(Vec<&str>, u64)> = counts.into_iter().collect();
    sorting::sort_by_key(&mut counts, |(_, count)| Reverse(*count));
    let row = |(parts, count): (Vec<&str>, u64)| {
        let part = |position: usize| parts.get(position).and_then(|part| percent::decode(part));
        let [consumer, guard, label, result] = [0, 1, 2, 3].map(part);
        json!({ "consumer": consumer, "guard": guard, "label": label, "result": result, "count": count })
    };
    let data: Vec<Value> = counts.into_iter().map(row).collect();
    let cursor = found.cursor.filter(|_| !is_over);
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": cursor })))
}

/// Time of the verdict with this name.
fn timestamp_of(name: &str) -> Timestamp {
    let left =
        name.split('-').next().and_then(|time| time.parse().ok()).unwrap_or(MAX_TIMESTAMP_MILLIS);
    Timestamp::from_millis(MAX_TIMESTAMP_MILLIS.saturating_sub(left))
}
