//! Recorded requests: usage by key, user, client and limit, targets, last uses of keys, and the request log.

use std::rc::Rc;
use std::time::Duration;

use config::RequestLog;
use ledger::{CardinalityLimits, Hold, Operation};
use openai::{TokenSource, Tokens};
use serde_json::{Value, json};

use crate::host::{Clock, LedgerHost};
use crate::limits::matching::{account_name, book_id, ledger_rule};
use crate::record::{Attempt, AttemptKind, Outcome, Record};
use crate::telemetry::usage::aggregator::UsageAggregator;
use crate::testing::fake_host::block_on;

use super::Fixture;

struct Recorder {
    fixture: Fixture,
    aggregator: Rc<UsageAggregator>,
    settings: RequestLog,
}

impl Recorder {
    fn new() -> Self {
        let fixture = Fixture::new();
        let aggregator = Rc::new(UsageAggregator::new(CardinalityLimits::default(), Rc::default()));
        Self { fixture, aggregator, settings: RequestLog::default() }
    }

    /// A request that OpenAI answered after 40 of 500 ms.
    fn answered(&self, id: &str) -> Record {
        let at = self.fixture.fake.now();
        let mut attempt =
            Attempt::start("openai/gpt-4o".to_owned(), Some(0), AttemptKind::Primary, at);
        (attempt.result, attempt.status, attempt.ms) = ("answered", Some(200), 40);
        Record {
            id: id.to_owned(),
            at_ms: at.as_millis(),
            operation: Some("chat"),
            consumer: Some("acme".to_owned()),
            key_id: Some("key_1".to_owned()),
            user: Some("ann".to_owned()),
            client: Some("curl".to_owned()),
            route: Some("chat".to_owned()),
            model: Some("gpt-4o".to_owned()),
            is_model_configured: true,
            stream: true,
            target: Some("openai/gpt-4o".to_owned()),
            attempts: vec![attempt],
            status: Some(200),
            outcome: Outcome::Answered,
            tokens: Tokens {
                input: 10,
                output: 20,
                counted: TokenSource::Reported,
                ..Tokens::default()
            },
            first_token_ms: Some(40),
            total_ms: 500,
            ..Record::default()
        }
    }

    /// A request whose first target failed.
    fn fallback(&self, id: &str) -> Record {
        let mut record = self.answered(id);
        let at = self.fixture.fake.now();
        let mut failed =
            Attempt::start("azure/gpt-4o".to_owned(), Some(1), AttemptKind::Primary, at);
        (failed.result, failed.status, failed.ms) = ("5xx", Some(503), 7);
        record.attempts.insert(0, failed);
        record
    }

    fn limited(&self, id: &str) -> Record {
        Record {
            limited_by: Some("team".to_owned()),
            outcome: Outcome::Refused,
            status: Some(429),
            error: Some("rate_limit_exceeded"),
            target: None,
            attempts: Vec::new(),
            first_token_ms: None,
            ..self.answered(id)
        }
    }

    /// Records requests, and writes them.
    fn record(&self, records: &[Record]) {
        for record in records {
            self.aggregator.record(&self.fixture.fake, record, 1_000, self.settings);
        }
        self.fixture.fake.run_deferred();
    }

    fn get(&self, path: &str) -> Value {
        self.fixture.assert_status(&format!("GET {path}"), "", 200)
    }

    fn ids(&self, path: &str) -> Vec<String> {
        ids(&self.get(path))
    }
}

fn ids(answer: &Value) -> Vec<String> {
    let data = answer["data"].as_array().expect("requests").iter();
    data.map(|it| it["id"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn usage_is_grouped_by_key_user_client_and_limit() {
    let recorder = Recorder::new();
    recorder.record(&[
        recorder.answered("a"),
        Record { user: Some("ben".to_owned()), key_id: None, ..recorder.fallback("b") },
        recorder.limited("c"),
        Record { consumer: Some("other".to_owned()), ..recorder.answered("d") },
    ]);
    let rows = |query: &str, names: &[&str]| -> Vec<Value> {
        let answer = recorder.get(&format!("usage?{query}"));
        let data = answer["data"].as_array().expect("rows").clone();
        let row = |row: &Value| {
            let mut values: Vec<Value> = names.iter().map(|name| row[*name].clone()).collect();
            values.push(row["requests"].clone());
            Value::from(values)
        };
        data.iter().map(row).collect()
    };
    let both = [json!(["acme", "key_1", 2]), json!(["other", "key_1", 1])];
    assert_eq!(rows("by=consumer,key", &["consumer", "key"]), both);
    assert_eq!(rows("by=user&consumer=acme", &["user"]), [json!(["ann", 2]), json!(["ben", 1])]);
    assert_eq!(rows("by=client&step=day", &["client"]), [json!(["curl", 4])]);
    assert_eq!(rows("by=limit,consumer", &["limit", "consumer"]), [json!(["team", "acme", 1])]);
    let filtered = "by=consumer&route=chat&consumer=acme&consumer=other&model=gpt-4o";
    assert_eq!(rows(filtered, &["consumer"]), [json!(["acme", 3]), json!(["other", 1])]);
    assert_eq!(rows("provider=azure", &[]), Vec::<Value>::new());
    assert_eq!(rows("group=", &[]), [json!([4])]);
    let bins = recorder.get("usage?bins=true&consumer=other");
    assert_eq!(bins["data"][0]["first_token_bins"], json!([[39, 1]]));
    assert_eq!(bins["data"][0]["total_bins"], json!([[65, 1]]));
    assert!(recorder.get("usage")["data"][0].get("total_bins").is_none());
    for (param, query) in [
        ("by", "by=key,user"),
        ("by", "by=key,model"),
        ("by", "by=target"),
        ("step", "by=user&step=minute"),
        ("route", "by=key&route=chat"),
        ("from", "from=1&from=2"),
        ("timezone", "timezone=Mars/Base"),
    ] {
        let line = format!("GET usage?{query}");
        let error = recorder.fixture.assert_refused(&line, "", 400, "invalid_request");
        assert_eq!(error["param"], param, "{query}");
    }
}

#[test]
fn finding_41_days_of_usage_are_those_of_a_time_zone() {
    let recorder = Recorder::new();
    // 15:00 and 16:00 UTC are the end of a day and the beginning of the next one in Shanghai.
    recorder.fixture.fake.advance(Duration::from_secs(15 * 3_600));
    recorder.record(&[recorder.answered("a")]);
    recorder.fixture.fake.advance(Duration::from_secs(3_600));
    recorder.record(&[recorder.answered("b"), recorder.answered("c")]);
    recorder.fixture.fake.advance(Duration::from_secs(10 * 3_600));
    let days = |query: &str| -> Vec<Value> {
        let answer = recorder.get(&format!("usage?step=day&{query}"));
        let rows = answer["data"].as_array().expect("rows").clone();
        rows.iter().map(|row| json!([row["start"], row["requests"]])).collect()
    };
    let shanghai = "timezone=Asia/Shanghai&from=2026-01-01";
    let first = json!(["2025-12-31T16:00:00.000Z", 1]);
    let second = json!(["2026-01-01T16:00:00.000Z", 2]);
    assert_eq!(days(shanghai), [first.clone(), second]);
    assert_eq!(days("from=2026-01-01"), [json!(["2026-01-01T00:00:00.000Z", 3])]);
    // A date is one of the zone.
    assert_eq!(days(&format!("{shanghai}&to=2026-01-02")), [first]);
    assert_eq!(recorder.get(&format!("usage?{shanghai}"))["timezone"], "Asia/Shanghai");
}

#[test]
fn targets_have_results_shares_and_percentiles() {
    let recorder = Recorder::new();
    recorder.record(&[recorder.answered("a"), recorder.fallback("b"), recorder.limited("c")]);
    for step in ["total", "minute"] {
        let answer = recorder.get(&format!("targets?step={step}&bins=true"));
        let rows = answer["data"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "{answer}");
        let (azure, openai) = (&rows[0], &rows[1]);
        assert_eq!((&azure["target"], &azure["route"]), (&json!("azure/gpt-4o"), &json!("chat")));
        assert_eq!((&azure["calls"], &azure["answered"]), (&json!(1), &json!(0)));
        assert_eq!(azure["by_result"], json!({ "5xx": 1 }));
        assert_eq!(azure["p50_total_ms"], Value::Null);
        assert_eq!((&openai["calls"], &openai["answered"]), (&json!(2), &json!(2)));
        assert_eq!(openai["by_result"], json!({ "answered": 2 }));
        assert_eq!((&openai["input_tokens"], &openai["output_tokens"]), (&json!(20), &json!(40)));
        assert_eq!(openai["p95_first_token_ms"], 40);
        assert_eq!(openai["first_token_bins"], json!([[39, 2]]));
        let share = openai["share"].as_f64().expect("a number");
        assert!((share - 2.0 / 3.0).abs() < 1e-9, "{share}");
    }
    let some = recorder.get("targets?provider=openai&provider=other");
    assert_eq!(some["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(recorder.get("targets?route=other")["data"], json!([]));
    recorder.fixture.fake.set_ledger_unavailable(true);
    recorder.fixture.assert_refused("GET targets", "", 503, "ledger_unavailable");
}

#[test]
fn key_shows_the_day_of_its_last_use() {
    let recorder = Recorder::new();
    let fixture = &recorder.fixture;
    let issued = fixture.assert_status("POST consumers/acme/keys", "", 201);
    let id = issued["id"].as_str().expect("text").to_owned();
    let line = format!("consumers/acme/keys/{id}");
    assert_eq!(recorder.get(&line)["last_used_at"], Value::Null);
    let used = |recorder: &Recorder| Record { key_id: Some(id.clone()), ..recorder.answered("a") };
    fixture.fake.advance(Duration::from_secs(40 * 24 * 3_600 + 5));
    recorder.record(&[used(&recorder), used(&recorder)]);
    assert_eq!(recorder.get(&line)["last_used_at"], "2026-02-10T00:00:00.000Z");
    fixture.fake.advance(Duration::from_secs(24 * 3_600));
    recorder.record(&[used(&recorder)]);
    let list = recorder.get("consumers/acme/keys");
    assert_eq!(list["data"][0]["last_used_at"], "2026-02-11T00:00:00.000Z");
    // Another consumer's key of the same id is another key.
    recorder.record(&[Record { consumer: Some("other".to_owned()), ..used(&recorder) }]);
    // Without the ledger the use is unknown, and the key is shown.
    fixture.fake.set_ledger_unavailable(true);
    assert!(recorder.get(&line).get("last_used_at").is_none());
}

#[test]
fn requests_are_listed_newest_first_and_page_by_page() {
    let recorder = Recorder::new();
    for number in 0..25 {
        recorder.record(&[recorder.answered(&format!("r{number:02}"))]);
        recorder.fixture.fake.advance(Duration::from_secs(20 * 60));
    }
    let first = recorder.get("requests?limit=4");
    assert_eq!(ids(&first), ["r24", "r23", "r22", "r21"]);
    let row = &first["data"][0];
    assert_eq!((&row["attempts"], &row["flags"]), (&json!(1), &json!([])));
    assert_eq!((&row["key"], &row["at_ms"]), (&json!("key_1"), &json!(1_767_254_402_400_u64)));
    assert_eq!(row["at"], "2026-01-01T08:00:02.400Z");
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = recorder.get(&format!("requests?limit=4{cursor}"));
        all.extend(ids(&answer));
        pages += 1;
        match answer["cursor"].as_str() {
            None => break,
            Some(next) => cursor = format!("&cursor={next}"),
        }
        assert!(pages < 30);
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("r{number:02}")).collect();
    assert_eq!(all, expected);
    // A time range reads only its hours.
    let some = "requests?from=2026-01-01T01:00:00Z&to=2026-01-01T02:00:00Z&limit=200";
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = recorder.get(&format!("{some}{cursor}"));
        found.extend(ids(&answer));
        let Some(next) = answer["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ["r05", "r04", "r03"]);
}

#[test]
fn requests_are_filtered_counted_and_shown_by_id() {
    let recorder = Recorder::new();
    let slow = Record { total_ms: 9_000, cache: Some("miss"), ..recorder.answered("slow") };
    recorder.record(&[recorder.answered("a"), recorder.fallback("b"), recorder.limited("c"), slow]);
    for (query, expected) in [
        ("", &["slow", "c", "b", "a"][..]),
        ("outcome=refused", &["c"]),
        ("status=429", &["c"]),
        ("status=503", &[]),
        ("limit_id=team", &["c"]),
        ("target=azure/gpt-4o", &["b"]),
        ("consumer=acme&route=chat&model=gpt-4o&key=key_1", &["slow", "c", "b", "a"]),
        ("consumer=acm", &[]),
        ("user=ann&client=curl&cache=miss", &["slow"]),
        ("error=rate_limit_exceeded", &["c"]),
        ("min_ms=1000", &["slow"]),
        ("from=2026-01-02", &[]),
        ("to=2026-01-01", &[]),
    ] {
        assert_eq!(recorder.ids(&format!("requests?{query}")), expected, "{query}");
    }
    let one = recorder.get("requests/b?at=2026-01-01T00:00:00Z");
    assert_eq!(one["flags"], json!(["fallback"]));
    assert_eq!(
        (&one["attempts"][0]["result"], &one["attempts"][0]["http_status"]),
        (&json!("5xx"), &json!(503))
    );
    assert_eq!(recorder.get("requests/c")["limit"], "team");
    recorder.fixture.assert_refused("GET requests/none", "", 404, "request_not_found");
    let from = "from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z";
    recorder.fixture.fake.advance(Duration::from_secs(3_600));
    let counts = recorder.get(&format!("requests/histogram?step=1h&{from}"));
    let bar = json!({
        "start": "2026-01-01T00:00:00.000Z", "requests": 4,
        "by_outcome": { "answered": 3, "refused": 1 },
    });
    assert_eq!(counts["data"], json!([bar]));
    let some = recorder.get(&format!("requests/histogram?step=1h&{from}&outcome=refused"));
    assert_eq!(some["data"][0]["requests"], 1);
    for wrong in ["step=1ms", "step=x", "from=2025-12-31", "min_ms=1", "from=2026-01-02"] {
        let line = format!("GET requests/histogram?{wrong}");
        recorder.fixture.assert_refused(&line, "", 400, "invalid_request");
    }
    let unknown = [
        "status=x",
        "cursor=x",
        "after=x",
        "limit=0",
        "wait=x&after=1",
        "order=up",
        "outcome=limited",
    ];
    for wrong in unknown {
        let line = format!("GET requests?{wrong}");
        recorder.fixture.assert_refused(&line, "", 400, "invalid_request");
    }
}

#[test]
fn tail_returns_each_request_once_also_over_the_hour() {
    let recorder = Recorder::new();
    recorder.record(&[recorder.answered("before")]);
    let mut newest = recorder.get("requests")["newest"].as_str().expect("a position").to_owned();
    let mut seen = Vec::new();
    for number in 0..40 {
        recorder.record(&[
            recorder.answered(&format!("r{number}")),
            recorder.limited(&format!("l{number}")),
        ]);
        // Fourteen steps of 5 min and then some of 30 s around the next hour.
        let step = if number < 21 { 5 * 60 } else { 30 };
        if number % 2 == 1 {
            let answer =
                recorder.get(&format!("requests?outcome=answered&after={newest}&limit=200"));
            seen.extend(ids(&answer).into_iter().rev());
            newest = answer["newest"].as_str().expect("a position").to_owned();
        }
        recorder.fixture.fake.advance(Duration::from_secs(step));
    }
    let expected: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    assert_eq!(seen, expected);
    // Without anything newer it waits, and then answers with nothing.
    let before = recorder.fixture.fake.now();
    let answer = recorder.get(&format!("requests?outcome=answered&after={newest}&wait=10s"));
    let waited = recorder.fixture.fake.now().since(before);
    assert_eq!(ids(&answer), Vec::<String>::new());
    assert!((8..=10).contains(&waited.as_secs()), "{waited:?}");
    // A longer wait is cut: hosts end long requests, and bound the calls of one.
    let before = recorder.fixture.fake.now();
    let _ = recorder.get(&format!("requests?outcome=answered&after={newest}&wait=10m"));
    assert!(recorder.fixture.fake.now().since(before) <= Duration::from_secs(25));
}

#[test]
fn log_keeps_no_content_is_bounded_and_can_be_off() {
    let mut recorder = Recorder::new();
    recorder.settings = RequestLog { max: 8, ..RequestLog::default() };
    let secret = Some("a secret prompt".to_owned());
    for number in 0..5 {
        let record = Record { prompt: secret.clone(), ..recorder.answered(&format!("r{number}")) };
        recorder.record(&[record]);
    }
    // Of a shard's two lines the newest stay.
    assert_eq!(recorder.ids("requests"), ["r4", "r3"]);
    assert!(!format!("{:?}", recorder.fixture.fake.books()).contains("secret prompt"));
    recorder.fixture.config.observe.requests.keep = Duration::ZERO;
    for line in ["GET requests", "GET requests/r4", "GET requests/histogram"] {
        recorder.fixture.assert_refused(line, "", 501, "request_log_off");
    }
    recorder.settings.keep = Duration::ZERO;
    recorder.record(&[recorder.answered("late")]);
    assert!(!format!("{:?}", recorder.fixture.fake.books()).contains("late"));
}

#[test]
fn busiest_consumers_are_looked_at_for_the_nearest_to_a_limit() {
    let recorder = Recorder::new();
    let fixture = &recorder.fixture;
    for number in 0..60 {
        let body = format!(r#"{{"id":"c{number:02}"}}"#);
        fixture.assert_status("POST consumers", &body, 201);
    }
    // The last one by its name is the only one with requests, and near its maximum.
    let consumer = || Some("c59".to_owned());
    recorder.record(&[Record { consumer: consumer(), ..recorder.answered("a") }]);
    let (limit, now) = (&fixture.config.limits[0], fixture.fake.now());
    let quota = &limit.quotas[1];
    let account = account_name(limit, quota.measure, "c59");
    let rule = ledger_rule(quota, now);
    let hold = Hold { account, rule, min: 1, want: 2_500_000_000, slice: None };
    let until = now + Duration::from_secs(600);
    let operation = Operation::Reserve { id: 1, until, holds: vec![hold] };
    block_on(fixture.fake.apply(&book_id(limit, "c59"), &operation)).expect("it is there");
    let limits = recorder.get("limits");
    let team = limits["data"].as_array().expect("limits").iter().find(|it| it["id"] == "team");
    let nearest = &team.expect("it is configured")["nearest"];
    assert_eq!((&nearest["key"], &nearest["used_share"]), (&json!("c59"), &json!(0.2)));
}
