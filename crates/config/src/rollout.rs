//! Rollouts as parsed: the plan that every operation carries, and the way in which units and events are
//! recognized.

use rollout::Plan;

use super::route::Sticky;

/// `[routes.rollout]`
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutRules {
    /// Steps, bounds, and checks.
    pub plan: Plan,
    /// Metric of each check, in the plan's order.
    pub metrics: Vec<Metric>,
    /// The name whose requests count once in a report, because their failures are not independent. Each
    /// request counts by itself with [`Sticky::None`], or without the name.
    pub unit: Sticky,
}

/// A kind of event that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The target did not answer, or its answer broke off.
    Errors,
    /// Time to the first content.
    FirstToken,
    /// Time to the end.
    Latency,
    /// Cost of the answer.
    Cost,
    /// The answer was cut off by its maximum length, or is empty.
    Truncated,
    /// The consumer disliked the answer, by `POST /v1/feedback`.
    Disliked,
}

impl Metric {
    /// Metrics in the order of [`Metric::NAMES`].
    pub(crate) const ALL: [Self; 6] = [
        Self::Errors,
        Self::FirstToken,
        Self::Latency,
        Self::Cost,
        Self::Truncated,
        Self::Disliked,
    ];
    /// Names in the document.
    pub(crate) const NAMES: [&'static str; 6] =
        [rollout::ERRORS, "first_token", "latency", "cost", "truncated", "disliked"];

    /// Whether it is a measurement, which is compared with a quantile of the control.
    pub fn is_measured(self) -> bool {
        match self {
            Self::FirstToken | Self::Latency | Self::Cost => true,
            Self::Errors | Self::Truncated | Self::Disliked => false,
        }
    }

    /// Name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Errors => Self::NAMES[0],
            Self::FirstToken => Self::NAMES[1],
            Self::Latency => Self::NAMES[2],
            Self::Cost => Self::NAMES[3],
            Self::Truncated => Self::NAMES[4],
            Self::Disliked => Self::NAMES[5],
        }
    }
}
