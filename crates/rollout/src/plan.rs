//! Plan of a rollout: the part of the configuration by which reports are judged.

use serde::{Deserialize, Serialize};

/// Name of the check that also recognizes an incident of the control.
pub const ERRORS: &str = "errors";

/// Steps and checks of a rollout. Each operation carries it, so the state needs no configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `provider/model` of the canary.
    pub target: String,
    /// Shares of the canary in percent, rising. The last one is the promoted share.
    pub steps: Vec<u8>,
    /// Time that each step lasts at least, in milliseconds.
    pub hold_ms: u64,
    /// Requests of the canary that each step needs at least.
    pub hold_requests: u64,
    /// Name of the unit that counts once. A change restarts the rollout.
    pub unit: String,
    /// Whether each request draws its side independently, so that the observed shares can be tested.
    pub draws_requests: bool,
    /// Probability of a false rollback over the whole rollout, in millionths. An integer, since plans are
    /// compared after they were stored.
    pub alpha_millionths: u32,
    /// Checks, at least one.
    pub checks: Vec<Check>,
    /// Whether an undecided rollout is promoted at `max_ms`.
    pub promotes_undecided: bool,
    /// Time after which the rollout is undecided, in milliseconds.
    pub max_ms: u64,
}

/// A kind of event that must not be more frequent at the canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Name of its metric.
    pub name: String,
    /// Quantile of the control, in thousandths, above which a value is an event. `None` if the event is
    /// no measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<u16>,
    /// Ratio of event rates below which the canary must be shown to be, in thousandths.
    pub max_ratio_thousandths: u32,
}

impl Check {
    /// Ratio of event rates below which the canary must be shown to be.
    pub fn max_ratio(&self) -> f64 {
        f64::from(self.max_ratio_thousandths) / 1_000.0
    }
}

impl Plan {
    /// Evidence at which a check rolls the canary back: the checks share `alpha`.
    pub fn rollback_evidence(&self) -> f64 {
        self.checks.len().max(1) as f64 / self.alpha()
    }

    /// Evidence at which the share grows no further: halfway to a rollback, in logarithms.
    pub fn caution_evidence(&self) -> f64 {
        self.rollback_evidence().sqrt()
    }

    /// Evidence of non-inferiority that promotion needs in every check.
    pub fn promotion_evidence(&self) -> f64 {
        1.0 / self.alpha()
    }

    fn alpha(&self) -> f64 {
        f64::from(self.alpha_millionths.max(1)) / 1e6
    }

    /// Share of the canary at a step, in percent.
    pub(crate) fn share(&self, step: usize) -> u8 {
        self.steps.get(step).copied().unwrap_or(0)
    }

    /// Position of the step whose share is the promoted one.
    pub(crate) fn last_step(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// Quantiles of the checks.
    pub(crate) fn quantiles(&self) -> Vec<Option<u16>> {
        self.checks.iter().map(|check| check.quantile).collect()
    }

    /// Whether the evidence under another plan counts under this one too.
    pub(crate) fn is_same_experiment(&self, other: &Self) -> bool {
        self.experiment() == other.experiment()
    }

    /// The part of the plan whose change starts the rollout anew.
    fn experiment(&self) -> (&str, &[u8], &str, u32, &[Check]) {
        (&self.target, &self.steps, &self.unit, self.alpha_millionths, &self.checks)
    }

    /// Hash of the experiment, by which late reports of a replaced plan are recognized.
    pub(crate) fn fingerprint(&self) -> u64 {
        // FNV-1a over a text with every field.
        let text = format!("{:?}", self.experiment());
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}
