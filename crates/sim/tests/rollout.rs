//! Rollouts in virtual time, over whole gateways: several isolates with one ledger.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::gateway::Gateway;
use serde_json::Value;
use sim::testing::{self, assert_page, chat_request};
use sim::upstream::{Script, Then, UpstreamSpec};
use sim::world::{HangUp, World};

const ROUTE: &str = r#"
[[routes]]
id = "chat"
models = ["gpt"]
targets = [{ provider = "old" }, { provider = "new", model = "gpt-new", weight = 0 }]
fallback = [{ provider = "spare" }]
health = { failures = 0 }
retries = { attempts = 0 }
[routes.rollout]
target = "new/gpt-new"
steps = [10, 50, 100]
hold = { time = "20s", requests = 20 }
unit = "request"
checks = [{ metric = "errors" }]
[[consumers]]
id = "acme"
keys = ["secret:ACME"]
"#;

/// Start of every world.
const START_MS: u64 = 1_767_225_600_000;

/// Isolates with one ledger, and upstreams behind them.
struct Route {
    world: World,
    isolates: Vec<Rc<Gateway>>,
}

/// A request: its time in milliseconds, the target of its answer, and its side.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answered {
    at_ms: u64,
    side: Option<String>,
    first_target: String,
    has_failed: bool,
}

impl Route {
    fn new(isolates: usize, old: UpstreamSpec, new: UpstreamSpec) -> Self {
        let document = testing::providers(&["old", "new", "spare"]) + ROUTE;
        let spare = testing::upstream(&["answer = 'spare'"]);
        Self {
            world: testing::world(7, [("old", old), ("new", new), ("spare", spare)]),
            isolates: (0..isolates).map(|_| testing::gateway(&document)).collect(),
        }
    }

    /// Sends ten requests a second for some seconds, to the isolates in turn.
    fn play(&self, seconds: u64) -> Vec<Answered> {
        let failed = Rc::new(RefCell::new(0));
        for number in 0..seconds * 10 {
            let gateway = Rc::clone(&self.isolates[number as usize % self.isolates.len()]);
            let (world, failed) = (self.world.clone(), Rc::clone(&failed));
            self.world.executor().spawn(async move {
                world.executor().sleep(Duration::from_millis(number * 100)).await;
                let body = r#"{"model":"gpt","messages":[{"role":"user","content":"Hello?"}]}"#;
                let answer = gateway.handle(world.clone(), chat_request("ACME", body));
                let received = world.receive(answer, HangUp::Never).await;
                *failed.borrow_mut() += usize::from(received.status() != 200);
            });
        }
        self.world.executor().drain().expect("every request ends");
        assert_eq!(*failed.borrow(), 0, "the fallback answers");
        self.world.take_records().iter().map(answered).collect()
    }

    fn state(&self) -> Value {
        let page = assert_page(&self.world, &self.isolates[0], "/admin/v1/rollouts/chat");
        serde_json::from_str(&page).expect("JSON")
    }
}

fn answered(record: &Value) -> Answered {
    let first = &record["attempts"][0];
    Answered {
        at_ms: record["at_ms"].as_u64().expect("a time"),
        side: record["side"].as_str().map(str::to_owned),
        first_target: first["target"].as_str().expect("a target").to_owned(),
        has_failed: first["result"] != "answered",
    }
}

/// Nine answers, then a failure, over and over.
fn mostly_well() -> UpstreamSpec {
    let well = || testing::script("answer = 'one two'");
    let mut script: Vec<Script> = (0..9).map(|_| well()).collect();
    script.push(testing::script("status = 500"));
    UpstreamSpec { script, then: Then::Cycle, ..UpstreamSpec::default() }
}

fn share_of_canary(answers: &[Answered]) -> f64 {
    let canary = answers.iter().filter(|one| one.first_target == "new/gpt-new").count();
    canary as f64 / answers.len() as f64
}

#[test]
fn equal_canary_climbs_and_is_promoted() {
    let route = Route::new(2, mostly_well(), mostly_well());
    let first = route.play(15);
    assert!((0.03..0.2).contains(&share_of_canary(&first)), "{}", share_of_canary(&first));
    assert!(first.iter().all(|one| one.side.is_some()));
    let state = route.state();
    assert_eq!((&state["phase"], &state["step"]), (&"step".into(), &1.into()), "{state}");
    // 51 events at 10 % failures, of which half are the canary's.
    route.play(130);
    let state = route.state();
    assert_eq!((&state["phase"], &state["weight"]), (&"promoted".into(), &100.into()), "{state}");
    let after = route.play(5);
    assert!((share_of_canary(&after) - 1.0).abs() < f64::EPSILON);
    assert!(after.iter().all(|one| one.side.is_none()), "nothing is compared any more");
    let page = assert_page(&route.world, &route.isolates[0], "/metrics");
    for line in [
        "serin_rollout_weight{route=\"chat\"} 100",
        "serin_rollout_phase{route=\"chat\",phase=\"promoted\"} 1",
        "serin_rollout_phase{route=\"chat\",phase=\"step\"} 0",
        "serin_rollout_evidence{route=\"chat\",check=\"errors\"} ",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let audit = assert_page(&route.world, &route.isolates[0], "/admin/v1/audit");
    for action in ["rollout.start", "rollout.step", "rollout.promote"] {
        assert_eq!(audit.matches(action).count(), 1, "{action}: {audit}");
    }
}

#[test]
fn broken_canary_is_back_at_zero_within_ten_seconds() {
    // It climbs to 50 %, and then fails.
    let well = (0..60).map(|_| testing::script("answer = 'one two'")).collect();
    let new = UpstreamSpec { script: well, then: Then::Error, ..UpstreamSpec::default() };
    let route = Route::new(3, mostly_well(), new);
    let answers = route.play(110);
    let state = route.state();
    assert_eq!((&state["phase"], &state["weight"]), (&"rolled_back".into(), &0.into()), "{state}");
    let reason = state["transitions"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("errors: "), "{reason}");
    let of_canary = || answers.iter().filter(|one| one.first_target == "new/gpt-new");
    let failures: Vec<u64> =
        of_canary().filter(|one| one.has_failed).map(|one| one.at_ms).collect();
    let last = of_canary().map(|one| one.at_ms).max().expect("it was called");
    let decided = rfc3339_millis(&state["transitions"][0]["at"]);
    // The isolate that reports the deciding failure follows at once, the others with their next report.
    assert!(last <= decided + 10_100, "{last} after {decided}");
    assert!(decided - failures[0] <= 10_000, "{decided} after {failures:?}");
}

fn rfc3339_millis(value: &Value) -> u64 {
    let text = value.as_str().expect("a time");
    civil_time::rfc3339::parse_timestamp(text).expect("RFC 3339").as_millis()
}

#[test]
fn shares_stay_while_the_ledger_is_unavailable() {
    let route = Route::new(1, mostly_well(), mostly_well());
    route.play(2);
    route.world.set_ledger_unavailable(true);
    let answers = route.play(90);
    assert!(answers.iter().any(|one| one.first_target == "new/gpt-new"), "the share stays");
    let share = share_of_canary(&answers);
    assert!((0.03..0.2).contains(&share), "nothing steps up: {share}");
    route.world.set_ledger_unavailable(false);
    route.play(30);
    // The counts have waited, and the decision follows from them.
    let state = route.state();
    let transitions = state["transitions"].as_array().expect("a list");
    let step = transitions.iter().find(|one| one["action"] == "step").expect("it steps up");
    assert!(rfc3339_millis(&step["at"]) >= START_MS + 92_000, "{step}");
    assert!(step["checks"][0]["units"]["control"].as_u64() > Some(700), "{step}");
}

#[test]
fn new_isolate_follows_before_its_first_answer() {
    let route = Route::new(1, mostly_well(), testing::upstream(&["status = 500"]));
    route.play(30);
    assert_eq!(route.state()["weight"], 0);
    let document = testing::providers(&["old", "new", "spare"]) + ROUTE;
    let late = Route { world: route.world, isolates: vec![testing::gateway(&document)] };
    let answers = late.play(10);
    assert!(answers.iter().all(|one| one.first_target == "old/gpt"), "{answers:?}");
}
