//! The list of all metrics: their names, labels and meanings.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// How something is distributed: `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
}

/// `serin_requests_total`
pub(super) const REQUESTS: Metric = counter(
    "serin_requests_total",
    "Requests that are over, by the status that the caller got, truncated or hung_up.",
    &["route", "provider", "model", "consumer", "status"],
);
/// `serin_request_duration_seconds`
pub(super) const DURATION: Metric = Metric {
    name: "serin_request_duration_seconds",
    kind: MetricKind::Histogram,
    help: "Time from a request's arrival to the end of its answer.",
    labels: &["route", "provider", "model"],
};
/// `serin_time_to_first_token_seconds`
pub(super) const FIRST_TOKEN: Metric = Metric {
    name: "serin_time_to_first_token_seconds",
    kind: MetricKind::Histogram,
    help: "Time from a request's arrival to the first content of its answer.",
    labels: &["route", "provider", "model"],
};
/// `serin_tokens_total`
pub(super) const TOKENS: Metric = counter(
    "serin_tokens_total",
    "Tokens; cached ones are among the input, reasoning ones among the output.",
    &["route", "provider", "model", "consumer", "kind", "counted"],
);
/// `serin_cost_usd_total`
pub(super) const COST: Metric = counter(
    "serin_cost_usd_total",
    "What the tokens cost by the configuration's prices.",
    &["route", "provider", "model", "consumer"],
);
/// `serin_limited_total`
pub(super) const LIMITED: Metric = counter(
    "serin_limited_total",
    "Requests that a limit refused or sent to a fallback.",
    &["limit", "consumer"],
);
/// `serin_fallback_total`
pub(super) const FALLBACK: Metric = counter(
    "serin_fallback_total",
    "Calls to another target than the one before, by what came of that one.",
    &["route", "from", "to", "reason"],
);
/// `serin_upstream_calls_total`
pub(super) const CALLS: Metric = counter(
    "serin_upstream_calls_total",
    "Calls to upstreams, by what came of each.",
    &["route", "provider", "model", "result"],
);
/// `serin_cache_total`
pub(super) const CACHE: Metric =
    counter("serin_cache_total", "Requests that asked the response cache.", &["route", "result"]);
/// `serin_guard_total`
pub(super) const GUARD: Metric = counter(
    "serin_guard_total",
    "What guards found.",
    &["guard", "phase", "result", "label", "consumer"],
);

/// Every metric, in the order in which they are shown.
pub const ALL: [Metric; 10] =
    [REQUESTS, DURATION, FIRST_TOKEN, TOKENS, COST, LIMITED, CALLS, FALLBACK, CACHE, GUARD];

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Metric {
    Metric { name, kind: MetricKind::Counter, help, labels }
}
