//! Rollouts: the share of a canary grows while the evidence allows it, and returns to zero when the
//! evidence is against it.
//!
//! Everything here is a pure transition: [`Rollout::apply`] merges a report and takes the decision
//! that follows from it in the same step. It reads no clock and stores nothing; the ledger keeps
//! one [`Rollout`] for each route and passes the time.
//!
//! The evidence is one statistic for every check. A check is a kind of event: an error, an answer
//! slower than the control's 90th percentile, a truncated answer. If the canary is no worse, each event
//! falls on it with at most the probability of its share of units. [`evidence`](Evidence) grows when
//! more events fall on it, and stays valid however often it is looked at.
//!
//! Invariants, each with a test:
//! - Reports of one window give the same state in any order; a repeated report changes nothing.
//! - A report of another version of the state counts for nothing.
//! - A step up needs the hold time, the canary's requests, and no evidence against it.
//! - Promotion needs non-inferiority in every check; without it a rollout is undecided.
//! - The state is bounded in bytes.

#![warn(missing_docs)]

mod calibration;
mod command;
mod counts;
mod decision;
mod estimate;
mod event_share;
mod evidence;
mod plan;
mod state;
#[cfg(test)]
mod tests;
mod transition;
mod window;

pub use calibration::{Sample, Threshold, class_of};
pub use command::{Command, Refused};
pub use counts::{CheckCounts, Report, Side, Sides};
pub use decision::NextStep;
pub use estimate::{Estimate, estimate};
pub use evidence::{CheckStatus, Evidence, Needs};
pub use plan::{Check, ERRORS, Plan};
pub use state::{InForce, Phase, Rollout, RolloutOperation, RolloutReply};
pub use transition::{Action, CheckNumbers, Transition};
