//! The cache, the memory of conversations and what is told to observers, as parsed.

use std::time::Duration;

use http::HeaderName;
use secret::Secret;

use super::model::RouteIndex;

/// `[cache]`
#[derive(Debug)]
pub struct Cache {
    /// The routes whose answers are kept; `None` means all.
    pub routes: Option<Vec<RouteIndex>>,
    /// How long an answer is kept.
    pub ttl: Duration,
    /// By what part a time to live may be shorter, in thousandths, so that not all end at once.
    pub jitter: u16,
    /// Who may be served whose answer.
    pub scope: CacheScope,
    /// Above this temperature, in thousandths, nothing is kept. Requests that name none are kept.
    pub max_temperature: u32,
    /// The longest answer that is kept, in bytes.
    pub max_entry: usize,
    /// How a kept stream is told: `None`, at once; else with this pause between its events.
    pub pace: Option<Duration>,
    /// Whether an answer from the cache is charged to limits as if it had been bought.
    pub charge: bool,
}

/// Who may be served whose answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// Only whoever asked first.
    #[default]
    Consumer,
    /// The members of its group; a consumer without one is alone.
    Group,
    /// Everybody.
    All,
}

/// `[history]`: the last turns of a conversation, put before a question that comes alone.
#[derive(Debug)]
pub struct History {
    /// The routes that remember; `None` means all.
    pub routes: Option<Vec<RouteIndex>>,
    /// What names a caller's conversation.
    pub session: SessionSource,
    /// The most turns (a question and its answer) that are put before a request.
    pub turns: usize,
    /// The most bytes of them.
    pub max_bytes: usize,
    /// How long a conversation is kept after its last turn.
    pub ttl: Duration,
}

/// What names a caller's conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSource {
    /// A header's value.
    Header(HeaderName),
    /// The request's `user`.
    User,
}

/// `[observe]`
#[derive(Debug)]
pub struct Observe {
    /// How many consumers metrics tell apart; others are `other`.
    pub max_consumers: usize,
    /// Where traces and metrics are sent; `None`: nowhere.
    pub otlp: Option<Otlp>,
    /// The routes whose prompts and answers are in the log, and how much of them.
    pub content: Vec<(RouteIndex, usize)>,
}

/// `[observe.otlp]`
#[derive(Debug)]
pub struct Otlp {
    /// The collector's base, without a slash at the end: `/v1/traces` and `/v1/metrics` come behind.
    pub endpoint: String,
    /// More headers, such as a key.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Whether spans are sent.
    pub traces: bool,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// What part of requests is traced, in thousandths, where the caller's `traceparent` does not say.
    pub sample: u16,
    /// `service.name`
    pub service: String,
}

impl Default for Observe {
    fn default() -> Self {
        Self { max_consumers: 100, otlp: None, content: Vec::new() }
    }
}

impl Observe {
    /// The most characters of prompt and of answer that the log keeps for a route. `None` if it keeps
    /// no content.
    pub fn logged_content(&self, route: RouteIndex) -> Option<usize> {
        self.content.iter().find(|(other, _)| *other == route).map(|(_, max)| *max)
    }
}
