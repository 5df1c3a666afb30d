//! The state machine, step by step.

use super::{MINUTE, apply_report, at, check, plan, report};
use crate::{
    Action, Command, Phase, Plan, Refused, Report, Rollout, RolloutOperation, RolloutReply, Sample,
};

/// A rollout that has begun, and a counter of ids.
struct Route {
    state: Option<Rollout>,
    plan: Plan,
    id: u64,
}

impl Route {
    fn new(plan: Plan) -> Self {
        let mut route = Self { state: None, plan, id: 0 };
        assert_eq!(route.report(0, (0, 0), (0, 0)), (1, 1));
        route
    }

    fn get(&self) -> &Rollout {
        self.state.as_ref().expect("it has begun")
    }

    fn report(&mut self, now: u64, units: (u64, u64), events: (u64, u64)) -> (u64, u8) {
        self.id += 1;
        let version = self.state.as_ref().map_or(1, Rollout::version);
        apply_report(&mut self.state, now, &self.plan, report(self.id, version, units, events))
    }

    fn command(&mut self, now: u64, version: u64, command: Command) -> Result<u8, Refused> {
        let (by, reason) = ("ann".to_owned(), "a reason".to_owned());
        let plan = self.plan.clone();
        let operation = RolloutOperation::Command { plan, version, command, by, reason };
        match Rollout::apply(&mut self.state, at(now), &operation) {
            RolloutReply::State(state) => Ok(state.weight()),
            RolloutReply::Refused(refused) => Err(refused),
            RolloutReply::InForce(other) => panic!("{other:?}"),
        }
    }

    /// Steps up by harmless reports; returns the time afterwards.
    fn climb(&mut self, now: u64) -> u64 {
        let now = now + self.plan.hold_ms;
        let weight = u64::from(self.get().weight());
        self.report(now, ((100 - weight) * 200, weight * 200), (0, 0));
        now
    }
}

#[test]
fn step_needs_time_and_requests() {
    let mut route = Route::new(plan());
    assert_eq!(route.report(4 * MINUTE, (30_000, 300), (300, 3)), (1, 1));
    let next = route.get().next_step(at(4 * MINUTE)).expect("it grows");
    assert_eq!((next.requests, next.time.as_secs(), next.weight), (0, 60, 5));
    assert_eq!(route.report(5 * MINUTE, (100, 1), (1, 0)), (2, 5));
    assert_eq!(route.report(10 * MINUTE, (1_900, 100), (19, 1)), (2, 5));
    let next = route.get().next_step(at(10 * MINUTE)).expect("it grows");
    assert_eq!((next.requests, next.time.as_secs(), next.weight), (100, 0, 20));
    assert_eq!(route.report(11 * MINUTE, (1_900, 100), (19, 1)), (3, 20));
}

#[test]
fn promotion_needs_non_inferiority() {
    let mut route = Route::new(plan());
    let mut now = 0;
    for share in [5, 20, 50] {
        now = route.climb(now);
        assert_eq!(route.get().weight(), share);
    }
    // Without failures nothing is shown.
    now += 60 * MINUTE;
    route.report(now, (5_000, 5_000), (0, 0));
    let next = route.get().next_step(at(now)).expect("it is not promoted");
    assert_eq!(next.unproven, ["errors"]);
    let needs = route.get().checks()[0].needs.expect("non-inferiority is not shown");
    assert!(needs.events.is_some_and(|events| events > 1), "{needs:?}");
    assert_eq!(needs.units, None, "there is no rate of events yet");
    assert!(route.get().checks()[0].silent);
    route.report(now, (100, 100), (1, 1));
    let needs = route.get().checks()[0].needs.expect("non-inferiority is not shown");
    assert!(needs.units > needs.events, "{needs:?}");
    route.report(now + MINUTE, (10_000, 10_000), (100, 100));
    assert_eq!((route.get().phase(), route.get().weight()), (Phase::Promoted, 100));
    let last = route.get().transitions().last().expect("it was promoted");
    assert_eq!((last.action, last.weight_before, last.is_automatic()), (Action::Promote, 50, true));
    assert!(last.checks[0].non_inferiority >= 20.0);
}

#[test]
fn rollback_names_the_numbers() {
    let mut route = Route::new(plan());
    route.report(MINUTE, (990, 10), (2, 0));
    assert_eq!(route.report(MINUTE, (0, 3), (0, 3)), (2, 0));
    assert_eq!(route.get().phase(), Phase::RolledBack);
    let last = route.get().transitions().last().expect("it was rolled back");
    assert!(
        last.reason.starts_with("errors: 3 of 5 came from the canary, 0.06 were its"),
        "{last:?}"
    );
    assert_eq!(last.checks[0].counts.events, (2, 3).into());
    // It stays until an operator restarts it.
    assert_eq!(route.report(90 * MINUTE, (1_000, 0), (10, 0)), (2, 0));
    assert_eq!(route.command(91 * MINUTE, 2, Command::Restart), Ok(1));
    assert_eq!(route.get().checks()[0].counts.events, (0, 0).into());
}

#[test]
fn evidence_is_shared_among_the_checks() {
    let alone = plan();
    assert!((alone.rollback_evidence() - 20.0).abs() < 1e-9);
    let five = Plan { checks: vec![check("errors", 2_000); 5], ..plan() };
    assert!((five.rollback_evidence() - 100.0).abs() < 1e-9);
    assert!((five.caution_evidence() - 10.0).abs() < 1e-9);
    assert!((five.promotion_evidence() - 20.0).abs() < 1e-9);
}

#[test]
fn suspicious_canary_does_not_step_up() {
    let mut route = Route::new(plan());
    assert_eq!(route.report(5 * MINUTE, (30_000, 300), (20, 2)), (1, 1));
    let next = route.get().next_step(at(5 * MINUTE)).expect("it grows later");
    assert_eq!(next.suspicious, ["errors"]);
    route.report(9 * MINUTE, (60_000, 600), (600, 6));
    assert_eq!(route.get().weight(), 5);
}

#[test]
fn commands_follow_the_phase_and_the_version() {
    let mut route = Route::new(plan());
    assert_eq!(route.command(0, 9, Command::Pause), Err(Refused::OtherVersion(1)));
    let not_now = |result| matches!(result, Err(Refused::NotNow(_)));
    assert!(not_now(route.command(0, 1, Command::Resume)));
    assert!(not_now(route.command(0, 1, Command::Pin(101))));
    assert_eq!(route.command(0, 1, Command::Pause), Ok(1));
    assert!(not_now(route.command(0, 2, Command::Pause)));
    let now = route.climb(0);
    assert_eq!(route.get().weight(), 1, "a pause stops the growth");
    assert_eq!(route.command(now, 2, Command::Resume), Ok(1));
    assert_eq!(route.command(now, 3, Command::Pin(25)), Ok(25));
    // A pinned share is the operator's own decision.
    assert_eq!(route.report(now, (75, 25), (0, 25)), (4, 25));
    assert_eq!(route.command(now, 4, Command::Resume), Ok(1));
    assert_eq!(route.command(now, 5, Command::Promote), Ok(100));
    for command in [Command::Pause, Command::Resume, Command::Pin(5)] {
        assert!(not_now(route.command(now, 6, command)), "{command:?}");
    }
    assert_eq!(route.command(now, 6, Command::Rollback), Ok(0));
    assert_eq!(route.command(now, 7, Command::Restart), Ok(1));
    let authors: Vec<&str> = route.get().transitions().iter().map(|one| one.by.as_str()).collect();
    assert_eq!(authors, ["serin", "ann", "ann", "ann", "ann", "ann", "ann", "ann"]);
}

#[test]
fn paused_rollout_is_rolled_back_by_evidence() {
    let mut route = Route::new(plan());
    assert_eq!(route.command(0, 1, Command::Pause), Ok(1));
    assert_eq!(route.report(MINUTE, (990, 10), (2, 4)), (3, 0));
}

#[test]
fn uneven_shares_pause_a_rollout() {
    let mut route = Route::new(plan());
    route.report(MINUTE, (10_000, 100), (0, 0));
    assert!(!route.get().is_paused());
    // A gateway that sends four times as many requests to the canary as it should.
    route.report(2 * MINUTE, (5_000, 200), (0, 0));
    assert!(route.get().is_paused());
    let last = route.get().transitions().last().expect("it was paused");
    assert!(last.reason.starts_with("uneven: the canary has 1.96 % of 15300"), "{last:?}");
    // Sticky callers may differ in how much they send.
    let mut sticky = Route::new(Plan { draws_requests: false, ..plan() });
    sticky.report(2 * MINUTE, (5_000, 200), (0, 0));
    assert!(!sticky.get().is_paused());
}

#[test]
fn undecided_rollout_keeps_its_share_or_is_promoted() {
    let hour = 60 * MINUTE;
    for (promotes_undecided, phase, weight) in
        [(false, Phase::Undecided, 1), (true, Phase::Promoted, 100)]
    {
        let mut route = Route::new(Plan { max_ms: hour, promotes_undecided, ..plan() });
        route.report(hour, (1_000, 10), (0, 0));
        assert_eq!((route.get().phase(), route.get().weight()), (phase, weight));
    }
    let mut route = Route::new(Plan { max_ms: hour, draws_requests: false, ..plan() });
    route.report(hour, (1_000, 10), (0, 0));
    let last = route.get().transitions().last().expect("it is undecided");
    assert!(last.reason.contains("Missing: 190 requests of the canary, 0 s."), "{last:?}");
    // It is still watched, and an operator can give it more time.
    assert_eq!(route.command(hour, 2, Command::Resume), Ok(1));
    route.report(2 * hour, (10, 10), (0, 0));
    assert_eq!(route.get().phase(), Phase::Undecided);
    route.report(2 * hour, (990, 10), (0, 10));
    assert_eq!(route.get().phase(), Phase::RolledBack);
}

#[test]
fn incident_of_the_control_counts_for_nothing() {
    let mut route = Route::new(plan());
    route.report(MINUTE, (990, 10), (10, 0));
    route.report(2 * MINUTE, (990, 10), (500, 10));
    route.report(3 * MINUTE, (990, 10), (10, 0));
    assert_eq!(route.get().weight(), 1);
    assert_eq!(route.get().muddy(), (990, 10).into());
    assert_eq!(route.get().checks()[0].counts.events, (20, 0).into());
}

#[test]
fn other_experiment_starts_anew_and_its_predecessor_is_late() {
    let mut route = Route::new(plan());
    let now = route.climb(0);
    assert_eq!(route.get().weight(), 5);
    let old = route.plan.clone();
    // Another hold is the same experiment.
    route.plan.hold_ms = MINUTE;
    assert_eq!(route.report(now, (95, 5), (0, 0)), (2, 5));
    route.plan.target = "mistral/mistral-large".to_owned();
    assert_eq!(route.report(now, (95, 5), (0, 0)), (3, 1));
    let late = report(99, 3, (50, 50), (0, 50));
    assert_eq!(apply_report(&mut route.state, now + MINUTE, &old, late.clone()), (0, 0));
    assert_eq!(route.get().version(), 3);
    // Later it is no gateway with an old configuration, but an operator's change.
    assert_eq!(apply_report(&mut route.state, now + 5 * MINUTE, &old, late), (4, 1));
    assert_eq!(route.get().plan().target, old.target);
}

#[test]
fn automatic_transitions_are_handed_out_until_they_are_audited() {
    let mut route = Route::new(plan());
    route.climb(0);
    let unaudited = |route: &Route| {
        let all = route.get().in_force(&route.plan).unaudited;
        all.iter().map(|one| one.action).collect::<Vec<_>>()
    };
    assert_eq!(unaudited(&route), [Action::Start, Action::Step]);
    let audited = Report { id: 50, version: 2, audited: 1, ..Report::default() };
    apply_report(&mut route.state, 5 * MINUTE, &route.plan.clone(), audited);
    assert_eq!(unaudited(&route), [Action::Step]);
    // Operators' commands have entries of their own.
    route.command(5 * MINUTE, 2, Command::Pause).expect("it grows");
    assert_eq!(unaudited(&route), [Action::Step]);
}

#[test]
fn thresholds_are_those_of_the_control() {
    let mut plan = plan();
    plan.checks[0].quantile = Some(900);
    let mut route = Route::new(plan.clone());
    let samples = (1..=40).map(|millis| Sample::new(0, 2, millis * 100)).collect();
    let report = Report { id: 60, version: 1, samples, ..Report::default() };
    apply_report(&mut route.state, MINUTE, &plan, report);
    let thresholds = route.get().in_force(&plan).thresholds;
    assert_eq!((thresholds[0].check, thresholds[0].class), (0, 2));
    assert!((3_600..4_500).contains(&thresholds[0].value), "{thresholds:?}");
}

#[test]
fn estimate_grows_with_fewer_requests() {
    let minutes = |rate| crate::estimate(&plan(), rate).total().as_secs() / 60;
    assert!((45..60).contains(&minutes(10.0)), "{}", minutes(10.0));
    assert!((400..700).contains(&minutes(1.0)), "{}", minutes(1.0));
    assert!(!crate::estimate(&plan(), 1.0).is_undecided);
    assert!(crate::estimate(&plan(), 0.01).is_undecided);
    assert!(crate::estimate(&plan(), 0.0).is_undecided);
}
