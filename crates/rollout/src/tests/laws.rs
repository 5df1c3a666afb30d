//! Laws over arbitrary reports and commands.

use proptest::prelude::*;
use serde_json::Value;

use super::{MINUTE, apply_report, at, plan, report};
use crate::{
    Action, Command, Phase, Plan, Report, Rollout, RolloutOperation, RolloutReply, Sample,
};

/// The largest state that may be stored.
const MAX_STATE_BYTES: usize = 64 * 1_024;

/// A plan without the test of shares: the reports' shares are arbitrary.
fn uneven_plan() -> Plan {
    Plan { draws_requests: false, ..plan() }
}

/// State after reports within one window; the order of the remembered ids has no meaning.
fn state_after(reports: &[Report]) -> Value {
    let mut state = None;
    apply_report(&mut state, 0, &uneven_plan(), Report::default());
    for (position, report) in reports.iter().enumerate() {
        let now = position as u64 % MINUTE;
        apply_report(&mut state, now, &uneven_plan(), report.clone());
    }
    let mut value = serde_json::to_value(state).expect("a state is JSON");
    let ids = value["reports"].as_array_mut().expect("ids are a list");
    ids.sort_by_key(Value::as_u64);
    value
}

/// Reports without evidence against the canary, each with an id of its own.
fn harmless_reports() -> impl Strategy<Value = Vec<Report>> {
    let one = (0_u64..500, 0_u64..20, 0_u64..4, 0_u64..3);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        let make = |(position, (control, canary, failures, version)): (usize, (u64, u64, _, _))| {
            let id = position as u64 + 1;
            report(id, version, (control, canary), (control.min(failures), 0))
        };
        numbered.map(make).collect()
    })
}

#[derive(Clone, Debug)]
enum Step {
    Report { units: (u64, u64), events: (u64, u64), lag: u64, value: u64 },
    Command(Command),
    OtherPlan(u8),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let units = (0_u64..2_000, 0_u64..400);
    let report = (units, 0.0..1.0, 0.0..0.2, 0_u64..2, 1_u64..100_000).prop_map(
        |(units, worse, rate, lag, value)| {
            let events = |units: u64, rate: f64| (units as f64 * rate) as u64;
            let events = (events(units.0, rate / 10.0), events(units.1, rate * worse * worse));
            Step::Report { units, events, lag, value }
        },
    );
    let command = prop_oneof![
        Just(Command::Pause),
        Just(Command::Resume),
        Just(Command::Promote),
        Just(Command::Rollback),
        (0_u8..120).prop_map(Command::Pin),
        Just(Command::Restart),
    ];
    let step = prop_oneof![
        20 => report,
        2 => command.prop_map(Step::Command),
        1 => (2_u8..5).prop_map(Step::OtherPlan),
    ];
    prop::collection::vec((0_u64..3 * MINUTE, step), 1..80)
}

/// Stores a state and reads it again, as a host that was ended does.
fn reopen(state: Option<&Rollout>) -> Option<Rollout> {
    let text = serde_json::to_string(state?).expect("a state is JSON");
    assert!(text.len() <= MAX_STATE_BYTES, "{} bytes", text.len());
    Some(serde_json::from_str(&text).expect("a stored state is readable"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any order, loss, or repetition of reports gives the state of their set.
    #[test]
    fn state_is_that_of_the_set_of_reports(
        (reports, shuffled) in harmless_reports().prop_flat_map(|reports| {
            let twice = [reports.clone(), reports.clone()].concat();
            (Just(reports), Just(twice).prop_shuffle())
        }),
        lost in any::<u64>(),
    ) {
        prop_assert_eq!(state_after(&reports), state_after(&shuffled));
        let arrives = |report: &&Report| lost >> (report.id % 64) & 1 == 1;
        let some: Vec<Report> = reports.iter().filter(arrives).cloned().collect();
        let others: Vec<Report> = shuffled.iter().filter(arrives).cloned().collect();
        prop_assert_eq!(state_after(&some), state_after(&others));
    }

    #[test]
    fn totals_do_not_depend_on_the_order_of_windows(
        (reports, shuffled) in harmless_reports()
            .prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
    ) {
        let totals = |reports: &[Report]| {
            let mut state = None;
            for (position, report) in reports.iter().enumerate() {
                apply_report(&mut state, position as u64 * 5_000, &uneven_plan(), report.clone());
            }
            state.map(|state| state.checks()[0].counts)
        };
        prop_assert_eq!(totals(&reports), totals(&shuffled));
    }

    #[test]
    fn every_transition_is_allowed_and_the_state_survives_its_host(steps in steps()) {
        let mut plan = Plan { hold_ms: 2 * MINUTE, max_ms: 90 * MINUTE, ..uneven_plan() };
        plan.checks[0].quantile = Some(900);
        let (mut state, mut now) = (None, 0);
        let mut seen = 0;
        for (id, (wait, step)) in steps.into_iter().enumerate() {
            now += wait;
            let before: Option<Rollout> = state.clone();
            let mut reopened = reopen(state.as_ref());
            let version = state.as_ref().map_or(1, Rollout::version);
            let operation = match step {
                Step::Report { units, events, lag, value } => {
                    let mut report = report(id as u64, version.saturating_sub(lag), units, events);
                    report.samples = (0..40).map(|n| Sample::new(0, (n % 13) as u8, value + n)).collect();
                    RolloutOperation::Report { plan: plan.clone(), report }
                }
                Step::Command(command) => RolloutOperation::Command {
                    plan: plan.clone(), version, command, by: "ann".to_owned(), reason: "why ".repeat(300),
                },
                Step::OtherPlan(first) => {
                    plan.steps[0] = first;
                    let report = report(id as u64, version, (10, 10), (0, 0));
                    RolloutOperation::Report { plan: plan.clone(), report }
                }
            };
            let reply = Rollout::apply(&mut state, at(now), &operation);
            let again = Rollout::apply(&mut reopened, at(now), &operation);
            prop_assert_eq!(&reply, &again);
            prop_assert_eq!(&state, &reopened);
            let Some(after) = &state else { continue };
            let was = before.as_ref();
            for transition in after.transitions().iter().filter(|one| one.version > seen) {
                let is_report = matches!(operation, RolloutOperation::Report { .. });
                let is_start = transition.action == Action::Start;
                prop_assert!(is_start || is_report == transition.is_automatic());
                let Some(was) = was else { continue };
                if transition.action == Action::Step {
                    prop_assert!(was.phase() == Phase::Step && !was.is_paused() && was.pinned().is_none());
                    prop_assert!(now + super::BEGINNING - was.since().as_millis() >= plan.hold_ms);
                    prop_assert!(transition.weight > transition.weight_before);
                }
                if transition.action == Action::Promote && transition.is_automatic() {
                    let proven = |one: &crate::CheckNumbers| one.non_inferiority >= plan.promotion_evidence();
                    prop_assert!(transition.checks.iter().all(proven));
                }
            }
            seen = after.version();
            let was_back = was.is_some_and(|was| was.phase() == Phase::RolledBack);
            let changes = matches!(operation, RolloutOperation::Command { .. })
                || was.is_some_and(|was| was.plan() != after.plan());
            prop_assert!(!was_back || changes || after.weight() == 0);
            if let RolloutReply::Refused(_) = reply {
                prop_assert_eq!(&before, &state);
            }
        }
    }

    /// A report of another version never moves a rollout.
    #[test]
    fn report_of_another_version_counts_for_nothing(version in 2_u64..9, failures in 1_u64..100) {
        let mut state = None;
        apply_report(&mut state, 0, &uneven_plan(), Report::default());
        let before = state.clone();
        let late = report(7, version, (1_000, failures), (0, failures));
        apply_report(&mut state, 10 * MINUTE, &uneven_plan(), late);
        prop_assert_eq!(before, state);
    }
}
