//! Decisions: taken inside the merge of the report that carries the evidence.

use std::time::Duration;

use civil_time::Timestamp;

use super::event_share::{UNEVEN_RATIOS, log_likelihood_at};
use super::evidence::{Evidence, rounded};
use super::state::{Phase, Rollout};
use super::transition::{AUTOMATIC, Action};

/// Evidence of shares that differ from the weights at which a rollout pauses: its comparison cannot be
/// trusted.
const UNEVEN_EVIDENCE: f64 = 1_000.0;

/// The rest that the next step needs.
#[derive(Clone, Debug, PartialEq)]
pub struct NextStep {
    /// Share afterwards, in percent.
    pub weight: u8,
    /// Requests of the canary.
    pub requests: u64,
    /// Time.
    pub time: Duration,
    /// Checks whose evidence against the canary is too high for a larger share.
    pub suspicious: Vec<String>,
    /// Checks that have not shown non-inferiority, if the next step needs it.
    pub unproven: Vec<String>,
}

impl NextStep {
    fn is_due(&self) -> bool {
        let Self { weight: _, requests, time, suspicious, unproven } = self;
        *requests == 0 && time.is_zero() && suspicious.is_empty() && unproven.is_empty()
    }
}

impl Rollout {
    /// Takes the decision that follows from the evidence.
    pub(crate) fn decide(&mut self, now: Timestamp) {
        if self.pinned.is_some() || !matches!(self.phase, Phase::Step | Phase::Undecided) {
            return;
        }
        let before = self.weight();
        let evidences = self.evidences.current(&self.plan);
        if let Some(reason) = self.rollback_reason(&evidences) {
            self.roll_back(now);
            return self.record(Action::Rollback, AUTOMATIC, &reason, before, now);
        }
        if self.is_paused || self.phase == Phase::Undecided {
            return;
        }
        let uneven = self.uneven_evidence();
        if uneven >= UNEVEN_EVIDENCE {
            self.is_paused = true;
            let (share, weight) = (self.requests.canary_share().unwrap_or(0.0) * 100.0, before);
            let reason = format!(
                "uneven: the canary has {share:.2} % of {} requests instead of {weight} %.",
                self.requests.total()
            );
            return self.record(Action::Pause, AUTOMATIC, &reason, before, now);
        }
        let next = self.next_step_with(&evidences, now);
        if next.is_due() {
            return self.step_up(now);
        }
        if now.since(self.began) >= Duration::from_millis(self.plan.max_ms) {
            self.end_undecided(&next, now);
        }
    }

    /// The rest that the next step needs. `None` if there is none, or if nothing is decided automatically.
    pub fn next_step(&self, now: Timestamp) -> Option<NextStep> {
        let is_open = self.phase == Phase::Step && !self.is_paused && self.pinned.is_none();
        is_open.then(|| self.next_step_with(&self.evidences.current(&self.plan), now))
    }

    /// Evidence that requests are not shared by the weights.
    pub fn uneven_evidence(&self) -> f64 {
        let share = f64::from(self.weight()) / 100.0;
        if !self.plan.draws_requests || share <= 0.0 || share >= 1.0 {
            return 1.0;
        }
        let likelihood = |ratio: &f64| log_likelihood_at(share, self.requests, *ratio).nats().exp();
        let mixture: f64 = UNEVEN_RATIOS.iter().map(likelihood).sum();
        rounded(mixture / UNEVEN_RATIOS.len() as f64)
    }

    fn next_step_with(&self, evidences: &[Evidence], now: Timestamp) -> NextStep {
        let plan = &self.plan;
        let hold = Duration::from_millis(plan.hold_ms);
        let is_promotion = self.step + 1 >= plan.last_step();
        let names = |fails: &dyn Fn(&Evidence) -> bool| {
            let checks = evidences.iter().zip(&plan.checks);
            checks.filter(|(one, _)| fails(one)).map(|(_, check)| check.name.clone()).collect()
        };
        NextStep {
            weight: plan.share((self.step + 1).min(plan.last_step())),
            requests: plan.hold_requests.saturating_sub(self.requests.canary),
            time: hold.saturating_sub(now.since(self.since)),
            suspicious: names(&|one| one.against() >= plan.caution_evidence()),
            unproven: names(&|one| {
                is_promotion && one.non_inferiority() < plan.promotion_evidence()
            }),
        }
    }

    fn rollback_reason(&self, evidences: &[Evidence]) -> Option<String> {
        let bound = self.plan.rollback_evidence();
        let mut checks = evidences.iter().zip(&self.plan.checks);
        let (evidence, check) = checks.find(|(evidence, _)| evidence.against() >= bound)?;
        let (units, events) = (evidence.all().units, evidence.all().events);
        Some(format!(
            "{}: {} of {} came from the canary, {:.2} were its share; evidence {:.1}, limit {bound:.1}.",
            check.name,
            events.canary,
            events.total(),
            events.total() as f64 * units.canary_share().unwrap_or(0.0),
            evidence.against(),
        ))
    }

    fn step_up(&mut self, now: Timestamp) {
        let before = self.weight();
        let (requests, held) = (self.requests.canary, now.since(self.since).as_secs());
        self.step = (self.step + 1).min(self.plan.last_step());
        let is_last = self.step == self.plan.last_step();
        let (action, result) = if is_last {
            self.phase = Phase::Promoted;
            (Action::Promote, "every check has shown that the canary is no worse")
        } else {
            (Action::Step, "no evidence against the canary")
        };
        let reason =
            format!("{requests} requests of the canary at {before} % in {held} s: {result}.");
        self.begin_step(now);
        self.record(action, AUTOMATIC, &reason, before, now);
    }

    /// Ends a rollout whose time is up: promoted if the plan says so and nothing is suspicious.
    fn end_undecided(&mut self, next: &NextStep, now: Timestamp) {
        let before = self.weight();
        let is_promoted = self.plan.promotes_undecided && next.suspicious.is_empty();
        let action = if is_promoted {
            self.phase = Phase::Promoted;
            self.step = self.plan.last_step();
            self.begin_step(now);
            Action::Promote
        } else {
            self.phase = Phase::Undecided;
            Action::Undecided
        };
        let missing = [&next.suspicious, &next.unproven].map(|names| names.join(", "));
        let reason = format!(
            "max_time is over. Missing: {} requests of the canary, {} s. Suspicious checks: {}. \
             Checks without proof: {}.",
            next.requests,
            next.time.as_secs(),
            or_none(&missing[0]),
            or_none(&missing[1]),
        );
        self.record(action, AUTOMATIC, &reason, before, now);
    }
}

fn or_none(names: &str) -> &str {
    if names.is_empty() { "none" } else { names }
}
