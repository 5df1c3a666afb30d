//! The audit log: who changed what, when and from where.
//!
//! An entry is written before the change is made, and where it cannot be written the change is not
//! made: a change is never without its entry. A change that then fails leaves a second entry that says
//! so (if the store is there to take it), with the same request id. What is refused because it is
//! wrong changes nothing and leaves none. No entry is ever written again.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json;
use crate::keys::random;
use crate::platform::{Clock, Platform, Store};
use crate::time::Timestamp;

use super::page::page;
use super::reply::{Answer, Failure, Reply};
use super::{Call, operator};

const NAMES: &str = "audit/";

/// How long an entry is kept.
pub(super) const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// At most so many entries are read for one answer.
const MOST_READ: usize = 200;

/// Names count down from here, so that the newest is the first of a listing. 13 digits of milliseconds
/// last until the year 2286.
const END: u64 = 9_999_999_999_999;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    at: Timestamp,
    by: String,
    role: String,
    action: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    request_id: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    detail: Value,
    /// The code of what went wrong after it was said that this would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl<P: Platform> Call<'_, P> {
    /// Logs a change and makes it. `detail` holds nothing secret.
    pub(super) async fn log<T>(
        &self,
        action: &'static str,
        target: String,
        detail: Value,
        change: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let entry = self.announce(action, target, detail).await?;
        let done = change.await;
        if let Err(failure) = &done {
            self.withdraw(entry, failure).await;
        }
        done
    }

    // Apart from the change, whatever that is: so they are in the bundle once.

    async fn announce(
        &self,
        action: &'static str,
        target: String,
        detail: Value,
    ) -> Result<Entry, Failure> {
        let entry = Entry {
            at: self.platform.now(),
            by: self.operator.name.to_owned(),
            role: operator::name(self.operator.role).to_owned(),
            action: action.to_owned(),
            target,
            from: self.desk.address.map(|address| address.to_string()),
            request_id: self.request_id.to_owned(),
            detail,
            failed: None,
        };
        write(self.platform, &entry).await?;
        Ok(entry)
    }

    async fn withdraw(&self, mut entry: Entry, failure: &Failure) {
        entry.at = self.platform.now();
        entry.failed = Some(failure.code.to_owned());
        // The operator is told of the failure itself in any case.
        let _ = write(self.platform, &entry).await;
    }
}

async fn write(platform: &(impl Clock + Store), entry: &Entry) -> Result<(), Failure> {
    let time = END.saturating_sub(entry.at.as_millis());
    let name = format!("{NAMES}{time:013}-{}", random(platform, 12));
    let value = serde_json::to_vec(entry).expect("entries have only plain members");
    Ok(platform.put(&name, value, Some(KEPT)).await?)
}

/// `GET /audit`: the newest first.
pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["limit", "cursor", "target"])?;
    let (limit, target) = (query.limit()?, query.text("target"));
    // Where entries are chosen, more must be read than are shown.
    let most = if target.is_some() { MOST_READ } else { limit };
    let shelf = call.shelf();
    let found = page(&shelf, NAMES, query.text("cursor"), most).await?;
    let mut entries = Vec::new();
    let mut read = 0;
    for name in &found.names {
        if entries.len() == limit {
            break;
        }
        read += 1;
        let Some(bytes) = call.platform.get(&format!("{NAMES}{name}")).await? else { continue };
        let Ok(entry) = json::from_bytes::<Entry>(&bytes) else { continue };
        if target.is_none_or(|target| is_within(&entry.target, target)) {
            entries.push(shown(name, &entry));
        }
    }
    Ok(Reply::json(&json!({ "data": entries, "cursor": found.cursor_after(read) })))
}

/// Whether a target is the one that is asked for, or a part of it.
fn is_within(target: &str, wanted: &str) -> bool {
    target.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn shown(id: &str, entry: &Entry) -> Value {
    let mut shown = json!(entry);
    shown["id"] = json!(id);
    shown["at"] = json!(entry.at.as_millis() / 1_000);
    shown
}
