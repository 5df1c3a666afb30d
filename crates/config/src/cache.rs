//! `[cache]` as parsed.

use std::time::Duration;

use super::index::RouteIndex;

/// `[cache]`
#[derive(Debug)]
pub struct Cache {
    /// The routes whose answers are stored. `None` for all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Time to live of an entry.
    pub ttl: Duration,
    /// The greatest reduction of a time to live, in thousandths, so that entries do not expire together.
    pub jitter: u16,
    /// Callers that share an entry.
    pub scope: CacheScope,
    /// The highest temperature, in thousandths, at which an answer is stored. An answer to a request without
    /// a temperature is stored too.
    pub max_temperature: u32,
    /// The longest answer that is stored, in bytes.
    pub max_entry: usize,
    /// The pause between the events of a stored stream. `None` if it is sent at once.
    pub pace: Option<Duration>,
    /// Whether an answer from the cache counts toward limits like a new one.
    pub charge: bool,
}

/// Callers that share a cache entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// The consumer whose request filled it.
    #[default]
    Consumer,
    /// The members of that consumer's group; a consumer without a group has its own entries.
    Group,
    /// All callers.
    All,
}
