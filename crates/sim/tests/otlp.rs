//! What a collector hears of requests, in virtual time, and what requests notice of it: nothing.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use secret::Secret;
use serde_json::Value;
use sim::upstream::{Call, Ended, Script, Then, UpstreamSpec};
use sim::world::{HangUp, UPSTREAM, World};

const DOCUMENT: &str = r#"
[[providers]]
id = "big"
kind = "openai-compatible"
base_url = "UPSTREAM/big/v1"
[[providers]]
id = "small"
kind = "openai-compatible"
base_url = "UPSTREAM/small/v1"
[[routes]]
id = "chat"
models = ["gpt"]
targets = [{ provider = "big" }]
fallback = [{ provider = "small", model = "mini" }]
retries = { attempts = 0 }
[[consumers]]
id = "acme"
keys = ["secret:ACME"]
[observe.otlp]
endpoint = "UPSTREAM/collector"
headers = { authorization = "secret:OTLP_KEY" }
"#;

const ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn gateway(more: &str) -> Rc<Gateway> {
    let secret = |name: &str| Some(Secret::new(name));
    let document = format!("{DOCUMENT}{more}").replace("UPSTREAM", UPSTREAM);
    let config = author::from_toml(&document, &secret).expect("the document is right");
    Gateway::new(config, GatewaySecrets::lookup(&secret))
}

/// A world whose first target always fails. The collector's script is played once, the last of it for
/// ever.
fn world(collector: &[&str]) -> World {
    let usage = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8";
    let spec = |scripts: &[&str]| UpstreamSpec {
        script: scripts.iter().map(|it| toml::from_str::<Script>(it).expect("a script")).collect(),
        then: Then::Repeat,
        service: None,
    };
    let upstreams = [("big", spec(&["status = 500"])), ("small", spec(&[usage]))];
    let upstreams = upstreams.into_iter().chain([("collector", spec(collector))]);
    World::new(1, upstreams.map(|(name, spec)| (name.to_owned(), spec)).collect())
}

fn new_request(headers: &[(&str, &str)]) -> http::Request<Body> {
    let body = r#"{"model":"gpt","stream":true,"messages":[{"role":"user","content":"a secret"}]}"#;
    let mut request = http::Request::post("/v1/chat/completions")
        .header("authorization", "Bearer ACME")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(Bytes::from(body))).expect("a request")
}

/// Plays requests that come `gap` apart. Gives back the longest time that one took.
fn play(world: &World, gateway: &Rc<Gateway>, count: u32, gap: Duration) -> Duration {
    let longest = Rc::new(Cell::new(Duration::ZERO));
    for number in 0..count {
        let (world, gateway, longest) = (world.clone(), Rc::clone(gateway), Rc::clone(&longest));
        world.clone().executor().spawn(async move {
            world.executor().sleep(gap * number).await;
            let received =
                world.receive(gateway.handle(world.clone(), new_request(&[])), HangUp::Never);
            let received = received.await;
            assert_eq!(received.head.as_ref().map(|(status, _)| status.as_u16()), Some(200));
            longest.set(longest.get().max(received.took));
        });
    }
    world.executor().drain().expect("it ends");
    longest.get()
}

fn calls(world: &World, path: &str) -> Vec<Call> {
    let mut calls = world.calls().remove("collector").unwrap_or_default();
    calls.retain(|call| call.path == path);
    calls
}

fn spans(call: &Call) -> Vec<Value> {
    let body: Value = serde_json::from_slice(&call.body).expect("it is JSON");
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone()
}

/// The sum of a counter over all calls.
fn counted(world: &World, name: &str) -> u64 {
    let bodies = calls(world, "/v1/metrics");
    let bodies = bodies.iter().filter(|call| call.ended == Ended::Completed);
    let mut sum = 0;
    for call in bodies {
        let body: Value = serde_json::from_slice(&call.body).expect("it is JSON");
        let metrics = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        for metric in metrics.as_array().expect("metrics").iter().filter(|it| it["name"] == name) {
            for point in metric["sum"]["dataPoints"].as_array().expect("points") {
                sum += point["asInt"].as_str().expect("a string").parse::<u64>().expect("a number");
            }
        }
    }
    sum
}

#[test]
fn one_batch_for_many_requests_and_a_span_for_each_attempt() {
    let (world, gateway) = (world(&["json = {}"]), gateway(""));
    play(&world, &gateway, 50, Duration::from_millis(10));
    let traces = calls(&world, "/v1/traces");
    assert_eq!((traces.len(), calls(&world, "/v1/metrics").len()), (1, 1));
    assert_eq!(traces[0].headers["authorization"], "OTLP_KEY");
    assert_eq!(traces[0].headers["content-type"], "application/json");
    let text = String::from_utf8(traces[0].body.to_vec()).expect("text");
    assert!(!text.contains("secret") && !text.contains("ACME") && !text.contains("one two"));
    let spans = spans(&traces[0]);
    let tried: usize = spans.iter().filter(|span| span["kind"] == 3).count();
    let asked: Vec<_> = spans.iter().filter(|span| span["kind"] == 2).collect();
    assert_eq!(asked.len(), 50);
    assert_eq!(tried, world.calls()["big"].len() + world.calls()["small"].len());
    // What an upstream was told is the span of its attempt.
    for name in ["big", "small"] {
        for call in &world.calls()[name] {
            let told = call.headers["traceparent"].to_str().expect("text").to_owned();
            let is_it = |span: &&Value| {
                let part = |name: &str| span[name].as_str().expect("text").to_owned();
                told == format!("00-{}-{}-01", part("traceId"), part("spanId"))
            };
            let span = spans.iter().find(is_it).expect("there is one");
            assert_eq!((span["kind"].as_u64(), &told[..2]), (Some(3), "00"));
        }
    }
    assert_eq!(counted(&world, "serin.requests"), 50);
}

#[test]
fn a_collector_that_is_away_costs_nobody_anything() {
    let near = world(&["json = {}"]);
    let usual = play(&near, &gateway(""), 20, Duration::from_millis(300));
    for away in ["refuse = true", "hang = true", "delay = '4s'\njson = {}", "status = 400"] {
        let world = world(&[away]);
        let took = play(&world, &gateway(""), 20, Duration::from_millis(300));
        assert_eq!((took, world.open_calls()), (usual, 0), "{away}");
    }
}

#[test]
fn what_was_not_taken_is_sent_again_and_counted_once() {
    let busy = "status = 503\nheaders = { retry-after = '7' }";
    let (world, gateway) = (world(&[busy, busy, "status = 429", "json = {}"]), gateway(""));
    play(&world, &gateway, 40, Duration::from_millis(1_000));
    let traces = calls(&world, "/v1/traces");
    // The first was refused, waited, and came again byte for byte.
    assert_eq!(traces[0].body, traces[1].body);
    let mut seen: Vec<String> =
        traces.iter().flat_map(spans).map(|it| it["spanId"].to_string()).collect();
    seen.sort_unstable();
    seen.dedup();
    let all = world.calls();
    assert_eq!(seen.len(), 40 + all["big"].len() + all["small"].len());
    assert_eq!(world.take_warnings(), Vec::<String>::new());
    let metrics = calls(&world, "/v1/metrics");
    assert!(metrics.len() < 25, "{}", metrics.len());
    let bodies: BTreeSet<_> = metrics.iter().map(|call| call.body.clone()).collect();
    let mut requests = 0;
    for body in bodies {
        let body: Value = serde_json::from_slice(&body).expect("it is JSON");
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().cloned();
        for metric in metrics.expect("metrics").iter().filter(|it| it["name"] == "serin.requests") {
            let points = metric["sum"]["dataPoints"].as_array().expect("points");
            let number =
                |point: &Value| point["asInt"].as_str().and_then(|it| it.parse::<u64>().ok());
            requests += points.iter().filter_map(number).sum::<u64>();
        }
    }
    assert_eq!(requests, 40);
}

#[test]
fn what_cannot_be_kept_is_told_as_a_number() {
    // The collector wants to be left alone for as long as it may, and then takes everything.
    let rests = "status = 503\nheaders = { retry-after = '60' }";
    let (world, gateway) = (world(&[rests, rests, "json = {}"]), gateway(""));
    play(&world, &gateway, 3_000, Duration::from_millis(20));
    // Those who come after it has come back make it hear of all.
    play(&world, &gateway, 40, Duration::from_millis(1_000));
    let asked = |call: &Call| spans(call).iter().filter(|span| span["kind"] == 2).count() as u64;
    let traces = calls(&world, "/v1/traces");
    let told: u64 = traces[1..].iter().map(asked).sum();
    let dropped = counted(&world, "serin.otlp.dropped");
    assert!(dropped > 0, "{told} {dropped}");
    assert_eq!(told + dropped, 3_040);
}

#[test]
fn whoever_the_collector_refuses_is_told_to_people_once() {
    let (world, gateway) = (world(&["status = 401"]), gateway("metrics = false"));
    play(&world, &gateway, 20, Duration::from_millis(1_000));
    let warnings = world.take_warnings();
    assert_eq!(warnings, ["OTLP export to /v1/traces failed: response status 401"]);
    assert!(calls(&world, "/v1/metrics").is_empty() && calls(&world, "/v1/traces").len() > 1);
}

/// Whether a request with this `traceparent` is recorded, and what the upstream is told of that.
#[track_caller]
fn assert_sampling(sample: &str, parent: Option<&str>, key: &str, expected: (bool, Option<&str>)) {
    let (world, gateway) = (world(&["json = {}"]), gateway(&format!("sample = {sample}")));
    let flags = parent.map(|flags| format!("00-{ID}-b7ad6b7169203331-{flags}"));
    let mut headers = vec![("tracestate", "a=1")];
    headers.extend(flags.as_deref().map(|value| ("traceparent", value)));
    let mut request = new_request(&headers);
    let key = format!("Bearer {key}").parse().expect("a value");
    request.headers_mut().insert("authorization", key);
    world.play(gateway.handle(world.clone(), request), HangUp::Never).expect("it ends");
    let calls = calls(&world, "/v1/traces");
    let told = world.calls().remove("small").and_then(|calls| {
        let told = calls.first()?.headers["traceparent"].to_str().ok()?.to_owned();
        assert_eq!(told.contains(ID), parent.is_some());
        assert_eq!(calls[0].headers.contains_key("tracestate"), parent.is_some());
        Some(told[53..].to_owned())
    });
    assert_eq!((!calls.is_empty(), told.as_deref()), expected, "{sample} {parent:?}");
    if let (Some(call), true) = (calls.first(), parent.is_some()) {
        assert_eq!(spans(call)[0]["parentSpanId"], "b7ad6b7169203331");
    }
}

#[test]
fn the_callers_word_counts_before_the_sample() {
    assert_sampling("1.0", None, "ACME", (true, Some("01")));
    assert_sampling("0.0", None, "ACME", (false, Some("00")));
    assert_sampling("0.0", Some("01"), "ACME", (true, Some("01")));
    assert_sampling("1.0", Some("00"), "ACME", (false, Some("00")));
    // A stranger's does not.
    assert_sampling("0.0", Some("01"), "nobody", (false, None));
    assert_sampling("1.0", Some("00"), "nobody", (true, None));
}

#[test]
fn nothing_is_passed_on_where_no_traces_are_sent() {
    let (world, gateway) = (world(&["json = {}"]), gateway("traces = false"));
    let parent = format!("00-{ID}-b7ad6b7169203331-01");
    let request = new_request(&[("traceparent", &parent), ("tracestate", "a=1")]);
    world.play(gateway.handle(world.clone(), request), HangUp::Never).expect("it ends");
    let told = &world.calls()["small"][0].headers;
    assert!(!told.contains_key("traceparent") && !told.contains_key("tracestate"));
    assert_eq!((calls(&world, "/v1/traces").len(), counted(&world, "serin.requests")), (0, 1));
}
