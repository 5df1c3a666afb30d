//! Cost of a provider's failures for callers, in virtual time: few waits during an outage, full traffic after
//! it, and retries within their budget.

use std::time::Duration;

use sim::testing::{self, chat_request, send, upstream};
use sim::upstream::UpstreamSpec;
use sim::world::World;

const DOCUMENT: &str = r#"
[[providers]]
id = "first"
kind = "openai-compatible"
base_url = "UPSTREAM/first/v1"
[[providers]]
id = "other"
kind = "openai-compatible"
base_url = "UPSTREAM/other/v1"
[[consumers]]
id = "app"
keys = ["secret:APP_KEY"]
[[routes]]
id = "only"
models = ["m"]
targets = [{ provider = "first" }]
fallback = [{ provider = "other" }]
timeouts = { first_byte = "2s" }
"#;

/// Duration and target of each request.
struct Measurement {
    world: World,
    took: Vec<Duration>,
    targets: Vec<String>,
}

/// Plays `count` requests, `pause` apart, against a route with this first target and a healthy fallback.
/// Asserts that each succeeds.
#[track_caller]
fn assert_served(first: UpstreamSpec, route: &str, count: usize, pause: Duration) -> Measurement {
    let world = testing::world(1, [("first", first), ("other", upstream(&["answer = 'Hi'"]))]);
    let gateway = testing::gateway_without_admin(&format!("{DOCUMENT}{route}"));
    let (mut took, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let request = chat_request("APP_KEY", r#"{"model":"m","messages":[]}"#);
        let received = send(&world, &gateway, request);
        assert_eq!(received.status(), 200);
        targets.push(received.header("x-serin-target").to_owned());
        took.push(received.took);
        world.executor().run(world.executor().sleep(pause)).expect("time passes");
    }
    Measurement { world, took, targets }
}

#[test]
fn silent_target_costs_few_waits() {
    let pause = Duration::from_millis(200);
    let Measurement { world, took, .. } =
        assert_served(upstream(&["hang = true"]), "", 1_500, pause);
    let slow = took.iter().filter(|took| **took >= Duration::from_secs(2)).count();
    assert_eq!(world.calls()["first"].len(), slow);
    // Five calls until the cool-down. Cool-downs last 10, 20, and 30 seconds, or at least half of that.
    let minutes = world.executor().now().as_secs() / 60;
    assert!((6..=9 + usize::try_from(minutes).expect("a few") * 4).contains(&slow), "{slow}");
    assert!(minutes >= 5, "{minutes}");
}

#[test]
fn recovered_target_serves_within_half_a_minute() {
    let mut scripts = ["status = 503"; 10];
    scripts[9] = "answer = 'Hello'";
    let pause = Duration::from_millis(200);
    let Measurement { world, targets, .. } = assert_served(upstream(&scripts), "", 1_500, pause);
    let back = targets.iter().position(|target| target == "first/m").expect("the target recovers");
    assert!(targets[back..].iter().all(|target| target == "first/m"));
    // Nine calls fail: five until the cool-down, then four probes with cool-downs of at most 30 s between them.
    assert!(back <= (10 + 20 + 30 + 30 + 30) * 5 + 10, "{back}");
    assert_eq!(world.calls()["first"].len(), 9 + targets.len() - back);
}

#[test]
fn retries_of_a_failing_target_stay_within_their_budget() {
    let route = "retries = { attempts = 1, backoff = \"2ms\" }\nhealth = { failures = 0 }";
    let failing = upstream(&["status = 503"]);
    let Measurement { world, took, .. } =
        assert_served(failing.clone(), route, 1_000, Duration::ZERO);
    let retries = world.calls()["first"].len() - took.len();
    // The budget: 30 in advance, a fifth of the requests, and three a second.
    let seconds = usize::try_from(world.executor().now().as_secs()).expect("a few");
    assert!((225..=231 + 3 * (seconds + 1)).contains(&retries), "{retries} in {seconds} s");
    let generous = format!("{route}\n").replace("2ms\"", "2ms\", budget = 1.0");
    let Measurement { world, .. } = assert_served(failing, &generous, 1_000, Duration::ZERO);
    assert_eq!(world.calls()["first"].len(), 2_000);
}

#[test]
fn empty_answer_is_not_measured() {
    // Of the measured latencies, the slowest calls are hedged. Empty answers are fast and no proof of speed.
    let mut scripts = vec!["answer = ''\nprompt_tokens = 9\ncompletion_tokens = 0"; 100];
    scripts.push("answer = 'Hello'\ndelay = '1s'");
    let Measurement { world, targets, .. } =
        assert_served(upstream(&scripts), "hedge = {}\n", 101, Duration::from_millis(10));
    assert!(targets.iter().all(|target| target == "first/m"), "{:?}", targets.last());
    assert!(!world.calls().contains_key("other"));
}
