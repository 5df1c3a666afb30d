use civil_time::Timestamp;
use http::HeaderMap;
use openai::{TokenSource, Tokens};
use serde_json::{Value, json};

use crate::record::{ANSWERED, Attempt, AttemptKind, Outcome, Record};
use crate::testing::fake_host::FakeHost;

use super::{DeltaMetrics, TraceContext, traces_body};

const NOW: u64 = 1_767_225_600_000;

/// A stream that a fallback answered.
fn record() -> Record {
    let call = |target: &str, after, ms, result, status| Attempt {
        ms,
        result,
        status,
        detail: Some("a host's words".to_owned()),
        ..Attempt::start(
            target.to_owned(),
            Some(1),
            AttemptKind::Primary,
            Timestamp::from_millis(NOW + after),
        )
    };
    Record {
        event: "request",
        id: "req_1".to_owned(),
        at_ms: NOW,
        operation: Some("chat"),
        consumer: Some("acme".to_owned()),
        route: Some("chat".to_owned()),
        model: Some("gpt-4o".to_owned()),
        stream: true,
        target: Some("deepseek/deepseek-chat".to_owned()),
        attempts: vec![
            call("openai/gpt-4o", 1, 20, "5xx", Some(503)),
            call("deepseek/deepseek-chat", 30, 240, ANSWERED, Some(200)),
        ],
        status: Some(200),
        outcome: Outcome::Answered,
        tokens: Tokens {
            input: 20,
            output: 8,
            counted: TokenSource::Reported,
            ..Tokens::default()
        },
        cost_usd: Some(0.0005),
        first_token_ms: Some(270),
        total_ms: 1_500,
        prompt: Some("what is asked".to_owned()),
        answer: Some("what is said".to_owned()),
        ..Record::default()
    }
}

fn trace(sample: u16) -> TraceContext {
    let mut headers = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", parent.parse().expect("a value"));
    headers.insert("tracestate", "a=1".parse().expect("a value"));
    TraceContext::from_headers(&headers, sample, &FakeHost::new())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn count(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "intValue": value } })
}

fn number(key: &str, value: f64) -> Value {
    json!({ "key": key, "value": { "doubleValue": value } })
}

fn flag(key: &str) -> Value {
    json!({ "key": key, "value": { "boolValue": true } })
}

fn resource() -> Value {
    json!({ "attributes": [
        text("service.name", "edge"),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ] })
}

fn scope() -> Value {
    json!({ "name": "serin", "version": env!("CARGO_PKG_VERSION") })
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("it is JSON")
}

#[test]
fn request_and_attempts_become_spans() {
    let (trace, record) = (trace(0), record());
    let host = |provider: &str| (provider == "openai").then(|| "api.openai.com".to_owned());
    let body = traces_body("edge", [(&trace, &record)], host);
    let own = format!("{:016x}", trace.span_id);
    let expected = json!({ "resourceSpans": [{
        "resource": resource(),
        "scopeSpans": [{ "scope": scope(), "spans": [
            {
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": own,
                "parentSpanId": "b7ad6b7169203331",
                "traceState": "a=1",
                "flags": 0x301,
                "name": "chat gpt-4o",
                "kind": 2,
                "startTimeUnixNano": "1767225600000000000",
                "endTimeUnixNano": "1767225601500000000",
                "attributes": [
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.request.model", "gpt-4o"),
                    text("gen_ai.response.model", "deepseek-chat"),
                    text("gen_ai.provider.name", "deepseek"),
                    count("gen_ai.usage.input_tokens", "20"),
                    count("gen_ai.usage.output_tokens", "8"),
                    number("gen_ai.server.time_to_first_token", 0.27),
                    count("http.response.status_code", "200"),
                    text("serin.request_id", "req_1"),
                    text("serin.route", "chat"),
                    text("serin.consumer", "acme"),
                    flag("serin.stream"),
                    text("serin.outcome", "answered"),
                    count("serin.attempts", "2"),
                    text("serin.tokens.counted", "reported"),
                    number("serin.cost_usd", 0.0005),
                ],
            },
            {
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": format!("{:016x}", trace.attempt_span_id(0)),
                "parentSpanId": own,
                "traceState": "a=1",
                "flags": 0x101,
                "name": "chat gpt-4o",
                "kind": 3,
                "startTimeUnixNano": "1767225600001000000",
                "endTimeUnixNano": "1767225600021000000",
                "attributes": [
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.request.model", "gpt-4o"),
                    text("gen_ai.provider.name", "openai"),
                    text("server.address", "api.openai.com"),
                    count("http.response.status_code", "503"),
                    text("error.type", "5xx"),
                    text("serin.target", "openai/gpt-4o"),
                    text("serin.result", "5xx"),
                    text("serin.part", "whole"),
                    count("serin.key", "1"),
                ],
                "status": { "code": 2 },
            },
            {
                "traceId": "0af7651916cd43dd8448eb211c80319c",
                "spanId": format!("{:016x}", trace.attempt_span_id(1)),
                "parentSpanId": own,
                "traceState": "a=1",
                "flags": 0x101,
                "name": "chat deepseek-chat",
                "kind": 3,
                "startTimeUnixNano": "1767225600030000000",
                "endTimeUnixNano": "1767225600270000000",
                "attributes": [
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.request.model", "deepseek-chat"),
                    text("gen_ai.provider.name", "deepseek"),
                    count("http.response.status_code", "200"),
                    text("serin.target", "deepseek/deepseek-chat"),
                    text("serin.result", "answered"),
                    text("serin.part", "whole"),
                    count("serin.key", "1"),
                ],
            },
        ] }],
    }] });
    assert_eq!(read(&body), expected);
}

#[test]
fn only_failures_have_error_status() {
    let status = |outcome, error: Option<&'static str>| {
        let record = Record { outcome, error, attempts: Vec::new(), ..record() };
        let span = read(&traces_body("s", [(&trace(0), &record)], |_| None));
        let span = &span["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let attributes = span["attributes"].as_array().expect("a list");
        let error = attributes.iter().find(|attribute| attribute["key"] == "error.type");
        let error = error.map(|error| error["value"]["stringValue"].to_string());
        (span["status"]["code"].as_u64(), error.unwrap_or_default())
    };
    assert_eq!(
        status(Outcome::Failed, Some("upstream_error")),
        (Some(2), "\"upstream_error\"".to_owned())
    );
    assert_eq!(status(Outcome::Truncated, None), (Some(2), "\"truncated\"".to_owned()));
    assert_eq!(status(Outcome::Refused, Some("limited")), (None, "\"limited\"".to_owned()));
    for outcome in [Outcome::Answered, Outcome::HungUp, Outcome::Blocked] {
        assert_eq!(status(outcome, None), (None, String::new()));
    }
}

#[test]
fn unknown_model_is_not_in_span_name() {
    let record = Record {
        route: None,
        target: None,
        attempts: Vec::new(),
        model: Some("é".repeat(9_000)),
        ..record()
    };
    let body = traces_body("s", [(&trace(0), &record)], |_| None);
    assert_eq!(read(&body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "chat");
    assert!(body.len() < 3_000, "{}", body.len());
    let mut sums = DeltaMetrics::default();
    sums.add(&record, 0, 10);
    assert!(
        !sums
            .take_body("s", Timestamp::from_millis(NOW))
            .windows(2)
            .any(|two| two == "é".as_bytes())
    );
}

#[test]
fn metrics_hold_only_the_last_interval() {
    let mut sums = DeltaMetrics::default();
    sums.add(&record(), 500_000, 10);
    sums.add(&Record { first_token_ms: None, ..record() }, 500_000, 10);
    // Anonymous requests are not counted.
    sums.add(&Record { consumer: None, ..record() }, 500_000, 10);
    sums.add_dropped(3, Timestamp::from_millis(NOW));
    let body = read(&sums.take_body("edge", Timestamp::from_millis(NOW + 2_000)));
    let general = [
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "deepseek"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "deepseek-chat"),
    ];
    let with = |extra: Value| [general.as_slice(), &[extra]].concat();
    let own = [
        text("serin.route", "chat"),
        text("gen_ai.provider.name", "deepseek"),
        text("gen_ai.response.model", "deepseek-chat"),
        text("serin.consumer", "acme"),
    ];
    let own_with = |extra: &[Value]| [own.as_slice(), extra].concat();
    let histogram = |attributes: Vec<Value>, sum: f64, counts: &[&str], bounds: &[f64]| {
        let total: u64 = counts.iter().map(|count| count.parse::<u64>().expect("a number")).sum();
        json!({
            "attributes": attributes,
            "startTimeUnixNano": "1767225600000000000",
            "timeUnixNano": "1767225602000000000",
            "count": total.to_string(),
            "sum": sum,
            "bucketCounts": counts,
            "explicitBounds": bounds,
        })
    };
    let point = |attributes: Vec<Value>, value: Value| {
        let mut point = json!({
            "attributes": attributes,
            "startTimeUnixNano": "1767225600000000000",
            "timeUnixNano": "1767225602000000000",
        });
        point.as_object_mut().expect("one").extend(value.as_object().expect("one").clone());
        point
    };
    let sum = |points: Vec<Value>| json!({ "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points });
    let bins = |at: usize, count: &'static str, bins: usize| {
        let mut counts = vec!["0"; bins];
        counts[at] = count;
        counts
    };
    let expected = json!([
        {
            "name": "gen_ai.client.token.usage",
            "unit": "{token}",
            "histogram": { "aggregationTemporality": 1, "dataPoints": [
                histogram(with(text("gen_ai.token.type", "input")), 40.0, &bins(3, "2", 15), &super::metrics::TOKEN_BOUNDS),
                histogram(with(text("gen_ai.token.type", "output")), 16.0, &bins(2, "2", 15), &super::metrics::TOKEN_BOUNDS),
            ] },
        },
        {
            "name": "gen_ai.client.operation.duration",
            "unit": "s",
            "histogram": { "aggregationTemporality": 1, "dataPoints": [
                histogram(general.to_vec(), 3.0, &bins(8, "2", 15), &super::metrics::DURATION_BOUNDS),
            ] },
        },
        {
            "name": "gen_ai.server.time_to_first_token",
            "unit": "s",
            "histogram": { "aggregationTemporality": 1, "dataPoints": [
                histogram(general.to_vec(), 0.27, &bins(9, "1", 17), &super::metrics::FIRST_TOKEN_BOUNDS),
            ] },
        },
        {
            "name": "serin.requests",
            "unit": "{request}",
            "sum": sum(vec![point(
                own_with(&[count("http.response.status_code", "200"), text("serin.outcome", "answered")]),
                json!({ "asInt": "2" }),
            )]),
        },
        {
            "name": "serin.cost",
            "unit": "USD",
            "sum": sum(vec![point(own_with(&[]), json!({ "asDouble": 0.001 }))]),
        },
        {
            "name": "serin.otlp.dropped",
            "unit": "{request}",
            "sum": sum(vec![point(Vec::new(), json!({ "asInt": "3" }))]),
        },
    ]);
    assert_eq!(body["resourceMetrics"][0]["resource"], resource());
    assert_eq!(body["resourceMetrics"][0]["scopeMetrics"][0]["scope"], scope());
    assert_eq!(body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"], expected);
    assert!(sums.is_empty());
    // The next interval begins where this one ends.
    sums.add(&record(), 0, 10);
    let next = read(&sums.take_body("edge", Timestamp::from_millis(NOW + 9_000)));
    let next = &next["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    assert_eq!(next["histogram"]["dataPoints"][0]["startTimeUnixNano"], "1767225602000000000");
}

#[test]
fn series_and_consumers_are_bounded() {
    let mut sums = DeltaMetrics::default();
    for number in 0..3_000 {
        let consumer = Some(format!("c{number}"));
        let model = Some(format!("m{number}"));
        sums.add(&Record { consumer, model, ..record() }, 0, 20);
    }
    let body = read(&sums.take_body("s", Timestamp::from_millis(NOW)));
    let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array();
    let (mut series, mut requests, mut others, mut overflowed) = (0, 0, 0, 0);
    for metric in metrics.expect("a list") {
        for sort in ["sum", "histogram"] {
            for point in metric[sort]["dataPoints"].as_array().into_iter().flatten() {
                let attributes = point["attributes"].to_string();
                series += 1;
                overflowed += usize::from(attributes.contains("otel.metric.overflow"));
                if metric["name"] == "serin.requests" {
                    let count = point["asInt"].as_str().expect("a string");
                    requests += count.parse::<u64>().expect("a number");
                    others += u64::from(attributes.contains("\"other\""));
                }
            }
        }
    }
    assert_eq!((requests, others), (3_000, 1));
    assert!(series <= 2_006 && overflowed >= 3, "{series} {overflowed}");
}
