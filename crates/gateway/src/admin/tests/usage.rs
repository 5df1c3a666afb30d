//! Usage totals of past requests.

use civil_time::rfc3339::{Day, parse_timestamp};
use ledger::{NewLogLines, Operation, UsageRow, UsageTotals};
use serde_json::{Value, json};

use crate::host::{Clock, LedgerHost};
use crate::telemetry::usage::keys::{self, UsageDimensions};
use crate::testing::fake_host::block_on;

use super::Fixture;

/// Adds two requests to the books of a day and of an hour, in one shard.
fn record(fixture: &Fixture, at: &str, consumer: &str, model: &str, shard: u8) {
    let at = parse_timestamp(at).expect("a moment");
    let dimensions = UsageDimensions {
        consumer: consumer.to_owned(),
        model: model.to_owned(),
        provider: "openai".to_owned(),
        route: "chat".to_owned(),
        ..UsageDimensions::default()
    };
    let mut totals = UsageTotals {
        requests: 2,
        failed: 1,
        input: 100,
        cached: 10,
        output: 20,
        cost: 1_500_000_000,
        first_ms: 300,
        first: 1,
        total_ms: 1_000,
        hits: 1,
        ..UsageTotals::default()
    };
    totals.firsts.record(300);
    totals.totals.record(100);
    totals.totals.record(900);
    let hour = UsageRow {
        key: keys::hourly_key(at, &dimensions),
        until: keys::hourly_retained_until(at),
        totals: totals.clone(),
    };
    let (until, key) = (keys::minutely_retained_until(at), keys::minutely_key(at, &dimensions));
    let minute = UsageRow { key, until, totals };
    for (book, row) in
        [(keys::day_book(Day::containing(at), shard), hour), (keys::hour_book(at, shard), minute)]
    {
        let id = fixture.fake.entropy();
        let operation =
            Operation::AddUsage { id, bounds: None, rows: vec![row], log: NewLogLines::default() };
        block_on(fixture.fake.apply(&book, &operation)).expect("it is there");
    }
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    record(&fixture, "2026-01-01T09:10:00Z", "acme", "gpt-4o", 0);
    record(&fixture, "2026-01-01T09:50:00Z", "acme", "gpt-4o", 3);
    record(&fixture, "2026-01-01T10:00:00Z", "acme", "a|b%7C", 1);
    record(&fixture, "2026-01-02T00:00:00Z", "umbrella", "gpt-4o", 2);
    fixture.fake.set_now(parse_timestamp("2026-01-02T08:30:00Z").expect("a moment"));
    fixture
}

/// Start, the named members, and the number of requests of each row.
fn rows(answer: &Value, names: &[&str]) -> Vec<Value> {
    let data = answer["data"].as_array().expect("rows");
    let row = |row: &Value| {
        let mut short = vec![row["start"].clone()];
        short.extend(names.iter().map(|name| row[*name].clone()));
        short.push(row["requests"].clone());
        Value::from(short)
    };
    data.iter().map(row).collect()
}

/// A time in responses, from seconds since 1970.
fn at(seconds: u64) -> String {
    civil_time::rfc3339::format_timestamp(civil_time::Timestamp::from_millis(seconds * 1_000))
}

#[test]
fn usage_without_step_is_one_total() {
    let fixture = fixture();
    let answer = fixture.assert_status("GET usage", "", 200);
    let start = 1_767_225_600 + 8 * 3_600;
    let (end, start) = (at(start + 24 * 3_600 + 1_800), at(start));
    let expected = json!({
        "from": start, "to": end, "step": "total", "timezone": "UTC", "by": [],
        "data": [{
            "start": start, "requests": 8, "failed": 4, "limited": 0, "estimated": 0,
            "cache_hits": 4, "guard_blocks": 0,
            "input_tokens": 400, "cached_tokens": 40, "cache_write_tokens": 0, "output_tokens": 80, "reasoning_tokens": 0,
            "cost_usd": 6.0, "mean_first_token_ms": 300, "mean_total_ms": 500,
            "p50_first_token_ms": 301, "p95_first_token_ms": 301, "p99_first_token_ms": 301,
            "p50_total_ms": 95, "p95_total_ms": 865, "p99_total_ms": 865,
        }],
    });
    assert_eq!(answer, expected);
    assert_eq!(fixture.assert_status("GET usage?from=0&to=1", "", 200)["data"], json!([]));
}

#[test]
fn usage_is_grouped_by_hour_day_and_dimensions() {
    let fixture = fixture();
    let [nine, ten, midnight] = [1_767_258_000, 1_767_261_600, 1_767_312_000].map(at);
    let hours = fixture.assert_status("GET usage?step=hour&by=consumer,model", "", 200);
    let expected = [
        json!([nine, "acme", "gpt-4o", 4]),
        json!([ten, "acme", "a|b%7C", 2]),
        json!([midnight, "umbrella", "gpt-4o", 2]),
    ];
    assert_eq!(rows(&hours, &["consumer", "model"]), expected);
    let days = fixture.assert_status("GET usage?step=day&by=route,group", "", 200);
    let first_day = at(1_767_225_600);
    let expected = [json!([first_day, "chat", "", 6]), json!([midnight, "chat", "", 2])];
    assert_eq!(rows(&days, &["route", "group"]), expected);
    let path = "GET usage?by=provider&from=2026-01-01T11:30:00%2B01:00&to=2026-01-02T00:00:00Z";
    let some = fixture.assert_status(path, "", 200);
    assert_eq!(rows(&some, &["provider"]), [json!([ten, "openai", 2])]);
}

#[test]
fn usage_by_minute_covers_one_day() {
    let fixture = fixture();
    let minutes = fixture.assert_status("GET usage?step=minute&by=consumer", "", 200);
    let [nine, ten, midnight] = [1_767_258_000, 1_767_261_600, 1_767_312_000];
    let expected = [
        json!([at(nine + 600), "acme", 2]),
        json!([at(nine + 3_000), "acme", 2]),
        json!([at(ten), "acme", 2]),
        json!([at(midnight), "umbrella", 2]),
    ];
    assert_eq!(rows(&minutes, &["consumer"]), expected);
    // The minute of `from` counts whole; `to` is exclusive.
    let some = "from=2026-01-01T09:10:59Z&to=2026-01-01T09:50:00Z";
    let some = fixture.assert_status(&format!("GET usage?step=minute&{some}"), "", 200);
    assert_eq!(rows(&some, &[]), [json!([at(nine + 600), 2])]);
    // After a day and an hour the minutes have expired, and the hours have not.
    fixture.fake.set_now(parse_timestamp("2026-01-02T11:00:00Z").expect("a moment"));
    let span = "from=2026-01-01T09:00:00Z&to=2026-01-01T11:00:00Z";
    let later = |step| fixture.assert_status(&format!("GET usage?step={step}&{span}"), "", 200);
    assert_eq!(rows(&later("minute"), &[]), [json!([at(ten), 2])]);
    assert_eq!(rows(&later("hour"), &[]), [json!([at(nine), 4]), json!([at(ten), 2])]);
}

#[test]
fn invalid_usage_query_is_refused() {
    let fixture = fixture();
    for (param, query) in [
        ("by", "by=consumer,x"),
        ("step", "step=second"),
        ("from", "step=minute&from=2026-01-01T08:29:59Z"),
        ("from", "from=yesterday"),
        ("to", "to=2026-01-32T00:00:00Z"),
        ("from", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
        ("from", "from=2025-01-01T00:00:00Z"),
        ("group_by", "group_by=model"),
    ] {
        let error =
            fixture.assert_refused(&format!("GET usage?{query}"), "", 400, "invalid_request");
        assert_eq!(error["param"], param, "{query}");
    }
    fixture.assert_status("GET usage?from=2025-10-02T09:00:00Z", "", 200);
    fixture.fake.set_ledger_unavailable(true);
    fixture.assert_refused("GET usage", "", 503, "ledger_unavailable");
}
