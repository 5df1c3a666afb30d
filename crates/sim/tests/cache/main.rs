//! Cache and conversations in virtual time: hits, scopes, expiry, and failing stores.

mod coalescing;
mod conversation;
mod fault;

use std::rc::Rc;
use std::time::Duration;

use config::{Cache, CacheScope, Config, History};
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use serde_json::{Value, json};
use sim::scenario::Transcript;
use sim::testing::{self, chat_request, upstream};
use sim::world::{HangUp, Received, World};

const BASE: &str = r#"
[[providers]]
id = "first"
kind = "openai-compatible"
base_url = "UPSTREAM/first/v1"
[[providers]]
id = "other"
kind = "openai-compatible"
base_url = "UPSTREAM/other/v1"
[[routes]]
id = "chat"
models = ["m", "alias"]
targets = [{ provider = "first", model = "m" }]
fallback = [{ provider = "other", model = "n" }]
timeouts = { first_byte = "30s", idle = "5s", total = "60s" }
[[routes]]
id = "plain"
models = ["plain"]
targets = [{ provider = "first" }]
[[consumers]]
id = "app"
group = "apps"
keys = ["secret:APP_KEY"]
[[consumers]]
id = "app2"
group = "apps"
keys = ["secret:APP2_KEY"]
[[consumers]]
id = "guest"
keys = ["secret:GUEST_KEY"]
"#;

/// Host, and the gateway of its current isolate.
struct Harness {
    world: World,
    gateway: Rc<Gateway>,
    cache: fn() -> Cache,
    history: Option<fn() -> History>,
    limits: &'static str,
}

/// Cache that keeps everything for an hour, for each consumer.
fn cache() -> Cache {
    Cache {
        routes: None,
        ttl: Duration::from_secs(3_600),
        jitter: 0,
        scope: CacheScope::Consumer,
        max_temperature: 1_000,
        max_entry: 256 << 10,
        pace: None,
        charge: false,
    }
}

struct Observation {
    status: u16,
    cache: String,
    headers: http::HeaderMap,
    body: String,
    transcript: Transcript,
    record: Value,
    took: Duration,
}

impl Harness {
    fn new(scripts: &[&str], cache: fn() -> Cache) -> Self {
        let other = upstream(&["answer = 'from the fallback'"]);
        let world = testing::world(1, [("first", upstream(scripts)), ("other", other)]);
        Self { gateway: new_gateway(cache(), None, ""), world, cache, history: None, limits: "" }
    }

    /// Starts another isolate, which shares only the store with the one before.
    fn next_isolate(&mut self) {
        self.gateway = new_gateway((self.cache)(), self.history.map(|make| make()), self.limits);
    }

    #[track_caller]
    fn ask(&self, key: &str, body: &str) -> Observation {
        self.send(key, body, &[], HangUp::Never)
    }

    #[track_caller]
    fn send(
        &self,
        key: &str,
        body: &str,
        headers: &[(&'static str, &str)],
        hang_up: HangUp,
    ) -> Observation {
        let answer = self.gateway.handle(self.world.clone(), message(key, body, headers));
        let received = self.world.play(answer, hang_up).expect("it ends");
        observation(received, self.world.take_records().pop().expect("a record"))
    }

    fn calls(&self) -> usize {
        self.world.calls().get("first").map_or(0, Vec::len)
    }

    fn stored(&self, prefix: &str) -> usize {
        self.world.stored_text().lines().filter(|line| line.starts_with(prefix)).count()
    }
}

fn new_gateway(cache: Cache, history: Option<History>, limits: &str) -> Rc<Gateway> {
    let config = testing::config(&format!("{BASE}{limits}"));
    Gateway::new(Config { cache: Some(cache), history, ..config }, GatewaySecrets::default())
}

fn message(key: &str, body: &str, headers: &[(&'static str, &str)]) -> http::Request<Body> {
    let mut request = chat_request(key, body.to_owned());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header value"));
    }
    request
}

fn observation(received: Received, record: Value) -> Observation {
    Observation {
        status: received.status(),
        cache: received.header("x-serin-cache").to_owned(),
        transcript: Transcript::parse(received.header("content-type"), &received.body()),
        body: received.text(),
        took: received.took,
        headers: received.head.expect("a head").1,
        record,
    }
}

fn question(rest: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{rest}}}"#)
}

const HELLO: &[&str] = &["answer = 'Hello to you'\nprompt_tokens = 9\ncompletion_tokens = 3"];
const STREAM: &str = r#","stream":true"#;
const STREAM_WITH_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

fn id(observed: &Observation) -> String {
    let data = observed.transcript.events.first().unwrap_or(&observed.body);
    let value: Value = serde_json::from_str(data).expect("JSON");
    value["id"].as_str().expect("an id").to_owned()
}

#[test]
fn repeated_request_is_a_hit_streamed_or_not() {
    for first in ["", STREAM, STREAM_WITH_USAGE] {
        for second in ["", STREAM, STREAM_WITH_USAGE] {
            for other_isolate in [false, true] {
                let mut harness = Harness::new(HELLO, cache);
                let one = harness.ask("APP_KEY", &question(first));
                assert_eq!((one.status, one.cache.as_str()), (200, "miss"));
                if other_isolate {
                    harness.next_isolate();
                }
                let two = harness.ask("APP_KEY", &question(second));
                assert_eq!((two.status, two.cache.as_str()), (200, "hit"), "{first} then {second}");
                assert_eq!(two.transcript.text, "Hello to you");
                assert_eq!(two.transcript.finish_reasons, ["stop"]);
                assert_eq!(two.transcript.contains_done(), !second.is_empty());
                assert_eq!(two.transcript.usage.is_some(), second != STREAM);
                if let Some(usage) = two.transcript.usage.as_ref() {
                    assert_eq!(usage["completion_tokens"], 3);
                }
                assert_ne!(id(&one), id(&two));
                assert_eq!(two.headers["age"], "0");
                assert_eq!(two.headers["x-serin-target"], "first/m");
                assert_eq!(two.record["cache"], "hit");
                assert_eq!(two.record["tokens"]["counted"], "none");
                assert_eq!(
                    (&two.record["attempts"], &two.record["outcome"]),
                    (&json!([]), &json!("answered"))
                );
                assert_eq!(harness.calls(), 1);
            }
        }
    }
}

#[test]
fn cached_answer_is_shared_within_its_scope() {
    let harness = Harness::new(HELLO, cache);
    for key in ["APP_KEY", "APP2_KEY", "GUEST_KEY"] {
        assert_eq!(harness.ask(key, &question("")).cache, "miss", "{key}");
    }
    let harness = Harness::new(HELLO, || Cache { scope: CacheScope::Group, ..cache() });
    let outcome: Vec<String> = ["APP_KEY", "APP2_KEY", "GUEST_KEY"]
        .map(|key| harness.ask(key, &question("")).cache)
        .into();
    assert_eq!(outcome, ["miss", "hit", "miss"]);
    let harness = Harness::new(HELLO, || Cache { scope: CacheScope::All, ..cache() });
    let outcome: Vec<String> = ["APP_KEY", "APP2_KEY", "GUEST_KEY"]
        .map(|key| harness.ask(key, &question("")).cache)
        .into();
    assert_eq!(outcome, ["miss", "hit", "hit"]);
}

#[test]
fn equal_requests_in_another_form_are_a_hit() {
    let harness = Harness::new(HELLO, cache);
    harness.ask("APP_KEY", &question(""));
    let other =
        r#"{ "messages" : [ {"content":"Hi","role":"user"} ], "user":"x", "model":"alias" }"#;
    assert_eq!(harness.ask("APP_KEY", other).cache, "hit");
    for rest in [r#","temperature":0.5"#, r#","seed":1"#, r#","n":2"#, r#","tools":[]"#] {
        assert_eq!(harness.ask("APP_KEY", &question(rest)).cache, "miss", "{rest}");
    }
    assert_eq!(harness.ask("APP_KEY", &question("").replace("\"m\"", "\"plain\"")).cache, "miss");
}

#[test]
fn cache_headers_of_the_caller_control_the_cache() {
    let harness = Harness::new(HELLO, cache);
    let ask = |rest: &str, headers: &[(&'static str, &str)]| {
        harness.send("APP_KEY", &question(rest), headers, HangUp::Never).cache
    };
    const HOT: &str = r#","temperature":1.1"#;
    assert_eq!(ask(HOT, &[]), "bypass");
    assert_eq!(ask(HOT, &[]), "bypass");
    assert_eq!(ask(HOT, &[("x-serin-cache", "force")]), "miss");
    assert_eq!(ask(HOT, &[("x-serin-cache", "force")]), "hit");
    assert_eq!(ask("", &[("cache-control", "no-store")]), "bypass");
    assert_eq!(ask("", &[("cache-control", "no-cache")]), "miss");
    assert_eq!(ask("", &[]), "hit");
    assert_eq!(ask("", &[("cache-control", "no-cache")]), "miss");
    harness
        .world
        .play(std::future::ready(http::Response::new(Body::Empty)), HangUp::Never)
        .expect("it ends");
    assert_eq!(ask("", &[("cache-control", "max-age=10")]), "hit");
    assert_eq!(ask("", &[("x-serin-cache", "off")]), "bypass");
}

#[test]
fn cached_answer_expires_by_ttl_and_max_age() {
    for other_isolate in [false, true] {
        let mut harness =
            Harness::new(HELLO, || Cache { ttl: Duration::from_secs(30), jitter: 500, ..cache() });
        harness.ask("APP_KEY", &question(""));
        if other_isolate {
            harness.next_isolate();
        }
        sleep(&harness, 14);
        let hit = harness.ask("APP_KEY", &question(""));
        assert_eq!(
            (hit.cache.as_str(), &hit.headers["age"]),
            ("hit", &http::HeaderValue::from_static("14"))
        );
        let old = harness.send(
            "APP_KEY",
            &question(""),
            &[("cache-control", "max-age=13")],
            HangUp::Never,
        );
        assert_eq!(old.cache, "miss");
        sleep(&harness, 30);
        assert_eq!(
            harness.ask("APP_KEY", &question("")).cache,
            "miss",
            "an entry in the store does not live longer"
        );
    }
}

fn sleep(harness: &Harness, seconds: u64) {
    let pause = harness.world.executor().sleep(Duration::from_secs(seconds));
    harness.world.executor().run(pause).expect("it ends");
}

#[test]
fn cached_stream_with_a_pace_pauses_between_events() {
    let harness =
        Harness::new(HELLO, || Cache { pace: Some(Duration::from_millis(100)), ..cache() });
    harness.ask("APP_KEY", &question(STREAM));
    let paced = harness.ask("APP_KEY", &question(STREAM));
    let events = u32::try_from(paced.transcript.events.len()).expect("few");
    assert_eq!(
        (paced.cache.as_str(), paced.took),
        ("hit", Duration::from_millis(100) * (events - 1))
    );
    assert_eq!(paced.record["outcome"], "answered");
    let hung_up = harness.send("APP_KEY", &question(STREAM), &[], HangUp::AfterEvents(2));
    assert_eq!(hung_up.record["outcome"], "hung_up");
}

#[test]
fn hit_is_charged_only_with_charge() {
    const LIMIT: &str = r#"
[[limits]]
id = "each"
by = "consumer"
requests = { per = "hour", max = 2 }
"#;
    for charge in [false, true] {
        let mut harness =
            Harness::new(HELLO, if charge { || Cache { charge: true, ..cache() } } else { cache });
        harness.limits = LIMIT;
        harness.next_isolate();
        let all: Vec<u16> = (0..3).map(|_| harness.ask("APP_KEY", &question("")).status).collect();
        assert_eq!(all, if charge { [200, 200, 429] } else { [200, 200, 200] });
        let hit = harness.ask("APP2_KEY", &question(""));
        let hit = if hit.cache == "miss" { harness.ask("APP2_KEY", &question("")) } else { hit };
        assert_eq!(
            (hit.cache.as_str(), &hit.record["tokens"]["output"]),
            ("hit", &json!(if charge { 3 } else { 0 }))
        );
        assert_eq!(hit.headers.contains_key("x-ratelimit-remaining-requests"), charge);
    }
}
