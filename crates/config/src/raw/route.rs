//! `[[routes]]`

use serde::Deserialize;

use super::rollout::Rollout;
use super::{Size, Span, units};

/// Allowed items of `fallback_on`.
pub(crate) const CONDITIONS: [&str; 5] = ["connect", "timeout", "429", "5xx", "limited"];

/// Allowed values of `balance`.
pub(crate) const BALANCES: [&str; 4] = ["weight", "latency", "least_busy", "cost"];

/// Allowed values of `translate.unknown` and `translate.sampling`.
pub(crate) const LOSS_POLICIES: [&str; 2] = ["refuse", "shed"];

/// Some models, and the targets that serve them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Its name in records and in the header `x-serin-route`.
    pub(crate) id: String,
    /// The models: exact names, `prefix*`, or `~regex`. An exact name precedes a prefix, a longer prefix
    /// precedes a shorter one, and a prefix precedes a regular expression.
    pub(crate) models: Vec<String>,
    /// The targets, of which `balance` selects one for each request.
    pub(crate) targets: Vec<WeightedTarget>,
    /// Selection of a target: by `weight` alone, by lower `latency`, by fewer calls in flight (`least_busy`),
    /// or by lower `cost`. Default: `weight`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = BALANCES)))]
    pub(crate) balance: Option<String>,
    /// Value that keeps a caller at the same target: `none`, `consumer`, `user`, or `header:NAME`. Default:
    /// `none`.
    pub(crate) sticky: Option<String>,
    /// Targets to try after the selected one fails, in this order.
    #[serde(default)]
    pub(crate) fallback: Vec<Target>,
    /// Failures after which the next target is tried. Default: all except `limited`.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "string", "enum": CONDITIONS })))]
    pub(crate) fallback_on: Option<Vec<String>>,
    /// Further attempts at one target.
    #[serde(default)]
    pub(crate) retries: Retries,
    /// Circuit breaker of each target.
    #[serde(default)]
    pub(crate) health: Health,
    /// Bounds on waiting.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// Losses that a translation into a target's protocol may have.
    #[serde(default)]
    pub(crate) translate: Translate,
    /// Names for `GET /v1/models` that the patterns of `models` match. Default: none; exact names are always
    /// listed.
    #[serde(default)]
    pub(crate) listed: Vec<String>,
    /// Hedging: a fallback is called concurrently with a slow target, and the first answer is used. Default:
    /// off.
    pub(crate) hedge: Option<Hedge>,
    /// Whether a fallback continues an interrupted stream of plain text. Default: false.
    #[serde(rename = "continue")]
    pub(crate) continues_streams: Option<bool>,
    /// Time over which a target that returns from a cool-down, or whose provider is new, gets its share back,
    /// beginning with a tenth. Default: at once.
    pub(crate) warm_up: Option<Span>,
    /// Rollout: the share of the last target grows step by step while the evidence allows it, and returns to
    /// zero when it is worse. Default: off.
    pub(crate) rollout: Option<Rollout>,
}

/// Losses that a translation into a target's protocol may have.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Translate {
    /// Paths in the caller's body, without positions, that may be left out although that changes the meaning:
    /// `n`, `messages.content.audio`. Default: none.
    pub(crate) lossy: Vec<String>,
    /// Members that serin does not know: `refuse` or `shed`. Default: `refuse`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = LOSS_POLICIES)))]
    pub(crate) unknown: Option<String>,
    /// Sampling parameters that the target lacks: `shed` or `refuse`. Default: `shed`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = LOSS_POLICIES)))]
    pub(crate) sampling: Option<String>,
}

/// Hedging: a fallback is called concurrently with a target that is slow.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hedge {
    /// The greatest share of the route's requests to hedge, from 0 to 1. Default: 0.05.
    #[serde(deserialize_with = "units::finite")]
    pub(crate) share: Option<f64>,
    /// The wait before the fallback is called. Default: the 95th percentile of the target's latency.
    pub(crate) after: Option<Span>,
}

/// A target with a weight.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedTarget {
    /// The id of a provider.
    pub(crate) provider: String,
    /// The model's name there. Default: the caller's.
    pub(crate) model: Option<String>,
    /// Its share of the sum of the route's weights. A target with 0 is never selected. Default: 1.
    pub(crate) weight: Option<u32>,
}

/// A target: a provider, and the model's name there.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The id of a provider.
    pub(crate) provider: String,
    /// The model's name there. Default: the caller's.
    pub(crate) model: Option<String>,
}

/// Further attempts at one target.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retries {
    /// Attempts after the first, at most 10. Default: 0.
    pub(crate) attempts: Option<u32>,
    /// The wait before the first retry; it doubles with each one, and has jitter. Default: 250ms.
    pub(crate) backoff: Option<Span>,
    /// The longest `Retry-After` to wait for. Default: 2s.
    pub(crate) honour_retry_after: Option<Span>,
    /// The greatest share of a provider's requests to retry there, from 0 to 1. Three retries a second are
    /// always allowed. Default: 0.2.
    #[serde(deserialize_with = "units::finite")]
    pub(crate) budget: Option<f64>,
    /// The longest request body that is sent more than once, to any target. Default: no limit.
    pub(crate) replay: Option<Size>,
}

/// Circuit breaker of each target.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Health {
    /// Consecutive failures after which a target cools down, at most 100. 0 disables the circuit breaker.
    /// Default: 5.
    pub(crate) failures: Option<u32>,
    /// The time within which these failures must occur. Default: 30s.
    pub(crate) window: Option<Span>,
    /// The first cool-down, at most 30s. It doubles up to 30s each time that a probe fails, and has jitter.
    /// Default: 10s.
    pub(crate) rest: Option<Span>,
}

/// Bounds on waiting, each above zero and at most 24h.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// From the start of an attempt to the first content of a stream. Default: 60s, or `total` if that is
    /// shorter.
    pub(crate) first_byte: Option<Span>,
    /// From the start of an attempt to the first byte of an answer that is not a stream. Default: `first_byte`
    /// if that is set, else `total`.
    pub(crate) answer: Option<Span>,
    /// Between two pieces of an answer. Default: 60s.
    pub(crate) idle: Option<Span>,
    /// For the whole request, retries and fallbacks included. Default: 10m.
    pub(crate) total: Option<Span>,
}
