//! Cache entry: a JSON line with its metadata, and the body that its caller received.

use bytes::Bytes;
use civil_time::Timestamp;
use openai::{TokenSource, Tokens};
use serde::{Deserialize, Serialize};

const ENTRY_VERSION: u8 = 1;

/// The longest body that an entry can hold, in bytes: stores limit values to 1 MiB.
pub(crate) const MAX_ENTRY_BODY_BYTES: usize = (1 << 20) - (4 << 10);

/// Metadata of a cache entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheEntryHead {
    v: u8,
    /// Time of the answer.
    pub at: Timestamp,
    /// Time at which the entry expires.
    pub until: Timestamp,
    /// Route of the request.
    pub route: String,
    /// Consumer who received the answer.
    pub consumer: String,
    /// The `provider/model` that answered.
    pub target: String,
    /// Whether the body is a stream of events.
    pub stream: bool,
    /// Length of the body in bytes, because a store may truncate values.
    pub length: usize,
    /// Tokens of the answer.
    pub spent: StoredTokens,
}

/// Tokens of a stored answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredTokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the completion.
    pub output: u64,
    /// Prompt tokens that came from the provider's cache.
    pub cached: u64,
    /// Prompt tokens that the provider wrote to its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Completion tokens that were spent on reasoning.
    pub reasoning: u64,
    /// Whether the provider reported the usage.
    pub reported: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Tokens> for StoredTokens {
    fn from(tokens: Tokens) -> Self {
        let Tokens { input, output, cached, cache_write, reasoning, counted, doubt: _ } = tokens;
        let reported = counted == TokenSource::Reported;
        Self { input, output, cached, cache_write, reasoning, reported }
    }
}

impl From<StoredTokens> for Tokens {
    fn from(spent: StoredTokens) -> Self {
        let StoredTokens { input, output, cached, cache_write, reasoning, reported } = spent;
        let counted = if reported { TokenSource::Reported } else { TokenSource::Estimated };
        Self { input, output, cached, cache_write, reasoning, counted, doubt: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheEntry {
    pub head: CacheEntryHead,
    /// Body that the first caller received.
    pub body: Bytes,
}

impl CacheEntry {
    /// Creates an entry. The length in the head is replaced by the body's.
    pub(crate) fn new(head: CacheEntryHead, body: Bytes) -> Self {
        Self { head: CacheEntryHead { length: body.len(), ..head }, body }
    }

    /// Bytes in the store.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&self.head).expect("a head has only plain members");
        bytes.reserve_exact(1 + self.body.len());
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads an entry. `None` if it is truncated, or was written by another version.
    pub(crate) fn parse(bytes: &Bytes) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        let head: CacheEntryHead = json::from_bytes(&bytes[..end]).ok()?;
        let body = bytes.slice(end + 1..);
        (head.v == ENTRY_VERSION && head.length == body.len()).then_some(Self { head, body })
    }
}

impl CacheEntryHead {
    /// Creates the metadata of an answer.
    pub(crate) fn new(
        (at, until): (Timestamp, Timestamp),
        (route, consumer, target): (String, String, String),
        stream: bool,
        spent: StoredTokens,
    ) -> Self {
        Self { v: ENTRY_VERSION, at, until, route, consumer, target, stream, length: 0, spent }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use civil_time::Timestamp;

    use super::{CacheEntry, CacheEntryHead, StoredTokens};

    fn entry() -> CacheEntry {
        let names = ("chat".to_owned(), "app".to_owned(), "openai/gpt-4o".to_owned());
        let times = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        let spent = StoredTokens { input: 9, output: 2, reported: true, ..StoredTokens::default() };
        CacheEntry::new(
            CacheEntryHead::new(times, names, true, spent),
            Bytes::from_static(b"data: a\n\ndata: b\n\n"),
        )
    }

    #[test]
    fn entry_parses_back() {
        assert_eq!(CacheEntry::parse(&entry().to_bytes().into()), Some(entry()));
    }

    #[test]
    fn corrupt_entry_is_not_parsed() {
        let whole = entry().to_bytes();
        for end in 0..whole.len() {
            assert_eq!(CacheEntry::parse(&Bytes::copy_from_slice(&whole[..end])), None, "{end}");
        }
        let text = String::from_utf8(whole).expect("text");
        for broken in [
            format!("{text} "),
            text.replacen("\"v\":1", "\"v\":2", 1),
            format!("\n{text}"),
            text.replacen("at", "ta", 1),
        ] {
            assert_eq!(CacheEntry::parse(&broken.clone().into()), None, "{broken}");
        }
    }
}
