//! Counts of both sides, and the report that carries them.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::calibration::Sample;

/// Side of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The targets that the canary is to replace.
    Control,
    /// The target of the rollout.
    Canary,
}

/// A count for each side. Serialized as a pair: control, canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Sides {
    /// Count of the control.
    pub control: u64,
    /// Count of the canary.
    pub canary: u64,
}

impl Sides {
    /// Adds to one side.
    pub fn add(&mut self, side: Side, count: u64) {
        let sum = match side {
            Side::Control => &mut self.control,
            Side::Canary => &mut self.canary,
        };
        *sum = sum.saturating_add(count);
    }

    /// Count of both sides.
    pub fn total(&self) -> u64 {
        self.control.saturating_add(self.canary)
    }

    /// Share of the canary. `None` without counts.
    pub fn canary_share(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.canary as f64 / self.total() as f64)
    }
}

impl From<(u64, u64)> for Sides {
    fn from((control, canary): (u64, u64)) -> Self {
        Self { control, canary }
    }
}

impl From<Sides> for (u64, u64) {
    fn from(sides: Sides) -> Self {
        (sides.control, sides.canary)
    }
}

impl AddAssign for Sides {
    fn add_assign(&mut self, other: Self) {
        self.add(Side::Control, other.control);
        self.add(Side::Canary, other.canary);
    }
}

/// Counts of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCounts {
    /// Units that the check could observe.
    pub units: Sides,
    /// The units with at least one event.
    pub events: Sides,
}

impl CheckCounts {
    /// Whether neither side has a unit.
    pub fn is_empty(&self) -> bool {
        self.units.total() == 0
    }
}

impl AddAssign for CheckCounts {
    fn add_assign(&mut self, other: Self) {
        self.units += other.units;
        self.events += other.events;
    }
}

/// Observations of one gateway since its last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Chosen by the sender; unique.
    pub id: u64,
    /// Version of the state under which the requests were routed.
    pub version: u64,
    /// Version up to which automatic transitions are in the audit log.
    #[serde(default)]
    pub audited: u64,
    /// Routed requests, none counted twice and none left out.
    pub requests: Sides,
    /// Counts of each check, in the plan's order.
    pub checks: Vec<CheckCounts>,
    /// Measurements of the control, for the thresholds of checks with a quantile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}
