//! `[[routes]]`

use serde::Deserialize;

use super::{Size, Span, units};

/// What `fallback_on` may list.
pub(crate) const CONDITIONS: [&str; 5] = ["connect", "timeout", "429", "5xx", "limited"];

/// What `balance` may be.
pub(crate) const BALANCES: [&str; 4] = ["weight", "latency", "least_busy", "cost"];

/// Some models, and who answers for them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Its name in records and in the header `x-serin-route`.
    pub(crate) id: String,
    /// The models: an exact name, `prefix*` or `~regex`. Exact beats prefix, longer prefixes beat
    /// shorter ones, prefixes beat expressions.
    pub(crate) models: Vec<String>,
    /// Who answers, chosen as `balance` says.
    pub(crate) targets: Vec<WeightedTarget>,
    /// How one of them is chosen: by weight alone, or the one that answers sooner, is less busy or costs
    /// less. By weight unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("enum" = BALANCES)))]
    pub(crate) balance: Option<String>,
    /// What keeps a caller on its side: `none`, `consumer`, `user` or `header:NAME`. None unless
    /// said otherwise.
    pub(crate) sticky: Option<String>,
    /// Who answers instead, in this order.
    #[serde(default)]
    pub(crate) fallback: Vec<Target>,
    /// When somebody else is to answer. All but `limited` unless said otherwise.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": CONDITIONS })))]
    pub(crate) fallback_on: Option<Vec<String>>,
    /// More tries at one target.
    #[serde(default)]
    pub(crate) retries: Retries,
    /// When a target rests.
    #[serde(default)]
    pub(crate) health: Health,
    /// Bounds on waiting.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// Has a fallback called beside a target that is late, and takes whoever speaks first. Nobody is
    /// unless said otherwise.
    pub(crate) hedge: Option<Hedge>,
    /// Whether a fallback goes on where a stream of plain text breaks off. False unless said otherwise.
    #[serde(rename = "continue")]
    pub(crate) goes_on: Option<bool>,
}

/// When a fallback is called beside a target that is late.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hedge {
    /// For what part of the route's requests at most, from 0 to 1. 0.05 unless said otherwise.
    #[serde(deserialize_with = "units::finite")]
    pub(crate) share: Option<f64>,
    /// How long the target has first. The time within which 95 of 100 of its answers came unless said
    /// otherwise.
    pub(crate) after: Option<Span>,
}

/// A provider, the model's name there, and a share.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedTarget {
    /// The id of a provider.
    pub(crate) provider: String,
    /// The model's name there; the caller's unless said otherwise.
    pub(crate) model: Option<String>,
    /// Its share among the weights of the route; 0 is never chosen. 1 unless said otherwise.
    pub(crate) weight: Option<u32>,
}

/// A provider, and the model's name there.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The id of a provider.
    pub(crate) provider: String,
    /// The model's name there; the caller's unless said otherwise.
    pub(crate) model: Option<String>,
}

/// More tries at one target.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retries {
    /// Tries after the first, 10 at most. 0 unless said otherwise.
    pub(crate) attempts: Option<u32>,
    /// The wait before the first of them; it doubles, and is jittered. 250ms unless said otherwise.
    pub(crate) backoff: Option<Span>,
    /// The longest `Retry-After` worth waiting for. 2s unless said otherwise.
    pub(crate) honour_retry_after: Option<Span>,
    /// What part of a provider's requests may be tried again there, from 0 to 1; three tries a second
    /// always may. 0.2 unless said otherwise.
    #[serde(deserialize_with = "units::finite")]
    pub(crate) budget: Option<f64>,
    /// The longest request body that is sent more than once, to whomever. Every body is unless said
    /// otherwise.
    pub(crate) replay: Option<Size>,
}

/// When a target rests, and for how long.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Health {
    /// So many failures in a row put it to rest, 100 at most; 0: it never rests. 5 unless said
    /// otherwise.
    pub(crate) failures: Option<u32>,
    /// The time within which they must lie. 30s unless said otherwise.
    pub(crate) window: Option<Span>,
    /// How long it rests first, 30s at most; it doubles up to that each time that the target is found
    /// still failing, and is jittered. 10s unless said otherwise.
    pub(crate) rest: Option<Span>,
}

/// Bounds on waiting, each above zero and 24h at most.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// From the start of an attempt to the first byte of its answer, of a stream to its first content.
    /// 60s unless said otherwise, or `total` where that is shorter.
    pub(crate) first_byte: Option<Span>,
    /// Between two pieces of an answer. 60s unless said otherwise.
    pub(crate) idle: Option<Span>,
    /// For everything, retries and fallbacks included. 10m unless said otherwise.
    pub(crate) total: Option<Span>,
}
