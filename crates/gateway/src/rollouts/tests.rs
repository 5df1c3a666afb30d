//! Rollouts of an isolate over an in-memory host.

use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use config::{Config, Metric, Route};
use openai::Tokens;
use rollout::Side;
use secret::Secret;

use crate::host::{Clock, KvStore};
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, Outcome, Record, RolloutUnit};
use crate::telemetry::usage::aggregator::UsageAggregator;
use crate::testing::fake_host::{FakeHost, block_on};

use super::feedback::RatedUnit;
use super::{Rollouts, read_state};

const DOCUMENT: &str = r#"{
    "providers": [{ "id": "openai", "keys": ["secret:KEY"] }, { "id": "deepseek", "keys": ["secret:KEY"] }],
    "routes": [{
        "id": "chat", "models": ["*"],
        "targets": [{ "provider": "openai", "model": "gpt" }, { "provider": "deepseek", "model": "v3", "weight": 0 }],
        "rollout": { "target": "deepseek/v3", "steps": [10, 50, 100], "hold": { "time": "1m", "requests": 5 } }
    }]
}"#;

/// One isolate; all of a test share a host.
struct Isolate {
    host: FakeHost,
    config: Config,
    rollouts: Rc<Rollouts>,
    aggregator: Rc<UsageAggregator>,
}

impl Isolate {
    fn new(host: &FakeHost) -> Self {
        let secrets = |_: &str| Some(Secret::new("key"));
        let rollouts: Rc<Rollouts> = Rc::default();
        let aggregator =
            UsageAggregator::new(ledger::CardinalityLimits::default(), Rc::clone(&rollouts));
        Self {
            host: host.clone(),
            config: Config::from_json(DOCUMENT, &secrets).expect("the document is right"),
            rollouts,
            aggregator: Rc::new(aggregator),
        }
    }

    fn route(&self) -> &Route {
        &self.config.routes[0]
    }

    /// The share of the canary in percent; `None` if it is unknown.
    fn share(&self) -> Option<u8> {
        block_on(self.rollouts.share(&self.host, self.route())).map(|share| share.percent)
    }

    /// A request of this side that ends with these results of the chosen target.
    fn send(&self, side: Side, results: &[&'static str]) {
        let version = block_on(self.rollouts.share(&self.host, self.route()));
        let version = version.map_or(0, |share| share.version);
        let record = record(&self.host, side, version, results);
        self.rollouts.observe(&self.config, &record, 0);
        self.aggregator.record(&self.host, &record, 0, self.config.observe.requests);
        self.host.run_deferred();
    }
}

fn record(host: &FakeHost, side: Side, version: u64, results: &[&'static str]) -> Record {
    let target = if side == Side::Canary { "deepseek/v3" } else { "openai/gpt" };
    let attempt = |result: &&'static str| {
        let begun = Attempt::start(target.to_owned(), None, AttemptKind::Primary, host.now());
        Attempt { result, ..begun }
    };
    let has_answered = results.contains(&ANSWERED);
    Record {
        at_ms: host.now().as_millis(),
        operation: Some("chat"),
        consumer: Some("acme".to_owned()),
        route: Some("chat".to_owned()),
        rollout: Some(RolloutUnit { side, target: target.to_owned(), version, name: None }),
        attempts: results.iter().map(attempt).collect(),
        status: Some(if has_answered { 200 } else { 502 }),
        outcome: if has_answered { Outcome::Answered } else { Outcome::Failed },
        tokens: Tokens { input: 10, output: 10, ..Tokens::default() },
        total_ms: 100,
        ..Record::default()
    }
}

fn audit_entries(host: &FakeHost) -> Vec<String> {
    let entries = host.entries();
    let audit = entries.iter().filter(|(name, _)| name.starts_with("audit/"));
    audit.map(|(_, entry)| entry.clone()).collect()
}

#[test]
fn failing_canary_loses_its_share_in_every_isolate() {
    let host = FakeHost::new();
    let (one, other) = (Isolate::new(&host), Isolate::new(&host));
    assert_eq!((one.share(), other.share()), (Some(10), Some(10)));
    for _ in 0..40 {
        one.send(Side::Control, &[ANSWERED]);
    }
    for failures in 1..=9 {
        if one.share() == Some(0) {
            break;
        }
        assert!(failures < 9, "the canary keeps its share");
        host.advance(Duration::from_secs(1));
        one.send(Side::Canary, &["5xx"]);
    }
    assert_eq!(one.share(), Some(0));
    // The other one follows with its next report.
    assert_eq!(other.share(), Some(10));
    host.advance(Duration::from_secs(11));
    other.send(Side::Control, &[ANSWERED]);
    assert_eq!(other.share(), Some(0));
    let entries = audit_entries(&host);
    let rollback = entries.iter().find(|entry| entry.contains("rollout.rollback"));
    let rollback = rollback.expect("it is audited");
    for part in ["\"by\":\"serin\"", "\"role\":\"gateway\"", "errors: ", "\"weight\":0"] {
        assert!(rollback.contains(part), "{part}: {rollback}");
    }
    // One entry for each transition, whoever reports afterwards.
    assert_eq!(entries.len(), 2, "{entries:?}");
    let warnings = host.take_warnings();
    assert!(
        warnings.iter().any(|line| line.contains("rollout.rollback, 10 % to 0 %. errors:")),
        "{warnings:?}"
    );
}

#[test]
fn idle_isolate_reads_the_share_and_a_busy_one_does_not() {
    let host = FakeHost::new();
    let (busy, idle) = (Isolate::new(&host), Isolate::new(&host));
    busy.send(Side::Control, &[ANSWERED]);
    assert_eq!(idle.share(), Some(10));
    for _ in 0..7 {
        host.advance(Duration::from_secs(11));
        busy.send(Side::Canary, &[ANSWERED]);
        busy.send(Side::Control, &[ANSWERED]);
    }
    assert_eq!(busy.share(), Some(50), "time and requests are enough");
    assert_eq!(idle.share(), Some(50), "it has not asked for a minute");
    // No call while reports bring the share: one would be pending at the first poll.
    let mut share = Box::pin(busy.rollouts.share(&host, busy.route()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(share.as_mut().poll(&mut context).is_ready());
}

#[test]
fn shares_stay_while_the_ledger_is_unavailable() {
    let host = FakeHost::new();
    let isolate = Isolate::new(&host);
    assert_eq!(isolate.share(), Some(10));
    host.set_ledger_unavailable(true);
    host.advance(Duration::from_secs(600));
    for _ in 0..20 {
        isolate.send(Side::Canary, &[ANSWERED]);
    }
    assert_eq!(isolate.share(), Some(10));
    assert_eq!(Isolate::new(&host).share(), None, "the configuration's weights apply");
    host.set_ledger_unavailable(false);
    host.advance(Duration::from_secs(30));
    isolate.send(Side::Control, &[ANSWERED]);
    assert_eq!(isolate.share(), Some(10));
}

#[test]
fn reply_that_is_lost_counts_its_report_once() {
    let host = FakeHost::new();
    let isolate = Isolate::new(&host);
    assert_eq!(isolate.share(), Some(10));
    host.set_ledger_drops_replies(true);
    isolate.send(Side::Control, &[ANSWERED]);
    host.set_ledger_drops_replies(false);
    host.advance(Duration::from_secs(40));
    isolate.send(Side::Control, &[ANSWERED]);
    host.advance(Duration::from_secs(11));
    isolate.send(Side::Control, &[ANSWERED]);
    let state = block_on(crate::rollouts::sync::read_state(&host, isolate.route()));
    assert_eq!(state.expect("the ledger is there").requests(), (3, 0).into());
}

#[test]
fn audit_entry_is_written_when_the_store_is_back() {
    let host = FakeHost::new();
    let isolate = Isolate::new(&host);
    host.set_store_unavailable(true);
    isolate.send(Side::Control, &[ANSWERED]);
    host.set_store_unavailable(false);
    assert!(audit_entries(&host).is_empty());
    host.advance(Duration::from_secs(11));
    isolate.send(Side::Control, &[ANSWERED]);
    assert_eq!(audit_entries(&host).len(), 1);
    host.advance(Duration::from_secs(11));
    isolate.send(Side::Control, &[ANSWERED]);
    assert_eq!(audit_entries(&host).len(), 1);
    let listed = block_on(host.list("audit/", None)).expect("the store is there");
    assert_eq!(listed.names.len(), 1);
}

#[test]
fn request_without_a_call_counts_only_for_the_shares() {
    let host = FakeHost::new();
    let isolate = Isolate::new(&host);
    // A cached answer, and a caller's own mistake.
    isolate.send(Side::Canary, &[]);
    host.advance(Duration::from_secs(11));
    isolate.send(Side::Canary, &[CALLERS_FAULT]);
    let state = block_on(crate::rollouts::sync::read_state(&host, isolate.route()));
    let state = state.expect("the ledger is there");
    assert_eq!(state.requests(), (0, 2).into());
    assert!(state.checks()[0].counts.is_empty());
}

/// Counts of the check `errors` after requests with these results of the chosen target.
#[track_caller]
fn assert_errors(change: impl Fn(&mut Record), results: &[&'static str], expected: Option<bool>) {
    let host = FakeHost::new();
    let isolate = Isolate::new(&host);
    let share = block_on(isolate.rollouts.share(&host, isolate.route())).expect("it is known");
    let mut record = record(&host, Side::Canary, share.version, results);
    change(&mut record);
    isolate.rollouts.observe(&isolate.config, &record, 0);
    isolate.aggregator.record(&host, &record, 0, isolate.config.observe.requests);
    host.run_deferred();
    let state = block_on(crate::rollouts::sync::read_state(&host, isolate.route()));
    let counts = state.expect("the ledger is there").checks()[0].counts;
    let found = (counts.units.canary > 0).then_some(counts.events.canary > 0);
    assert_eq!(found, expected, "{results:?}");
}

#[test]
fn error_is_a_failure_of_the_chosen_target() {
    let same = |_: &mut Record| {};
    assert_errors(same, &[ANSWERED], Some(false));
    assert_errors(same, &["5xx", ANSWERED], Some(false));
    for result in ["5xx", "connect", "timeout", "429", "key_refused"] {
        assert_errors(same, &[result], Some(true));
    }
    // The caller's own mistake, and a caller who left.
    assert_errors(same, &[CALLERS_FAULT], None);
    assert_errors(|record| record.outcome = Outcome::HungUp, &[crate::record::ABANDONED], None);
    // An answer that broke off, and one that another target completed.
    assert_errors(|record| record.outcome = Outcome::Truncated, &[ANSWERED], Some(true));
    assert_errors(|record| record.continued = true, &[ANSWERED], Some(true));
    // Another target answered.
    assert_errors(|record| record.attempts[0].target = "openai/gpt".to_owned(), &[ANSWERED], None);
    // Another version of the rollout.
    let late = |record: &mut Record| {
        record.rollout.as_mut().expect("it counts").version += 1;
    };
    assert_errors(late, &["5xx"], None);
}

#[test]
fn dislikes_of_the_canary_roll_it_back_and_those_of_an_earlier_version_do_not_count() {
    let host = FakeHost::new();
    let checks = r#""target": "deepseek/v3", "checks": [{ "metric": "disliked" }],"#;
    let document = DOCUMENT.replace(r#""target": "deepseek/v3","#, checks);
    let document = document.replace(r#""time": "1m""#, r#""time": "1h""#);
    let config = Config::from_json(&document, &|_| Some(Secret::new("key")));
    let config = config.expect("the document is right");
    let isolate = Isolate { config, ..Isolate::new(&host) };
    assert_eq!(isolate.share(), Some(10));
    let state = || block_on(read_state(&host, isolate.route())).expect("the ledger is available");
    let version = state().version();
    // Ten requests in each report, and the name of a canary's caller who dislikes the answer.
    let send = |version, name| {
        for _ in 0..9 {
            isolate.send(Side::Control, &[ANSWERED]);
        }
        isolate.send(Side::Canary, &[ANSWERED]);
        let unit = RatedUnit { side: Side::Canary, version, name: Some(name) };
        // Twice by one name counts once in a report.
        for _ in 0..2 {
            isolate.rollouts.add_event(isolate.route(), Metric::Disliked, unit);
        }
        host.advance(Duration::from_secs(11));
        isolate.send(Side::Control, &[ANSWERED]);
    };
    (0..9).for_each(|name| send(version - 1, name));
    let check = state().checks().remove(0);
    assert_eq!((check.counts.units.total(), check.counts.events.total()), (99, 0));
    send(version, 0);
    assert_eq!(state().checks().remove(0).counts.events.canary, 1);
    (1..6).for_each(|name| send(version, name));
    let after = state();
    assert_eq!(after.weight(), 0, "{:?}", after.checks());
    let reason = &after.transitions().last().expect("a rollback").reason;
    assert!(reason.starts_with("disliked: "), "{reason}");
}
