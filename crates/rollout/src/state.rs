//! State of a rollout, and the one step by which it changes.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, Threshold};
use super::command::{Command, Refused};
use super::counts::{Report, Sides};
use super::evidence::{CheckStatus, Evidence};
use super::plan::Plan;
use super::transition::{AUTOMATIC, Action, CheckNumbers, Transition};
use super::window::Evidences;

/// Reports whose repetition is recognized. A sender repeats its last report only.
const MAX_REPORT_IDS: usize = 256;
/// Transitions that are kept; the audit log has all of them.
const MAX_TRANSITIONS: usize = 16;
/// Replaced plans that are remembered.
const MAX_REPLACED_PLANS: usize = 4;
/// Time for which a gateway may still have a replaced plan, in milliseconds.
const REPLACED_PLAN_TTL_MS: u64 = 120_000;
/// Longest reason that is kept, in bytes.
const MAX_REASON_BYTES: usize = 500;

/// Phase of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The share grows step by step.
    Step,
    /// The canary has its last share.
    Promoted,
    /// The canary has no share.
    RolledBack,
    /// The time is up, and the evidence allows neither promotion nor a rollback.
    Undecided,
}

impl Phase {
    /// All phases, for metrics.
    pub const ALL: [Self; 4] = [Self::Step, Self::Promoted, Self::RolledBack, Self::Undecided];

    /// Name in the admin API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Undecided => "undecided",
        }
    }
}

/// Operation on the rollout of one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutOperation {
    /// Merges a report and takes the decision that follows from it. Repeating it has no effect. The first
    /// report of a plan starts its rollout.
    Report {
        /// Plan of the sender.
        plan: Plan,
        /// Observations.
        report: Report,
    },
    /// Changes the rollout by an operator's command, if its version is still the given one.
    Command {
        /// Plan of the sender.
        plan: Plan,
        /// Version that the operator has read.
        version: u64,
        /// The change.
        command: Command,
        /// Name of the operator.
        by: String,
        /// Reason for the change.
        reason: String,
    },
    /// Reads the state, which is that of a rollout that begins now if there is none.
    Read {
        /// Plan of the sender.
        plan: Plan,
    },
}

/// Reply to an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutReply {
    /// Reply to a report: the state that routing needs.
    InForce(InForce),
    /// The whole state.
    State(Box<Rollout>),
    /// The command changed nothing.
    Refused(Refused),
}

/// Share in force, and all that a gateway needs for its next report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InForce {
    /// Version of the state; 0 if the sender's plan is not in force.
    pub version: u64,
    /// Share of the canary in percent.
    pub weight: u8,
    /// Thresholds of checks with a quantile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// Automatic transitions that the audit log may lack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unaudited: Vec<Transition>,
}

/// Rollout of one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub(crate) plan: Plan,
    /// Number of transitions.
    pub(crate) version: u64,
    pub(crate) phase: Phase,
    pub(crate) is_paused: bool,
    pub(crate) pinned: Option<u8>,
    pub(crate) step: usize,
    /// Start of the rollout.
    pub(crate) began: Timestamp,
    /// Start of the step.
    pub(crate) since: Timestamp,
    /// Routed requests of the step.
    pub(crate) requests: Sides,
    pub(crate) evidences: Evidences,
    pub(crate) calibration: Calibration,
    /// Lower halves of the ids of the last reports.
    reports: Vec<u32>,
    transitions: Vec<Transition>,
    /// Version up to which automatic transitions are in the audit log.
    audited: u64,
    /// Fingerprints of replaced plans, and the times of replacement.
    replaced_plans: Vec<(Timestamp, u64)>,
}

impl Rollout {
    /// Applies an operation to the rollout of a route, which is `None` before its first one.
    pub fn apply(
        stored: &mut Option<Self>,
        now: Timestamp,
        operation: &RolloutOperation,
    ) -> RolloutReply {
        match operation {
            RolloutOperation::Read { plan } => {
                // The first report starts the rollout, and hands its start to the audit log.
                let unborn = || Self { audited: 1, ..Self::begin(plan, now) };
                let state = stored.clone().unwrap_or_else(unborn);
                RolloutReply::State(Box::new(state))
            }
            RolloutOperation::Report { plan, report } => {
                let state = stored.get_or_insert_with(|| Self::begin(plan, now));
                if !state.adopt(plan, now) {
                    return RolloutReply::InForce(InForce::default());
                }
                state.merge(report, now);
                RolloutReply::InForce(state.in_force(plan))
            }
            RolloutOperation::Command { plan, version, command, by, reason } => {
                let mut state = stored.clone().unwrap_or_else(|| Self::begin(plan, now));
                if !state.adopt(plan, now) || state.version != *version {
                    return RolloutReply::Refused(Refused::OtherVersion(state.version));
                }
                if let Err(refused) = state.command(*command, by, reason, now) {
                    return RolloutReply::Refused(refused);
                }
                *stored = Some(state.clone());
                RolloutReply::State(Box::new(state))
            }
        }
    }

    fn begin(plan: &Plan, now: Timestamp) -> Self {
        let mut state = Self {
            plan: plan.clone(),
            version: 0,
            phase: Phase::Step,
            is_paused: false,
            pinned: None,
            step: 0,
            began: now,
            since: now,
            requests: Sides::default(),
            evidences: Evidences::new(plan),
            calibration: Calibration::default(),
            reports: Vec::new(),
            transitions: Vec::new(),
            audited: 0,
            replaced_plans: Vec::new(),
        };
        let reason = format!("The configuration has a rollout to {}.", plan.target);
        state.record(Action::Start, AUTOMATIC, &reason, 0, now);
        state
    }

    /// Starts the whole rollout anew, with a plan.
    pub(crate) fn restart(&mut self, plan: &Plan, now: Timestamp) {
        let fresh = Self::begin(plan, now);
        *self = Self {
            version: self.version,
            reports: std::mem::take(&mut self.reports),
            transitions: std::mem::take(&mut self.transitions),
            audited: self.audited,
            replaced_plans: std::mem::take(&mut self.replaced_plans),
            ..fresh
        };
    }

    /// Takes over the plan of a sender. Another experiment starts anew, unless the plan was replaced
    /// just now: then the sender has an old configuration, and the result is false.
    fn adopt(&mut self, plan: &Plan, now: Timestamp) -> bool {
        if self.plan.is_same_experiment(plan) {
            if self.plan != *plan {
                self.plan = plan.clone();
            }
            return true;
        }
        let is_recent =
            |at: Timestamp| now.as_millis() < at.as_millis().saturating_add(REPLACED_PLAN_TTL_MS);
        self.replaced_plans.retain(|(at, _)| is_recent(*at));
        let fingerprint = plan.fingerprint();
        if self.replaced_plans.iter().any(|(_, replaced)| *replaced == fingerprint) {
            return false;
        }
        self.replaced_plans.push((now, self.plan.fingerprint()));
        let surplus = self.replaced_plans.len().saturating_sub(MAX_REPLACED_PLANS);
        self.replaced_plans.drain(..surplus);
        let before = self.weight();
        self.restart(plan, now);
        let reason = "The configuration changed the target, steps, unit, or checks.";
        self.record(Action::Restart, AUTOMATIC, reason, before, now);
        true
    }

    fn merge(&mut self, report: &Report, now: Timestamp) {
        let id = report.id as u32;
        if self.reports.contains(&id) {
            return;
        }
        self.audited = self.audited.max(report.audited.min(self.version));
        if report.version != self.version {
            return;
        }
        self.reports.push(id);
        let surplus = self.reports.len().saturating_sub(MAX_REPORT_IDS);
        self.reports.drain(..surplus);
        self.requests += report.requests;
        self.evidences.merge(&self.plan, now, &report.checks);
        self.calibration.add(&report.samples, &self.plan.quantiles());
        self.decide(now);
    }

    /// Starts the counts of a step.
    pub(crate) fn begin_step(&mut self, now: Timestamp) {
        self.since = now;
        self.requests = Sides::default();
        self.evidences.begin_step(&self.plan);
        self.calibration.begin_step(&self.plan.quantiles());
    }

    /// Records a transition that was just made, and its numbers.
    pub(crate) fn record(
        &mut self,
        action: Action,
        by: &str,
        reason: &str,
        weight_before: u8,
        now: Timestamp,
    ) {
        self.version += 1;
        let numbers = |evidence: &Evidence, metric: &str| CheckNumbers {
            metric: metric.to_owned(),
            counts: evidence.all(),
            evidence: evidence.against(),
            non_inferiority: evidence.non_inferiority(),
        };
        let evidences = self.evidences.current(&self.plan);
        let checks = evidences.iter().zip(&self.plan.checks);
        self.transitions.push(Transition {
            version: self.version,
            at: now,
            by: by.to_owned(),
            action,
            reason: reason[..reason.floor_char_boundary(MAX_REASON_BYTES)].to_owned(),
            phase: self.phase,
            step: self.step,
            weight_before,
            weight: self.weight(),
            checks: checks.map(|(evidence, check)| numbers(evidence, &check.name)).collect(),
        });
        let surplus = self.transitions.len().saturating_sub(MAX_TRANSITIONS);
        self.transitions.drain(..surplus);
    }

    /// Share of the canary in percent.
    pub fn weight(&self) -> u8 {
        match (self.pinned, self.phase) {
            (Some(weight), _) => weight,
            (None, Phase::Step | Phase::Undecided | Phase::Promoted) => self.plan.share(self.step),
            (None, Phase::RolledBack) => 0,
        }
    }

    /// State that routing needs, for a gateway with this plan. Another plan's canary gets no request.
    pub fn in_force(&self, plan: &Plan) -> InForce {
        if !self.plan.is_same_experiment(plan) {
            return InForce::default();
        }
        let is_unaudited = |one: &&Transition| one.is_automatic() && one.version > self.audited;
        InForce {
            version: self.version,
            weight: self.weight(),
            thresholds: self.calibration.thresholds.clone(),
            unaudited: self.transitions.iter().filter(is_unaudited).cloned().collect(),
        }
    }

    /// Version of the state, which grows with each transition.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Plan in force.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the share grows no further until an operator resumes the rollout.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Share that an operator has set, in percent. `None` if the rollout decides.
    pub fn pinned(&self) -> Option<u8> {
        self.pinned
    }

    /// Position of the step, from zero.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Start of the step.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Start of the rollout.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Routed requests of the step.
    pub fn requests(&self) -> Sides {
        self.requests
    }

    /// Units of windows that do not count, because the control had an incident.
    pub fn muddy(&self) -> Sides {
        self.evidences.muddy
    }

    /// The last transitions, oldest first.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// The checks for operators, with the open window.
    pub fn checks(&self) -> Vec<CheckStatus> {
        let evidences = self.evidences.current(&self.plan);
        let status =
            |(evidence, check): (&Evidence, _)| evidence.status(&self.plan, check, self.weight());
        evidences.iter().zip(&self.plan.checks).map(status).collect()
    }
}
