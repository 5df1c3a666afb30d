//! Open window: the counts of all gateways in one minute.
//!
//! A window compares what happened at the same time, so a change of traffic or of a provider's error
//! rate during the day shows no difference between the sides. It merges gateways, since one request in a
//! report has nothing to be compared with.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::counts::{CheckCounts, Sides};
use super::evidence::Evidence;
use super::plan::{ERRORS, Plan};

/// Length of a window in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// Units of the control that an incident needs at least.
const MIN_INCIDENT_UNITS: u64 = 20;
/// Share of the control's errors above which the control has an incident.
const INCIDENT_SHARE: f64 = 0.2;
/// Multiple of the control's usual share of errors above which it has an incident.
const INCIDENT_MULTIPLE: f64 = 5.0;

/// Counts of the current minute, not yet part of the evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Number of the window since the Unix epoch.
    number: u64,
    checks: Vec<CheckCounts>,
}

/// Evidence of all checks, with the windows that do not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidences {
    pub(crate) checks: Vec<Evidence>,
    /// Units of windows during which the control had an incident.
    pub(crate) muddy: Sides,
    pub(crate) open: Window,
}

impl Evidences {
    pub(crate) fn new(plan: &Plan) -> Self {
        let checks = vec![Evidence::default(); plan.checks.len()];
        Self { checks, muddy: Sides::default(), open: Window::default() }
    }

    /// Merges the counts of a report that arrives at `now`.
    pub(crate) fn merge(&mut self, plan: &Plan, now: Timestamp, counts: &[CheckCounts]) {
        let number = now.as_millis() / WINDOW_MS;
        if number > self.open.number {
            self.close(plan);
            self.open.number = number;
        }
        self.open.checks.resize(plan.checks.len(), CheckCounts::default());
        for (sum, counts) in self.open.checks.iter_mut().zip(counts) {
            *sum += *counts;
        }
    }

    /// Adds the open window to the evidence.
    pub(crate) fn close(&mut self, plan: &Plan) {
        let open = std::mem::take(&mut self.open.checks);
        if self.is_incident(plan, &open) {
            self.muddy += units_of(plan, &open);
            return;
        }
        for ((evidence, check), counts) in self.checks.iter_mut().zip(&plan.checks).zip(open) {
            evidence.fold(check, counts);
        }
    }

    /// The evidence with the open window.
    pub(crate) fn current(&self, plan: &Plan) -> Vec<Evidence> {
        if self.is_incident(plan, &self.open.checks) {
            return self.checks.clone();
        }
        let none = CheckCounts::default();
        let open = self.open.checks.iter().copied().chain(std::iter::repeat(none));
        let with_open =
            |((evidence, check), counts): ((&Evidence, _), _)| evidence.with_window(check, counts);
        self.checks.iter().zip(&plan.checks).zip(open).map(with_open).collect()
    }

    /// Closes the window and starts the counts of a step.
    pub(crate) fn begin_step(&mut self, plan: &Plan) {
        self.close(plan);
        self.checks.iter_mut().for_each(Evidence::begin_step);
    }

    /// Whether the control itself fails far more often than usual. Then both sides may fail together,
    /// and the window compares nothing.
    fn is_incident(&self, plan: &Plan, open: &[CheckCounts]) -> bool {
        let Some(position) = errors_position(plan) else { return false };
        let (Some(counts), Some(evidence)) = (open.get(position), self.checks.get(position)) else {
            return false;
        };
        let rate =
            |counts: CheckCounts| counts.events.control as f64 / counts.units.control.max(1) as f64;
        let usual = INCIDENT_MULTIPLE * rate(evidence.all());
        counts.units.control >= MIN_INCIDENT_UNITS && rate(*counts) > usual.max(INCIDENT_SHARE)
    }
}

fn errors_position(plan: &Plan) -> Option<usize> {
    plan.checks.iter().position(|check| check.name == ERRORS)
}

fn units_of(plan: &Plan, counts: &[CheckCounts]) -> Sides {
    let position = errors_position(plan).unwrap_or_default();
    counts.get(position).map(|counts| counts.units).unwrap_or_default()
}
