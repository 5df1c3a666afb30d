//! Transitions: every change of a rollout, with the numbers behind it.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::counts::CheckCounts;
use super::state::Phase;

/// Author of automatic transitions.
pub(crate) const AUTOMATIC: &str = "serin";

/// A change of a rollout's share or phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Version of the state that it made.
    pub version: u64,
    /// Time of the change.
    pub at: Timestamp,
    /// Operator, or `serin`.
    pub by: String,
    /// Kind of change.
    pub action: Action,
    /// Reason for the change.
    pub reason: String,
    /// Phase afterwards.
    pub phase: Phase,
    /// Position of the step afterwards, from zero.
    pub step: usize,
    /// Share before, in percent.
    pub weight_before: u8,
    /// Share afterwards, in percent.
    pub weight: u8,
    /// Numbers of the checks at that time.
    pub checks: Vec<CheckNumbers>,
}

impl Transition {
    /// Whether the rollout made it by itself.
    pub fn is_automatic(&self) -> bool {
        self.by == AUTOMATIC
    }
}

/// Kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The rollout began.
    Start,
    /// The next step began.
    Step,
    /// The canary has its last share.
    Promote,
    /// The canary has no share any more.
    Rollback,
    /// The time is up without a decision.
    Undecided,
    /// The share grows no further.
    Pause,
    /// The share may grow again.
    Resume,
    /// An operator set the share.
    Pin,
    /// The rollout began anew.
    Restart,
}

impl Action {
    /// Name in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "rollout.start",
            Self::Step => "rollout.step",
            Self::Promote => "rollout.promote",
            Self::Rollback => "rollout.rollback",
            Self::Undecided => "rollout.undecided",
            Self::Pause => "rollout.pause",
            Self::Resume => "rollout.resume",
            Self::Pin => "rollout.pin",
            Self::Restart => "rollout.restart",
        }
    }
}

/// Numbers of one check at a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckNumbers {
    /// Name of the metric.
    pub metric: String,
    /// Counts of the whole rollout.
    pub counts: CheckCounts,
    /// Evidence that events are more frequent at the canary.
    pub evidence: f64,
    /// Evidence that the ratio is below the maximum.
    pub non_inferiority: f64,
}
