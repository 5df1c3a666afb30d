//! OTLP exports in virtual time: content, retries, losses, and sampling. Requests never wait for them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use gateway::gateway::Gateway;
use gateway::host::body::Body;
use serde_json::Value;
use sim::testing::{self, ANSWER_WITH_USAGE, chat_request, send, upstream};
use sim::upstream::{Call, Ended};
use sim::world::{HangUp, World};

/// Addition to [`testing::fallback_document`].
const COLLECTOR: &str = r#"
[observe.otlp]
endpoint = "UPSTREAM/collector"
headers = { authorization = "secret:OTLP_KEY" }
"#;

const ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn gateway(more: &str) -> Rc<Gateway> {
    testing::gateway(&(testing::fallback_document() + COLLECTOR + more))
}

/// World whose first target always fails, with these scripts of the collector.
fn world(collector: &[&str]) -> World {
    let upstreams = [
        ("big", upstream(&["status = 500"])),
        ("small", upstream(&[ANSWER_WITH_USAGE])),
        ("collector", upstream(collector)),
    ];
    testing::world(1, upstreams)
}

fn new_request(headers: &[(&'static str, &str)]) -> http::Request<Body> {
    let body = r#"{"model":"gpt","stream":true,"messages":[{"role":"user","content":"a secret"}]}"#;
    let mut request = chat_request("ACME", body);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header value"));
    }
    request
}

/// Plays requests, `gap` apart. Returns the longest duration of one.
fn play(world: &World, gateway: &Rc<Gateway>, count: u32, gap: Duration) -> Duration {
    let longest = Rc::new(Cell::new(Duration::ZERO));
    for number in 0..count {
        let (world, gateway, longest) = (world.clone(), Rc::clone(gateway), Rc::clone(&longest));
        world.clone().executor().spawn(async move {
            world.executor().sleep(gap * number).await;
            let answer = gateway.handle(world.clone(), new_request(&[]));
            let received = world.receive(answer, HangUp::Never).await;
            assert_eq!(received.status(), 200);
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

/// Adds the values of a counter in all completed exports.
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
fn export_of_many_requests_is_one_batch_with_a_span_for_each_attempt() {
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
    // The `traceparent` of an upstream request names the span of its attempt.
    for name in ["big", "small"] {
        for call in &world.calls()[name] {
            let parent = call.headers["traceparent"].to_str().expect("text").to_owned();
            let is_it = |span: &&Value| {
                let part = |name: &str| span[name].as_str().expect("text").to_owned();
                parent == format!("00-{}-{}-01", part("traceId"), part("spanId"))
            };
            let span = spans.iter().find(is_it).expect("there is one");
            assert_eq!((span["kind"].as_u64(), &parent[..2]), (Some(3), "00"));
        }
    }
    assert_eq!(counted(&world, "serin.requests"), 50);
}

#[test]
fn requests_with_an_unavailable_collector_take_no_longer() {
    let near = world(&["json = {}"]);
    let usual = play(&near, &gateway(""), 20, Duration::from_millis(300));
    for script in ["refuse = true", "hang = true", "delay = '4s'\njson = {}", "status = 400"] {
        let world = world(&[script]);
        let took = play(&world, &gateway(""), 20, Duration::from_millis(300));
        assert_eq!((took, world.open_calls()), (usual, 0), "{script}");
    }
}

#[test]
fn refused_export_is_sent_again_and_counted_once() {
    let busy = "status = 503\nheaders = { retry-after = '7' }";
    let (world, gateway) = (world(&[busy, busy, "status = 429", "json = {}"]), gateway(""));
    play(&world, &gateway, 40, Duration::from_millis(1_000));
    let traces = calls(&world, "/v1/traces");
    // The first export was refused and is sent again with equal bytes.
    assert_eq!(traces[0].body, traces[1].body);
    let mut ids: Vec<String> =
        traces.iter().flat_map(spans).map(|it| it["spanId"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let all = world.calls();
    assert_eq!(ids.len(), 40 + all["big"].len() + all["small"].len());
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
fn dropped_spans_are_exported_as_a_count() {
    // The collector requests the longest allowed pause, and then accepts everything.
    let pauses = "status = 503\nheaders = { retry-after = '60' }";
    let (world, gateway) = (world(&[pauses, pauses, "json = {}"]), gateway(""));
    play(&world, &gateway, 3_000, Duration::from_millis(20));
    // Requests after its recovery export everything.
    play(&world, &gateway, 40, Duration::from_millis(1_000));
    let asked = |call: &Call| spans(call).iter().filter(|span| span["kind"] == 2).count() as u64;
    let traces = calls(&world, "/v1/traces");
    let exported: u64 = traces[1..].iter().map(asked).sum();
    let dropped = counted(&world, "serin.otlp.dropped");
    assert!(dropped > 0, "{exported} {dropped}");
    assert_eq!(exported + dropped, 3_040);
}

#[test]
fn refusal_by_the_collector_is_one_warning() {
    let (world, gateway) = (world(&["status = 401"]), gateway("metrics = false"));
    play(&world, &gateway, 20, Duration::from_millis(1_000));
    let warnings = world.take_warnings();
    assert_eq!(warnings, ["OTLP export to /v1/traces failed: response status 401"]);
    assert!(calls(&world, "/v1/metrics").is_empty() && calls(&world, "/v1/traces").len() > 1);
}

/// Asserts whether a request with this `traceparent` is exported, and the sampling flag that its upstream gets.
#[track_caller]
fn assert_sampling(sample: &str, parent: Option<&str>, key: &str, expected: (bool, Option<&str>)) {
    let (world, gateway) = (world(&["json = {}"]), gateway(&format!("sample = {sample}")));
    let flags = parent.map(|flags| format!("00-{ID}-b7ad6b7169203331-{flags}"));
    let mut headers = vec![("tracestate", "a=1")];
    headers.extend(flags.as_deref().map(|value| ("traceparent", value)));
    let mut request = new_request(&headers);
    let key = format!("Bearer {key}").parse().expect("a value");
    request.headers_mut().insert("authorization", key);
    send(&world, &gateway, request);
    let calls = calls(&world, "/v1/traces");
    let sampled = world.calls().remove("small").and_then(|calls| {
        let sent = calls.first()?.headers["traceparent"].to_str().ok()?.to_owned();
        assert_eq!(sent.contains(ID), parent.is_some());
        assert_eq!(calls[0].headers.contains_key("tracestate"), parent.is_some());
        Some(sent[53..].to_owned())
    });
    assert_eq!((!calls.is_empty(), sampled.as_deref()), expected, "{sample} {parent:?}");
    if let (Some(call), true) = (calls.first(), parent.is_some()) {
        assert_eq!(spans(call)[0]["parentSpanId"], "b7ad6b7169203331");
    }
}

#[test]
fn sampling_flag_of_a_known_caller_overrides_the_sample() {
    assert_sampling("1.0", None, "ACME", (true, Some("01")));
    assert_sampling("0.0", None, "ACME", (false, Some("00")));
    assert_sampling("0.0", Some("01"), "ACME", (true, Some("01")));
    assert_sampling("1.0", Some("00"), "ACME", (false, Some("00")));
    // The flag of an unknown caller is ignored.
    assert_sampling("0.0", Some("01"), "unknown", (false, None));
    assert_sampling("1.0", Some("00"), "unknown", (true, None));
}

#[test]
fn trace_headers_without_trace_exports_are_not_forwarded() {
    let (world, gateway) = (world(&["json = {}"]), gateway("traces = false"));
    let parent = format!("00-{ID}-b7ad6b7169203331-01");
    let request = new_request(&[("traceparent", &parent), ("tracestate", "a=1")]);
    send(&world, &gateway, request);
    let headers = &world.calls()["small"][0].headers;
    assert!(!headers.contains_key("traceparent") && !headers.contains_key("tracestate"));
    assert_eq!((calls(&world, "/v1/traces").len(), counted(&world, "serin.requests")), (0, 1));
}
