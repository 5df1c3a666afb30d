//! Verdict log: findings of guards, stored for operators. Texts are stored only if the
//! configuration says so.

use std::time::Duration;

use json::percent::{self, UNRESERVED};
use serde::Serialize;

use crate::auth::keys::random_chars;
use crate::host::Host;
use crate::host::newest_first::newest_first_key;
use crate::record::GuardRecord;

/// Prefix of the keys of verdicts.
pub(crate) const VERDICT_PREFIX: &str = "verdict/";

/// Retention of a verdict.
pub(crate) const VERDICT_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A finding of a guard.
#[derive(Debug, Serialize)]
pub(crate) struct VerdictEntry<'a> {
    /// Value of `x-request-id`.
    pub request: &'a str,
    pub consumer: &'a str,
    pub route: &'a str,
    #[serde(flatten)]
    pub finding: &'a GuardRecord,
    /// The beginning of the text, or the reason of the guard's failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Bytes to which a part of a key is cut, because stores limit the length of keys.
const MAX_PART_BYTES: usize = 48;

/// Parts of a key behind its time: the request's properties and the finding's. They allow a search
/// in a listing without reads of the values.
fn key_parts(entry: &VerdictEntry<'_>) -> [String; 4] {
    let finding = entry.finding;
    [entry.consumer, &finding.guard, &finding.label, finding.result].map(key_part)
}

/// Encodes a text as a part of a key.
pub(crate) fn key_part(text: &str) -> String {
    let mut part = String::new();
    let cut = &text[..text.floor_char_boundary(MAX_PART_BYTES)];
    percent::encode(cut, &UNRESERVED, &mut part);
    part
}

/// Stores a verdict in the background.
pub(crate) fn store_verdict<P: Host>(host: &P, entry: &VerdictEntry<'_>) {
    #[derive(Serialize)]
    struct StoredVerdict<'a> {
        at_ms: u64,
        #[serde(flatten)]
        entry: &'a VerdictEntry<'a>,
    }
    let now = host.now();
    let (at_ms, time) = (now.as_millis(), newest_first_key(now));
    let parts = key_parts(entry).join("/");
    let name = format!("{VERDICT_PREFIX}{time}-{}/{parts}", random_chars(host, 12));
    let value = serde_json::to_vec(&StoredVerdict { at_ms, entry });
    let value = value.expect("strings and numbers always serialize");
    let task_host = host.clone();
    host.defer(async move {
        // The record holds the finding too: an unavailable store only loses the text.
        let _ = task_host.put(&name, value, Some(VERDICT_RETENTION)).await;
    });
}
