//! `[observe]` as parsed: metrics, traces, and logged content.

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
