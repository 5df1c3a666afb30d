//! An answer as it is kept: a line of JSON that describes it, and the bytes that its caller was shown.

use bytes::Bytes;
use civil_time::Timestamp;
use openai::{TokenSource, Tokens};
use serde::{Deserialize, Serialize};

const ENTRY_VERSION: u8 = 1;

/// The longest body that an entry can hold, in bytes: a store takes values of 1 MiB.
pub const MAX_ENTRY_BODY_BYTES: usize = (1 << 20) - (4 << 10);

/// What is known of an answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntryHead {
    v: u8,
    /// When it was answered.
    pub at: Timestamp,
    /// From when on it is not served.
    pub until: Timestamp,
    /// The route that it came by.
    pub route: String,
    /// Who was answered.
    pub consumer: String,
    /// The `provider/model` that answered.
    pub target: String,
    /// Whether the body is a stream of events.
    pub stream: bool,
    /// How many bytes follow: a store may cut.
    pub length: usize,
    /// What it cost.
    pub spent: StoredTokens,
}

/// The tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Those of the prompt that came from the provider's cache.
    pub cached: u64,
    /// Those of the answer that were spent on reasoning.
    pub reasoning: u64,
    /// Whether the provider said so.
    pub reported: bool,
}

impl From<Tokens> for StoredTokens {
    fn from(tokens: Tokens) -> Self {
        let Tokens { input, output, cached, reasoning, counted } = tokens;
        Self { input, output, cached, reasoning, reported: counted == TokenSource::Reported }
    }
}

impl From<StoredTokens> for Tokens {
    fn from(spent: StoredTokens) -> Self {
        let StoredTokens { input, output, cached, reasoning, reported } = spent;
        let counted = if reported { TokenSource::Reported } else { TokenSource::Estimated };
        Self { input, output, cached, reasoning, counted }
    }
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// What is known of it.
    pub head: CacheEntryHead,
    /// The bytes that were shown.
    pub body: Bytes,
}

impl CacheEntry {
    /// An answer that is to be kept. The length in the head is the body's.
    pub fn new(head: CacheEntryHead, body: Bytes) -> Self {
        Self { head: CacheEntryHead { length: body.len(), ..head }, body }
    }

    /// What a store keeps.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&self.head).expect("a head has only plain members");
        bytes.reserve_exact(1 + self.body.len());
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads what a store has kept. `None`: it is not whole, or was written by another version.
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        let head: CacheEntryHead = json::from_bytes(&bytes[..end]).ok()?;
        let body = bytes.slice(end + 1..);
        (head.v == ENTRY_VERSION && head.length == body.len()).then_some(Self { head, body })
    }
}

impl CacheEntryHead {
    /// Describes an answer.
    pub fn new(
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
    fn what_is_written_is_read() {
        assert_eq!(CacheEntry::parse(&entry().to_bytes().into()), Some(entry()));
    }

    #[test]
    fn what_is_broken_is_not_served() {
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
