//! `[routes.rollout]`

use serde::Deserialize;

use super::{Span, units};

/// Allowed values of `on_undecided`.
pub(crate) const ON_UNDECIDED: [&str; 2] = ["hold", "promote"];

/// A canary whose share follows the evidence.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    /// The canary, as `provider/model` or, without a model of its own, `provider`: the last of the route's
    /// targets.
    pub(crate) target: String,
    /// Shares of the canary in percent, rising. The last one is the promoted share. Default: 1, 5, 20, 50, 100.
    #[cfg_attr(feature = "author", schemars(extend("items" = { "type": "integer", "minimum": 1, "maximum": 100 })))]
    pub(crate) steps: Option<Vec<u32>>,
    /// Needs of each step before the next one.
    #[serde(default)]
    pub(crate) hold: RolloutHold,
    /// The unit that counts once in a report: `request`, `user`, `consumer`, or `header:NAME`. Default: the
    /// name by which the route is `sticky`, else `user`.
    pub(crate) unit: Option<String>,
    /// Probability of a false rollback over the whole rollout, above 0 and at most 0.5. Default: 0.05.
    #[serde(default, deserialize_with = "units::finite")]
    pub(crate) alpha: Option<f64>,
    /// Events that must not be more frequent at the canary. Default: `errors` with 2.0, and `latency` with 1.5
    /// at the quantile 0.9.
    pub(crate) checks: Option<Vec<RolloutCheck>>,
    /// End of a rollout that is undecided after `max_time`: its share stays (`hold`), or it is promoted unless
    /// a check is suspicious (`promote`). Default: `hold`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ON_UNDECIDED)))]
    pub(crate) on_undecided: Option<String>,
    /// Time after which the rollout is undecided, at most 8760h. Default: 168h.
    pub(crate) max_time: Option<Span>,
}

/// Needs of each step before the next one.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RolloutHold {
    /// Time that a step lasts at least. Default: 10m.
    pub(crate) time: Option<Span>,
    /// Requests of the canary in the step, from 1 to 1000000. Default: 200.
    pub(crate) requests: Option<u32>,
}

/// A kind of event that must not be more frequent at the canary.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloutCheck {
    /// The kind: `errors`, `first_token`, `latency`, `cost`, `truncated`, or `disliked`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = crate::rollout::Metric::NAMES)))]
    pub(crate) metric: String,
    /// Quantile of the control above which `first_token`, `latency`, or `cost` is an event, from 0.5 to 0.99.
    /// Default: 0.9.
    #[serde(default, deserialize_with = "units::finite")]
    pub(crate) quantile: Option<f64>,
    /// Ratio of event rates below which the canary must be shown to be before it is promoted, from 1.05 to 60.
    /// Default: 2 for `errors`, `truncated`, and `disliked`, else 1.5.
    #[serde(default, deserialize_with = "units::finite")]
    pub(crate) max_ratio: Option<f64>,
}
