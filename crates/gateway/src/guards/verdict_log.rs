//! What guards have found, kept for those who look at it later: who, what, when, and the words
//! themselves only where the configuration says so.

use std::time::Duration;

use serde::Serialize;

use crate::auth::keys::random_chars;
use crate::host::Host;
use crate::record::GuardRecord;

/// How the names of verdicts begin.
pub const VERDICT_PREFIX: &str = "verdict/";

/// How long a verdict is kept.
pub const VERDICT_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Names count down from here, so that the newest is the first of a listing.
pub const MAX_TIMESTAMP_MILLIS: u64 = 9_999_999_999_999;

/// Something that a guard has found.
#[derive(Debug, Serialize)]
pub struct VerdictEntry<'a> {
    /// The `x-request-id`.
    pub request: &'a str,
    /// Who asked.
    pub consumer: &'a str,
    /// The route.
    pub route: &'a str,
    /// What was found.
    #[serde(flatten)]
    pub note: &'a GuardRecord,
    /// The beginning of the text, or why the guard failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A part of a name is cut to so many bytes: names have an end.
const MAX_PART_BYTES: usize = 48;

/// The parts of a name behind its time: whose request it was, and what was found by whom. So a store's
/// listing can be searched without reading what is listed.
fn key_parts(noted: &VerdictEntry<'_>) -> [String; 4] {
    let note = noted.note;
    [noted.consumer, &note.guard, &note.label, note.result].map(key_part)
}

/// A text as a part of a name.
pub fn key_part(text: &str) -> String {
    let mut part = String::new();
    openai::percent_encode(&text[..text.floor_char_boundary(MAX_PART_BYTES)], &mut part);
    part
}

/// Keeps a verdict, off the request's path.
pub fn store_verdict<P: Host>(host: &P, noted: &VerdictEntry<'_>) {
    #[derive(Serialize)]
    struct StoredVerdict<'a> {
        at_ms: u64,
        #[serde(flatten)]
        noted: &'a VerdictEntry<'a>,
    }
    let at_ms = host.now().as_millis();
    let time = MAX_TIMESTAMP_MILLIS.saturating_sub(at_ms);
    let parts = key_parts(noted).join("/");
    let name = format!("{VERDICT_PREFIX}{time:013}-{}/{parts}", random_chars(host, 12));
    let value = serde_json::to_vec(&StoredVerdict { at_ms, noted });
    let value = value.expect("texts and numbers always serialise");
    let task_host = host.clone();
    host.defer(async move {
        // The record has it too: a store that is away loses the words and not the fact.
        let _ = task_host.put(&name, value, Some(VERDICT_RETENTION)).await;
    });
}
