//! Laws of the state machine, and the error rates of its decisions in virtual time.

mod laws;
mod simulation;
mod steps;

use civil_time::Timestamp;

use super::{Check, CheckCounts, Plan, Report, Rollout, RolloutOperation, RolloutReply, Sides};

/// A time at the start of a window.
const BEGINNING: u64 = 1_767_225_600_000;
const MINUTE: u64 = 60_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(BEGINNING + millis)
}

fn check(name: &str, max_ratio_thousandths: u32) -> Check {
    Check { name: name.to_owned(), quantile: None, max_ratio_thousandths }
}

/// The plan of the measured tables: 1, 5, 20, and 50 %, then promotion.
fn plan() -> Plan {
    Plan {
        target: "deepseek/deepseek-chat".to_owned(),
        steps: vec![1, 5, 20, 50, 100],
        hold_ms: 5 * MINUTE,
        hold_requests: 200,
        unit: "request".to_owned(),
        draws_requests: true,
        alpha_millionths: 50_000,
        checks: vec![check("errors", 2_000)],
        promotes_undecided: false,
        max_ms: 7 * 24 * 60 * MINUTE,
    }
}

/// A report of one check: units and events as control, canary.
fn report(id: u64, version: u64, units: (u64, u64), events: (u64, u64)) -> Report {
    let counts = CheckCounts { units: units.into(), events: events.into() };
    Report { id, version, requests: Sides::from(units), checks: vec![counts], ..Report::default() }
}

fn apply_report(state: &mut Option<Rollout>, now: u64, plan: &Plan, report: Report) -> (u64, u8) {
    let operation = RolloutOperation::Report { plan: plan.clone(), report };
    match Rollout::apply(state, at(now), &operation) {
        RolloutReply::InForce(in_force) => (in_force.version, in_force.weight),
        other => panic!("{other:?}"),
    }
}
