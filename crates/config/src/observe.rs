//! `[observe]` as parsed: metrics, traces, and logged content.

use std::time::Duration;

use http::HeaderName;
use secret::Secret;

use super::index::RouteIndex;

/// `[observe]`
#[derive(Debug)]
pub struct Observe {
    /// The number of consumers with their own metric series; all others share the series `other`.
    pub max_consumers: usize,
    /// The OTLP collector. `None` if nothing is exported.
    pub otlp: Option<Otlp>,
    /// The routes whose prompts and answers are logged, with the most characters of each text.
    pub content: Vec<(RouteIndex, usize)>,
    /// The request log.
    pub requests: RequestLog,
}

/// `[observe.requests]`: the request log of the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLog {
    /// The time for which a request is kept. Zero if there is no log.
    pub keep: Duration,
    /// The most requests of one hour.
    pub max: usize,
    /// The share of good requests that are kept, in thousandths.
    pub sample: u16,
}

impl Default for RequestLog {
    fn default() -> Self {
        Self { keep: Duration::from_secs(24 * 60 * 60), max: 2_000, sample: 1_000 }
    }
}

/// `[observe.otlp]`
#[derive(Debug)]
pub struct Otlp {
    /// The collector's base URL without a trailing slash. The exporter appends `/v1/traces` and `/v1/metrics`.
    pub endpoint: String,
    /// Additional headers, such as a key.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Whether spans are sent.
    pub traces: bool,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// The share of requests that are traced, in thousandths, if the caller's `traceparent` does not decide.
    pub sample: u16,
    /// `service.name`
    pub service: String,
}

impl Default for Observe {
    fn default() -> Self {
        let requests = RequestLog::default();
        Self { max_consumers: 100, otlp: None, content: Vec::new(), requests }
    }
}

impl Observe {
    /// The most characters of prompt and of answer that the log keeps for a route. `None` if it keeps
    /// no content.
    pub fn logged_content(&self, route: RouteIndex) -> Option<usize> {
        self.content.iter().find(|(other, _)| *other == route).map(|(_, max)| *max)
    }
}
