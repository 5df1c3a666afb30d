//! Counts of a route since its last report.

use std::collections::BTreeMap;

use config::{Metric, RolloutRules};
use rollout::{CheckCounts, InForce, Report, Sample, Side, Sides, class_of};

use crate::record::{Record, RolloutUnit};

use super::feedback::RatedUnit;
use super::observation::{Observation, Observed};

/// Names that count once in a report. Requests of further names wait for the next one.
const MAX_NAMES: usize = 4_096;
/// Measurements of the control in one report; thresholds need no more.
const MAX_SAMPLES: usize = 256;

/// Observations of one route, in the form of its next report.
#[derive(Debug, Default)]
pub(super) struct Batch {
    requests: Sides,
    checks: Vec<CheckCounts>,
    samples: Vec<Sample>,
    names: BTreeMap<(u64, Side), NameSeen>,
    has_canary_error: bool,
    has_late_event: bool,
}

/// Checks that a name has counted in, one bit each.
#[derive(Clone, Copy, Debug, Default)]
struct NameSeen {
    units: u32,
    events: u32,
}

impl Batch {
    /// Adds a finished request that was routed under the state in force.
    pub(super) fn add(
        &mut self,
        rules: &RolloutRules,
        in_force: &InForce,
        unit: &RolloutUnit,
        (record, cost): (&Record, Option<u64>),
    ) {
        // Every request, or the callers' own mistakes at one side would make the shares uneven.
        self.requests.add(unit.side, 1);
        let Some(observation) = Observation::new(record, unit, cost) else { return };
        if !self.may_count(unit.side, unit.name) {
            return;
        }
        self.has_canary_error |= unit.side == Side::Canary && observation.has_failed();
        self.checks.resize(rules.metrics.len(), CheckCounts::default());
        let class = class_of(record.stream, record.tokens.input);
        for (position, metric) in rules.metrics.iter().enumerate() {
            let observed = observation.observe(*metric);
            if let (Observed::Measured(value), Side::Control) = (observed, unit.side)
                && self.samples.len() < MAX_SAMPLES
            {
                self.samples.push(Sample::new(position, class, value));
            }
            let is_own = |one: &&rollout::Threshold| {
                usize::from(one.check) == position && one.class == class
            };
            let threshold = in_force.thresholds.iter().find(is_own).map(|one| one.value);
            let event = match (observed, threshold) {
                (Observed::Event(occurred), _) => Some(occurred),
                (Observed::Measured(value), Some(threshold)) => Some(value > threshold),
                // A shorter time says nothing: it might have become longer.
                (Observed::AtLeast(value), Some(threshold)) => (value > threshold).then_some(true),
                (Observed::Measured(_) | Observed::AtLeast(_), None) | (Observed::Nothing, _) => {
                    None
                }
            };
            if let Some(event) = event {
                self.count(position, (unit.side, unit.name), true, event);
            }
        }
    }

    /// Adds an event whose request was counted when it ended.
    pub(super) fn add_event(&mut self, rules: &RolloutRules, metric: Metric, unit: RatedUnit) {
        let position = rules.metrics.iter().position(|known| *known == metric);
        let Some(position) = position else { return };
        if !self.may_count(unit.side, unit.name) {
            return;
        }
        self.has_late_event = true;
        self.checks.resize(rules.metrics.len(), CheckCounts::default());
        self.count(position, (unit.side, unit.name), false, true);
    }

    /// Whether there is room for a name, or it is known.
    fn may_count(&self, side: Side, name: Option<u64>) -> bool {
        let is_known = |name| self.names.contains_key(&(name, side));
        self.names.len() < MAX_NAMES || name.is_some_and(is_known)
    }

    /// Counts a unit, an event, or both, each once for a name.
    fn count(
        &mut self,
        position: usize,
        (side, name): (Side, Option<u64>),
        mut is_unit: bool,
        mut is_event: bool,
    ) {
        let bit = 1 << (position % 32);
        if let Some(name) = name {
            let seen = self.names.entry((name, side)).or_default();
            is_unit &= seen.units & bit == 0;
            is_event &= seen.events & bit == 0;
            seen.units |= if is_unit { bit } else { 0 };
            seen.events |= if is_event { bit } else { 0 };
        }
        let counts = &mut self.checks[position];
        counts.units.add(side, u64::from(is_unit));
        counts.events.add(side, u64::from(is_event));
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.total() == 0 && !self.has_late_event
    }

    /// Whether the report must not wait: the canary has failed.
    pub(super) fn is_urgent(&self) -> bool {
        self.has_canary_error
    }

    /// Takes the counts as a report.
    pub(super) fn take(&mut self, id: u64, version: u64, audited: u64) -> Report {
        let Self { requests, checks, samples, names: _, has_canary_error: _, has_late_event: _ } =
            std::mem::take(self);
        Report { id, version, audited, requests, checks, samples }
    }
}
