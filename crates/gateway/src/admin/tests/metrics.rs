//! Metrics of several isolates in Prometheus format.

use std::rc::Rc;
use std::time::Duration;

use config::RequestLog;
use http::Request;
use ledger::CardinalityLimits;
use openai::{TokenSource, Tokens};

use crate::host::Clock;
use crate::host::body::Body;
use crate::record::{Attempt, AttemptKind, GuardRecord, Outcome, Record};
use crate::telemetry::usage::aggregator::UsageAggregator;
use crate::testing::fake_host::block_on;

use super::super::handle_request;
use super::{ADMIN, Fixture};

const NO_LOG: RequestLog = RequestLog { keep: Duration::ZERO, max: 0, sample: 0 };

/// The record of a request that `openai` answered.
fn record(fixture: &Fixture, consumer: &str) -> Record {
    let at = fixture.fake.now();
    let mut attempt = Attempt::start("openai/gpt-4o".to_owned(), Some(0), AttemptKind::Primary, at);
    attempt.result = "answered";
    Record {
        at_ms: at.as_millis(),
        consumer: Some(consumer.to_owned()),
        route: Some("chat".to_owned()),
        model: Some("gpt-4o".to_owned()),
        is_model_configured: true,
        target: Some("openai/gpt-4o".to_owned()),
        attempts: vec![attempt],
        status: Some(200),
        outcome: Outcome::Answered,
        tokens: Tokens {
            input: 100,
            output: 20,
            cached: 40,
            counted: TokenSource::Reported,
            ..Tokens::default()
        },
        first_token_ms: Some(300),
        total_ms: 1_250,
        ..Record::default()
    }
}

/// Requests `/metrics`, which must return this status; returns the text.
#[track_caller]
fn scrape(fixture: &Fixture, token: &str, status: u16) -> String {
    let request = Request::get("/metrics").header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::Empty).expect("a request");
    let response = block_on(handle_request(fixture.context(), &fixture.fake, request));
    assert_eq!(response.status(), status);
    if status == 200 {
        let kind = &response.headers()["content-type"];
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    }
    let body = block_on(response.into_body().collect(usize::MAX)).expect("the body is whole");
    String::from_utf8(body.to_vec()).expect("it is text")
}

/// All samples of a metric.
fn samples<'a>(page: &'a str, metric: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(&format!("{metric}{{"))).collect()
}

fn isolate(fixture: &Fixture, bounds: CardinalityLimits, records: &[Record]) {
    let recorder = Rc::new(UsageAggregator::new(bounds, Rc::default()));
    records.iter().for_each(|record| recorder.record(&fixture.fake, record, 1_500_000, NO_LOG));
    fixture.fake.run_deferred();
}

#[test]
fn counters_of_all_isolates_are_summed() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        isolate(
            &fixture,
            CardinalityLimits::default(),
            &[record(&fixture, "acme"), record(&fixture, "umbrella")],
        );
    }
    let hung_up = Record {
        outcome: Outcome::HungUp,
        first_token_ms: None,
        tokens: Tokens {
            counted: TokenSource::Estimated,
            cached: 0,
            ..record(&fixture, "").tokens
        },
        ..record(&fixture, "acme")
    };
    isolate(&fixture, CardinalityLimits::default(), &[hung_up]);
    let page = scrape(&fixture, "viewer", 200);
    let labels = r#"route="chat",provider="openai",model="gpt-4o""#;
    let acme = format!(r#"{labels},consumer="acme""#);
    assert_eq!(
        samples(&page, "serin_requests_total"),
        [
            format!(r#"serin_requests_total{{{acme},status="hung_up"}} 1"#),
            format!(r#"serin_requests_total{{{acme},status="200"}} 2"#),
            format!(r#"serin_requests_total{{{labels},consumer="umbrella",status="200"}} 2"#),
        ]
    );
    for expected in [
        format!(r#"serin_tokens_total{{{acme},kind="input",counted="reported"}} 200"#),
        format!(r#"serin_tokens_total{{{acme},kind="cached",counted="reported"}} 80"#),
        format!(r#"serin_tokens_total{{{acme},kind="output",counted="estimated"}} 20"#),
        format!(r#"serin_cost_usd_total{{{acme}}} 0.004500000"#),
        format!(r#"serin_request_duration_seconds_bucket{{{labels},le="1"}} 0"#),
        format!(r#"serin_request_duration_seconds_bucket{{{labels},le="1.78"}} 5"#),
        format!(r#"serin_request_duration_seconds_bucket{{{labels},le="+Inf"}} 5"#),
        format!("serin_request_duration_seconds_sum{{{labels}}} 6.250"),
        format!("serin_request_duration_seconds_count{{{labels}}} 5"),
        format!(r#"serin_time_to_first_token_seconds_bucket{{{labels},le="0.178"}} 0"#),
        format!(r#"serin_time_to_first_token_seconds_bucket{{{labels},le="0.316"}} 4"#),
        format!("serin_time_to_first_token_seconds_count{{{labels}}} 4"),
        "# TYPE serin_request_duration_seconds histogram".to_owned(),
        "# TYPE serin_cache_total counter".to_owned(),
    ] {
        assert!(page.lines().any(|line| line == expected), "{expected}\n{page}");
    }
}

#[test]
fn limits_fallbacks_cache_and_guards_are_counted() {
    let fixture = Fixture::new();
    let at = fixture.fake.now();
    let mut fallen = record(&fixture, "acme");
    let mut failed = Attempt::start("big/m".to_owned(), None, AttemptKind::Primary, at);
    failed.result = "status_5xx";
    let again = Attempt::start("big/m".to_owned(), None, AttemptKind::Primary, at);
    fallen.attempts.insert(0, failed);
    fallen.attempts.insert(1, again);
    fallen.cache = Some("miss");
    fallen.guards = vec![GuardRecord {
        guard: "words".to_owned(),
        phase: "request",
        result: "mask",
        label: "e-mail".to_owned(),
        level: "medium",
    }];
    let refused = Record {
        outcome: Outcome::Refused,
        status: Some(429),
        limited_by: Some("team".to_owned()),
        target: None,
        attempts: Vec::new(),
        ..record(&fixture, "acme")
    };
    let moved = Record { limited_by: Some("team".to_owned()), ..record(&fixture, "acme") };
    isolate(&fixture, CardinalityLimits::default(), &[fallen, refused, moved]);
    let page = scrape(&fixture, ADMIN, 200);
    for (metric, expected) in [
        (
            "serin_fallback_total",
            vec![
                r#"{route="chat",from="",to="openai/gpt-4o",reason="limited"} 1"#,
                r#"{route="chat",from="big/m",to="openai/gpt-4o",reason="abandoned"} 1"#,
            ],
        ),
        ("serin_limited_total", vec![r#"{limit="team",consumer="acme"} 2"#]),
        ("serin_cache_total", vec![r#"{route="chat",result="miss"} 1"#]),
        (
            "serin_guard_total",
            vec![
                r#"{guard="words",phase="request",result="mask",label="e-mail",consumer="acme"} 1"#,
            ],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|it| format!("{metric}{it}")).collect();
        assert_eq!(samples(&page, metric), expected);
    }
    let refused = r#"{route="chat",provider="",model="gpt-4o",consumer="acme",status="429"} 1"#;
    assert!(page.contains(refused), "{page}");
}

#[test]
fn special_characters_stay_in_one_label() {
    let fixture = Fixture::new();
    let odd = "a\"b\\c|d%7C\ne=f,g}";
    isolate(
        &fixture,
        CardinalityLimits::default(),
        &[Record { target: Some(format!("openai/{odd}")), ..record(&fixture, "acme") }],
    );
    let page = scrape(&fixture, ADMIN, 200);
    let model = r#"model="a\"b\\c|d%7C\ne=f,g}""#;
    assert_eq!(
        samples(&page, "serin_requests_total"),
        [format!(
            r#"serin_requests_total{{route="chat",provider="openai",{model},consumer="acme",status="200"}} 1"#
        )]
    );
}

#[test]
fn consumers_beyond_the_bound_are_counted_as_other() {
    let fixture = Fixture::new();
    let bounds = CardinalityLimits { consumers: 2, ..CardinalityLimits::default() };
    let names = ["a", "b", "c", "d"];
    let records = names.map(|name| record(&fixture, name));
    let recorder = Rc::new(UsageAggregator::new(bounds, Rc::default()));
    for record in records.iter().chain(&records) {
        recorder.record(&fixture.fake, record, 0, NO_LOG);
        fixture.fake.run_deferred();
    }
    let page = scrape(&fixture, ADMIN, 200);
    let named = samples(&page, "serin_requests_total");
    let of = |name: &str| format!(r#"consumer="{name}",status="200"}} "#);
    let count = |name: &str| {
        let label = of(name);
        named.iter().find_map(|line| line.split_once(&*label)).map(|(_, count)| count)
    };
    assert_eq!(named.len(), 3, "{named:?}");
    assert_eq!((count("a"), count("b"), count("other")), (Some("2"), Some("2"), Some("4")));
    // Usage still separates them.
    let usage = fixture.assert_status("GET usage?by=consumer&to=2026-01-32", "", 400);
    assert_eq!(usage["error"]["param"], "to");
    let usage = fixture.assert_status("GET usage?by=consumer&to=2026-01-01T01:00:00Z", "", 200);
    assert_eq!(usage["data"].as_array().map(Vec::len), Some(4));
}

#[test]
fn unavailable_ledger_loses_no_counts() {
    let fixture = Fixture::new();
    let recorder = Rc::new(UsageAggregator::new(CardinalityLimits::default(), Rc::default()));
    fixture.fake.set_ledger_unavailable(true);
    recorder.record(&fixture.fake, &record(&fixture, "acme"), 0, NO_LOG);
    fixture.fake.run_deferred();
    let error = scrape(&fixture, ADMIN, 503);
    assert!(error.contains("ledger_unavailable"), "{error}");
    fixture.fake.set_ledger_unavailable(false);
    // Replies are lost: the operation is repeated and counts once.
    fixture.fake.set_ledger_drops_replies(true);
    recorder.record(&fixture.fake, &record(&fixture, "acme"), 0, NO_LOG);
    fixture.fake.run_deferred();
    fixture.fake.set_ledger_drops_replies(false);
    recorder.record(&fixture.fake, &record(&fixture, "acme"), 0, NO_LOG);
    fixture.fake.run_deferred();
    let page = scrape(&fixture, ADMIN, 200);
    assert!(samples(&page, "serin_requests_total")[0].ends_with(" 3"), "{page}");
    let usage = fixture.assert_status("GET usage?to=2026-01-01T01:00:00Z", "", 200);
    assert_eq!(usage["data"][0]["requests"], 3);
}

#[test]
fn request_adds_a_few_bytes_to_each_of_three_books() {
    let fixture = Fixture::new();
    isolate(&fixture, CardinalityLimits::default(), &[record(&fixture, "acme")]);
    let mut books = fixture.fake.books();
    // Cleaning up, which one isolate in many does, leaves empty books.
    books.retain(|(_, text)| text != "{}");
    let ids: Vec<&str> = books.iter().map(|(id, _)| &id[..id.len() - 1]).collect();
    assert_eq!(ids, ["metrics/", "usage/2026-01-01/", "usage/minute/2026-01-01T00/"]);
    for (id, text) in &books {
        assert!(text.len() < 400, "{id} has {} bytes: {text}", text.len());
    }
}

#[test]
fn unauthorized_or_invalid_scrape_is_refused() {
    let mut fixture = Fixture::new();
    scrape(&fixture, "wrong", 401);
    for (method, query, status) in [("POST", "", 405), ("GET", "?x=1", 400)] {
        let request = Request::builder().method(method).uri(format!("/metrics{query}"));
        let request = request.header("authorization", format!("Bearer {ADMIN}"));
        let request = request.body(Body::Empty).expect("a request");
        assert_eq!(
            block_on(handle_request(fixture.context(), &fixture.fake, request)).status(),
            status
        );
    }
    fixture.config.operators.clear();
    fixture.token = None;
    scrape(&fixture, ADMIN, 404);
}
