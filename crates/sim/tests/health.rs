//! What a provider's failures cost its callers over time, in virtual time: few waits while it is dead, its
//! part again when it is back, and second tries within their budget.

use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use secret::Secret;
use sim::scenario::Scenario;
use sim::world::{CLOSED, HangUp, UPSTREAM, World};

/// A minute of requests, one every 200 ms, and how long they took.
struct Measurement {
    world: World,
    took: Vec<Duration>,
    targets: Vec<String>,
}

/// Plays `count` requests against a route whose first target behaves like the script, before a healthy
/// fallback. Every one must be answered.
fn play(script: &str, route: &str, count: usize, pause: Duration) -> Measurement {
    let text = format!(
        r#"
about = "A first target and a healthy fallback."
config = '''
[[providers]]
id       = "first"
kind     = "openai-compatible"
base_url = "UPSTREAM/first/v1"

[[providers]]
id       = "other"
kind     = "openai-compatible"
base_url = "UPSTREAM/other/v1"

[[routes]]
id       = "only"
models   = ["m"]
targets  = [{{ provider = "first" }}]
fallback = [{{ provider = "other" }}]
timeouts = {{ first_byte = "2s" }}
{route}

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
'''
secrets = {{ APP_KEY = "app-key" }}

[upstreams.first]
script = [{script}]

[upstreams.other]
script = [{{ answer = "Hi" }}]

[[requests]]
path = "/v1/chat/completions"
"#
    );
    let scenario = Scenario::parse("health", &text).expect("the scenario is right");
    let secret = |name: &str| scenario.secrets.get(name).map(|value| Secret::new(value));
    let config = author::from_toml(&scenario.config_for(UPSTREAM, CLOSED), &secret)
        .expect("the configuration is right");
    let world = World::new(1, scenario.upstreams.clone());
    let gateway = Gateway::new(config, GatewaySecrets::default());
    let (mut took, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let request = http::Request::post("/v1/chat/completions")
            .header("authorization", "Bearer app-key")
            .header("content-type", "application/json")
            .body(Body::from(Bytes::from_static(br#"{"model":"m","messages":[]}"#)))
            .expect("the request is right");
        let received = world
            .play(gateway.handle(world.clone(), request), HangUp::Never)
            .expect("the request ends");
        let (status, headers) = received.head.expect("there is a head");
        assert_eq!(status, 200);
        targets.push(headers["x-serin-target"].to_str().expect("it is text").to_owned());
        took.push(received.took);
        world.executor().run(world.executor().sleep(pause)).expect("time passes");
    }
    Measurement { world, took, targets }
}

#[test]
fn a_dead_target_costs_a_few_waits() {
    let pause = Duration::from_millis(200);
    let Measurement { world, took, .. } = play("{ hang = true }", "", 1_500, pause);
    let slow = took.iter().filter(|took| **took >= Duration::from_secs(2)).count();
    assert_eq!(world.calls()["first"].len(), slow);
    // Five until it rests; the rests are 10, 20 and 30 seconds and the half of each at least.
    let minutes = world.executor().now().as_secs() / 60;
    assert!((6..=9 + usize::try_from(minutes).expect("a few") * 4).contains(&slow), "{slow}");
    assert!(minutes >= 5, "{minutes}");
}

#[test]
fn a_target_that_is_back_has_its_part_within_half_a_minute() {
    let dead = "{ status = 503 }, ".repeat(9);
    let script = format!("{dead}{{ answer = \"Hello\" }}");
    let pause = Duration::from_millis(200);
    let Measurement { world, targets, .. } = play(&script, "", 1_500, pause);
    let back = targets.iter().position(|target| target == "first/m").expect("it comes back");
    assert!(targets[back..].iter().all(|target| target == "first/m"));
    // Nine calls fail: five until it rests and four probes, each a rest of 30 s at most after the other.
    assert!(back <= (10 + 20 + 30 + 30 + 30) * 5 + 10, "{back}");
    assert_eq!(world.calls()["first"].len(), 9 + targets.len() - back);
}

#[test]
fn second_tries_stay_within_their_budget() {
    let route = "retries = { attempts = 1, backoff = \"2ms\" }\nhealth = { failures = 0 }";
    let script = "{ status = 503 }";
    let Measurement { world, took, .. } = play(script, route, 1_000, Duration::ZERO);
    let tries = world.calls()["first"].len() - took.len();
    // Thirty that are saved up, a fifth of the requests, and three a second.
    let seconds = usize::try_from(world.executor().now().as_secs()).expect("a few");
    assert!((225..=231 + 3 * (seconds + 1)).contains(&tries), "{tries} in {seconds} s");
    let generous = format!("{route}\n").replace("2ms\"", "2ms\", budget = 1.0");
    let Measurement { world, .. } = play(script, &generous, 1_000, Duration::ZERO);
    assert_eq!(world.calls()["first"].len(), 2_000);
}
