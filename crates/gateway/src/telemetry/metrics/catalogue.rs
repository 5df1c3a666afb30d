//! Catalogue of all metrics: names, labels, and help texts.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Counter,
    /// A distribution: `_bucket`, `_sum` and `_count`.
    Histogram,
    /// A value of the moment, of the isolate that answers.
    Gauge,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
    /// Label names, in the order of output.
    pub labels: &'static [&'static str],
}

pub(super) const REQUESTS: Metric = counter(
    "serin_requests_total",
    "Requests that are over, by the status that the caller got, truncated or hung_up.",
    &["route", "provider", "model", "consumer", "status"],
);
pub(super) const DURATION: Metric = Metric {
    name: "serin_request_duration_seconds",
    kind: MetricKind::Histogram,
    help: "Time from a request's arrival to the end of its answer.",
    labels: &["route", "provider", "model"],
};
pub(super) const FIRST_TOKEN: Metric = Metric {
    name: "serin_time_to_first_token_seconds",
    kind: MetricKind::Histogram,
    help: "Time from a request's arrival to the first content of its answer.",
    labels: &["route", "provider", "model"],
};
pub(super) const TOKENS: Metric = counter(
    "serin_tokens_total",
    "Tokens; cached and cache_write ones are among the input, reasoning ones among the output.",
    &["route", "provider", "model", "consumer", "kind", "counted"],
);
pub(super) const COST: Metric = counter(
    "serin_cost_usd_total",
    "What the tokens cost by the configuration's prices.",
    &["route", "provider", "model", "consumer"],
);
pub(super) const LIMITED: Metric = counter(
    "serin_limited_total",
    "Requests that a limit refused or sent to a fallback.",
    &["limit", "consumer"],
);
pub(super) const LIMIT_NEAR: Metric = counter(
    "serin_limit_near_total",
    "Requests after which a limit by day, by month or in total had a tenth or less left.",
    &["limit", "consumer"],
);
pub(super) const FALLBACK: Metric = counter(
    "serin_fallback_total",
    "Calls to another target than the one before, by what came of that one.",
    &["route", "from", "to", "reason"],
);
pub(super) const CALLS: Metric = counter(
    "serin_upstream_calls_total",
    "Calls to upstreams, by what came of each.",
    &["route", "provider", "model", "result"],
);
pub(super) const CACHE: Metric =
    counter("serin_cache_total", "Requests that asked the response cache.", &["route", "result"]);
pub(super) const GUARD: Metric = counter(
    "serin_guard_total",
    "What guards found.",
    &["guard", "phase", "result", "label", "consumer"],
);
pub(super) const LEDGER_UNAVAILABLE: Metric = counter(
    "serin_ledger_unavailable_total",
    "Requests whose limits could not be checked in the ledger: counted by the gateway alone, or refused.",
    &["route"],
);
pub(super) const BUILD_INFO: Metric = Metric {
    name: "serin_build_info",
    kind: MetricKind::Gauge,
    help: "The build that answers; always 1.",
    labels: &["version"],
};
pub(super) const CONFIG_VERSION: Metric = Metric {
    name: "serin_config_version",
    kind: MetricKind::Gauge,
    help: "Version of the configuration: in_force by the ledger, served by the isolate that answers. 0 is the deployed document.",
    labels: &["state"],
};
pub(super) const ROLLOUT_WEIGHT: Metric = Metric {
    name: "serin_rollout_weight",
    kind: MetricKind::Gauge,
    help: "Share of a rollout's canary, in percent.",
    labels: &["route"],
};
pub(super) const ROLLOUT_EVIDENCE: Metric = Metric {
    name: "serin_rollout_evidence",
    kind: MetricKind::Gauge,
    help: "Evidence that events are more frequent at a rollout's canary; 1 at the beginning.",
    labels: &["route", "check"],
};
pub(super) const ROLLOUT_PHASE: Metric = Metric {
    name: "serin_rollout_phase",
    kind: MetricKind::Gauge,
    help: "Whether a rollout is in this phase: 1 or 0.",
    labels: &["route", "phase"],
};

/// All metrics, in the order of output.
#[cfg(test)]
pub(crate) const ALL: [Metric; 17] = [
    REQUESTS,
    DURATION,
    FIRST_TOKEN,
    TOKENS,
    COST,
    LIMITED,
    LIMIT_NEAR,
    CALLS,
    FALLBACK,
    CACHE,
    GUARD,
    LEDGER_UNAVAILABLE,
    BUILD_INFO,
    CONFIG_VERSION,
    ROLLOUT_WEIGHT,
    ROLLOUT_EVIDENCE,
    ROLLOUT_PHASE,
];

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Metric {
    Metric { name, kind: MetricKind::Counter, help, labels }
}
