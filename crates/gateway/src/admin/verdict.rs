//! `GET /verdicts`: what guards have found, the newest first.

use serde_json::{Value, json};

use crate::config::Role;
use crate::date;
use crate::json;
use crate::platform::Platform;
use crate::time::Timestamp;
use crate::verdicts::{END, NAMES, part};

use super::Call;
use super::page::page;
use super::query::Query;
use super::reply::{Answer, Failure, Reply};

/// At most so many names are looked at for one answer; where more must be, the cursor goes on.
const MOST_NAMES: usize = 2_000;

/// What a name behind [`NAMES`] may be chosen by, in the order in which it stands there.
const CHOSEN_BY: [&str; 4] = ["consumer", "guard", "label", "result"];

pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query =
        call.query(&["consumer", "guard", "label", "result", "from", "to", "limit", "cursor"])?;
    let wanted = CHOSEN_BY.map(|name| query.text(name).map(part));
    let (from, to) = (moment(&query, "from")?, moment(&query, "to")?);
    let limit = query.limit()?;
    // What people have said is not for everybody who may look.
    let shows_content = call.operator.role >= Role::Editor;
    let found = page(&call.shelf(), NAMES, query.text("cursor"), MOST_NAMES).await?;
    let (mut verdicts, mut seen, mut is_over) = (Vec::new(), 0, false);
    for name in &found.names {
        if verdicts.len() == limit {
            break;
        }
        seen += 1;
        let at = at(name);
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
        let Some(bytes) = call.platform.get(&format!("{NAMES}{name}")).await? else { continue };
        let Ok(mut verdict) = json::from_bytes::<Value>(&bytes) else { continue };
        verdict["id"] = json!(name.split('/').next());
        if !shows_content && let Some(members) = verdict.as_object_mut() {
            members.remove("content");
        }
        verdicts.push(verdict);
    }
    let cursor = if is_over { None } else { found.cursor_after(seen) };
    Ok(Reply::json(&json!({ "data": verdicts, "cursor": cursor })))
}

/// When a verdict of this name was given.
fn at(name: &str) -> Timestamp {
    let left = name.split('-').next().and_then(|time| time.parse().ok()).unwrap_or(END);
    Timestamp::from_millis(END.saturating_sub(left))
}

fn moment(query: &Query, name: &'static str) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let expected = "whole seconds since 1970 or a time such as \"2026-01-31T09:00:00Z\"";
    let wrong = || Failure::invalid(name, format!("{text:?}"), expected);
    date::moment(text).map(Some).ok_or_else(wrong)
}
