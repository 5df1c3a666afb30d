//! Cost of the report of an isolate, without a host, next to a mere addition of its counts.

use std::time::Duration;

use civil_time::Timestamp;
use divan::{Bencher, black_box};
use rollout::{
    Check, CheckCounts, ERRORS, Plan, Report, Rollout, RolloutOperation, RolloutReply, Sample,
    Sides,
};

const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Reports of ten minutes.
const EARLIER_REPORTS: u64 = 60;

fn main() {
    divan::main();
}

/// A plan with the first of the checks.
fn plan(checks: usize) -> Plan {
    let all = [
        (ERRORS, None),
        ("first_token", Some(900)),
        ("latency", Some(900)),
        ("cost", Some(900)),
        ("truncated", None),
    ];
    let check = |(name, quantile): &(&str, Option<u16>)| Check {
        name: (*name).to_owned(),
        quantile: *quantile,
        max_ratio_thousandths: 2_000,
    };
    Plan {
        target: "deepseek/deepseek-chat".to_owned(),
        steps: vec![50, 100],
        hold_ms: 600_000,
        hold_requests: 1_000_000,
        unit: "request".to_owned(),
        draws_requests: true,
        alpha_millionths: 50_000,
        checks: all[..checks].iter().map(check).collect(),
        promotes_undecided: false,
        max_ms: 604_800_000,
    }
}

/// Ten seconds of an isolate with ten requests a second, one of which fails.
fn report(plan: &Plan, id: u64, version: u64) -> Report {
    let counts = CheckCounts { units: Sides::from((50, 50)), events: Sides::from((1, 0)) };
    let measured = plan.checks.iter().enumerate().filter(|(_, check)| check.quantile.is_some());
    let samples = measured.flat_map(|(position, _)| {
        (0..50).map(move |number| Sample::new(position, 3, 200 + number * 7))
    });
    Report {
        id,
        version,
        audited: version,
        requests: Sides::from((50, 50)),
        checks: vec![counts; plan.checks.len()],
        samples: samples.collect(),
    }
}

/// A rollout after ten minutes, and the time at their end.
fn rollout_in_course(plan: &Plan) -> (Option<Rollout>, Timestamp) {
    let (mut state, mut now) = (None, BEGIN);
    let mut version = 0;
    for id in 1..=EARLIER_REPORTS {
        now = now + Duration::from_secs(10);
        let operation =
            RolloutOperation::Report { plan: plan.clone(), report: report(plan, id, version) };
        let RolloutReply::InForce(in_force) = Rollout::apply(&mut state, now, &operation) else {
            panic!("a report is answered with the state in force")
        };
        version = in_force.version;
    }
    (state, now)
}

/// Merge of a report, the decision that follows, and the reply.
#[divan::bench(args = [1, 5])]
fn merge_and_decide(bencher: Bencher<'_, '_>, checks: usize) {
    let plan = plan(checks);
    let (mut state, mut now) = rollout_in_course(&plan);
    let version = state.as_ref().expect("it began").version();
    let mut id = EARLIER_REPORTS;
    bencher
        .with_inputs(|| {
            id += 1;
            RolloutOperation::Report { plan: plan.clone(), report: report(&plan, id, version) }
        })
        .bench_local_values(|operation| {
            now = now + Duration::from_secs(10);
            black_box(Rollout::apply(&mut state, now, &operation))
        });
}

/// Baseline: the counts of a report added to others.
#[divan::bench(args = [1, 5])]
fn baseline_sum_of_counts(bencher: Bencher<'_, '_>, checks: usize) {
    let plan = plan(checks);
    let mut sums = vec![CheckCounts::default(); checks];
    let added = report(&plan, 1, 1);
    bencher.bench_local(|| {
        for (sum, counts) in black_box(&mut sums).iter_mut().zip(&added.checks) {
            *sum += *counts;
        }
    });
}

/// Serialization of a report and its reply: an extra cost of a Durable Object.
#[divan::bench(args = [1, 5])]
fn report_and_reply_json(bencher: Bencher<'_, '_>, checks: usize) {
    let plan = plan(checks);
    let (mut state, now) = rollout_in_course(&plan);
    let version = state.as_ref().expect("it began").version();
    let report = report(&plan, EARLIER_REPORTS + 1, version);
    let operation = RolloutOperation::Report { plan, report };
    let reply = Rollout::apply(&mut state, now, &operation);
    let bytes = |value: &RolloutOperation| serde_json::to_vec(value).expect("it serializes");
    bencher.counter(divan::counter::BytesCount::new(bytes(&operation).len())).bench_local(|| {
        let text = bytes(&operation);
        let read: RolloutOperation = serde_json::from_slice(&text).expect("it was serialized here");
        let answer = serde_json::to_vec(&reply).expect("a reply serializes");
        let answer: RolloutReply = serde_json::from_slice(&answer).expect("it was serialized here");
        black_box((read, answer))
    });
}

/// Reading and writing the whole state: what the host of a book adds.
#[divan::bench(args = [1, 5])]
fn read_and_write_state(bencher: Bencher<'_, '_>, checks: usize) {
    let (state, _) = rollout_in_course(&plan(checks));
    let bytes = serde_json::to_vec(&state).expect("a state serializes");
    bencher.counter(divan::counter::BytesCount::new(bytes.len())).bench_local(|| {
        let state: Option<Rollout> =
            serde_json::from_slice(black_box(&bytes)).expect("it was serialized here");
        serde_json::to_vec(&state).expect("a state serializes")
    });
}
