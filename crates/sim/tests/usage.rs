//! A hundred days of usage in virtual time, against what callers saw: what is told by the minute, the hour
//! and the day, what is forgotten, and how much is kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::Clock;
use gateway::host::body::Body;
use gateway::service;
use secret::Secret;
use serde_json::Value;
use sim::upstream::{Script, Then, UpstreamSpec};
use sim::world::{HangUp, Received, UPSTREAM, World, splitmix64};

const DOCUMENT: &str = r#"
[[providers]]
id = "big"
kind = "openai-compatible"
base_url = "UPSTREAM/big/v1"
[[providers]]
id = "small"
kind = "openai-compatible"
base_url = "UPSTREAM/small/v1"
[[providers]]
id = "broken"
kind = "openai-compatible"
base_url = "UPSTREAM/broken/v1"
[[routes]]
id = "chat"
models = ["gpt", "mini"]
targets = [{ provider = "big" }]
fallback = [{ provider = "small", model = "mini" }]
health = { failures = 100 }
[[routes]]
id = "other"
models = ["claude"]
targets = [{ provider = "small" }]
[[routes]]
id = "down"
models = ["none"]
targets = [{ provider = "broken" }]
health = { failures = 100 }
[[consumers]]
id = "acme"
group = "gold"
keys = ["secret:acme"]
[[consumers]]
id = "umbrella"
keys = ["secret:umbrella"]
[[consumers]]
id = "initech"
keys = ["secret:initech"]
[[limits]]
id = "few"
by = "consumer"
keys = ["umbrella"]
requests = { per = "day", max = 3 }
"#;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const DAYS: u64 = 100;

/// A request that is over, as its caller saw it.
struct Sent {
    /// When it came, in milliseconds since 1970.
    at: u64,
    consumer: String,
    route: String,
    provider: String,
    model: String,
    failed: bool,
    limited: bool,
    input: u64,
    output: u64,
    first: Option<u64>,
    total: u64,
}

impl Sent {
    fn parse(at: u64, consumer: &str, asked: &str, received: &Received) -> Self {
        let (status, headers) = received.head.as_ref().expect("a head");
        let target = headers.get("x-serin-target").map(|it| it.to_str().expect("text"));
        let (provider, model) = target.and_then(|it| it.split_once('/')).unwrap_or(("", asked));
        let body = received.body();
        let text = std::str::from_utf8(&body).expect("text");
        let chunks = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let usage = chunks.filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let usage = usage.map(|it| it["usage"].clone()).rfind(|usage| !usage.is_null());
        let tokens = |name: &str| usage.as_ref().and_then(|it| it[name].as_u64()).unwrap_or(0);
        let route = match asked {
            "claude" => "other",
            "none" => "down",
            _ => "chat",
        };
        let millis = |it: Duration| u64::try_from(it.as_millis()).expect("it is not for ever");
        Self {
            at,
            consumer: consumer.to_owned(),
            route: route.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            failed: status.is_server_error(),
            limited: status.as_u16() == 429,
            input: tokens("prompt_tokens"),
            output: tokens("completion_tokens"),
            first: status.is_success().then(|| millis(received.pieces[0].0)),
            total: millis(received.took),
        }
    }

    fn dimension(&self, dimension: &str) -> &str {
        match dimension {
            "consumer" => &self.consumer,
            "group" if self.consumer == "acme" => "gold",
            "group" => "",
            "model" => &self.model,
            "provider" => &self.provider,
            "route" => &self.route,
            other => panic!("{other}"),
        }
    }
}

fn gateway() -> Rc<Gateway> {
    let secret = |name: &str| Some(Secret::new(name));
    let document = DOCUMENT.replace("UPSTREAM", UPSTREAM);
    let config = author::from_toml(&document, &secret).expect("the document is right");
    Gateway::new(config, GatewaySecrets::lookup(&secret))
}

/// Upstreams whose answers take from a few milliseconds to half a minute and cost all kinds of tokens;
/// every fifth of the big one fails.
fn world(seed: u64) -> World {
    let mut state = seed;
    let mut scripts = |fails: bool| {
        let mut number = |most: u64| {
            let (next, number) = splitmix64(state);
            state = next;
            number % most
        };
        let script: Vec<Script> = (0..35)
            .map(|turn| {
                if fails && turn % 5 == 4 {
                    return Script::failing(503);
                }
                // Spread over the decades: most are fast, and some are not.
                let delay = 3 << number(13);
                let text = format!(
                    "answer = 'one two three'\ndelay = '{}ms'\ngap = '{}ms'\nprompt_tokens = {}\ncompletion_tokens = {}",
                    delay + number(delay),
                    number(300),
                    1 + number(5_000),
                    1 + number(900),
                );
                toml::from_str(&text).expect("a script")
            })
            .collect();
        UpstreamSpec { script, then: Then::Cycle, service: None }
    };
    let broken =
        UpstreamSpec { script: vec![Script::failing(500)], then: Then::Repeat, service: None };
    let upstreams = [("big", scripts(true)), ("small", scripts(false)), ("broken", broken)];
    World::new(seed, upstreams.map(|(name, it)| (name.to_owned(), it)).into())
}

fn new_request(key: &str, model: &str, stream: bool) -> http::Request<Body> {
    let options = if stream { r#","stream_options":{"include_usage":true}"# } else { "" };
    let body = format!(r#"{{"model":"{model}","stream":{stream}{options},"messages":[]}}"#);
    http::Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from(body)))
        .expect("a request")
}

/// A host that several isolates share, everything that was asked of them, and chance.
struct Simulation {
    world: World,
    isolates: Vec<Rc<Gateway>>,
    sent: Rc<RefCell<Vec<Sent>>>,
    state: u64,
}

impl Simulation {
    fn start(seed: u64) -> Self {
        let isolates = (0..3).map(|_| gateway()).collect();
        Self { world: world(seed), isolates, sent: Rc::default(), state: seed }
    }

    fn number(&mut self, most: u64) -> u64 {
        let (next, number) = splitmix64(self.state);
        self.state = next;
        number % most
    }

    fn now(&self) -> u64 {
        self.world.now().as_millis()
    }

    /// Lets time pass until a moment, unless it has.
    fn wait_until(&self, at: u64) {
        let wait = Duration::from_millis(at.saturating_sub(self.now()));
        self.world.executor().run(self.world.executor().sleep(wait)).expect("time passes");
    }

    /// So many callers at once, each at any isolate; until all of them and what they leave are done.
    fn crowd(&mut self, count: u64) {
        for _ in 0..count {
            let consumer = ["acme", "umbrella", "initech"][self.number(3) as usize];
            let model = ["gpt", "gpt", "mini", "claude", "none"][self.number(5) as usize];
            let stream = self.number(2) == 0;
            let isolate = self.number(3) as usize;
            let (world, sent) = (self.world.clone(), Rc::clone(&self.sent));
            let gateway = Rc::clone(&self.isolates[isolate]);
            self.world.executor().spawn(async move {
                let at = world.now().as_millis();
                let answer = gateway.handle(world.clone(), new_request(consumer, model, stream));
                let received = world.receive(answer, HangUp::Never).await;
                sent.borrow_mut().push(Sent::parse(at, consumer, model, &received));
            });
        }
        self.world.executor().drain().expect("it ends");
    }

    fn fetch(&self, path: &str) -> String {
        let request = http::Request::get(path).header("authorization", "Bearer ADMIN_TOKEN");
        let request = request.body(Body::Empty).expect("a request");
        // One that has just started: what it tells is nothing that it remembers.
        let fresh = gateway();
        let answer = service::dispatch(&fresh, None, self.world.clone(), request);
        let got = self.world.play(answer, HangUp::Never).expect("it ends");
        let body = String::from_utf8(got.body().to_vec()).expect("text");
        assert_eq!(got.head.as_ref().map(|(it, _)| it.as_u16()), Some(200), "{path}: {body}");
        body
    }

    /// The rows of usage from a moment to another, both in milliseconds.
    fn usage(&self, step: &str, by: &str, from: u64, to: u64) -> Vec<Value> {
        let (from, to) = (from / 1_000, to / 1_000);
        let path = format!("/admin/v1/usage?step={step}&by={by}&from={from}&to={to}");
        let told: Value = serde_json::from_str(&self.fetch(&path)).expect("JSON");
        told["data"].as_array().expect("rows").clone()
    }

    /// Compares what is told with what was sent; says how many rows that were.
    #[track_caller]
    fn assert_matches(&self, step: &str, by: &str, from: u64, to: u64) -> usize {
        let (from, to) = (from / 1_000 * 1_000, to / 1_000 * 1_000);
        let grain = if step == "minute" { MINUTE } else { HOUR };
        let begin = from / grain * grain;
        let sent = self.sent.borrow();
        let mut expected: BTreeMap<(u64, Vec<&str>), Vec<&Sent>> = BTreeMap::new();
        // What is begun counts whole at both ends.
        for one in
            sent.iter().filter(|it| it.at / grain * grain >= begin && it.at / grain * grain < to)
        {
            let start = match step {
                "minute" => one.at / MINUTE * MINUTE,
                "hour" => one.at / HOUR * HOUR,
                "day" => one.at / DAY * DAY,
                _ => begin,
            };
            let who =
                by.split(',').filter(|it| !it.is_empty()).map(|it| one.dimension(it)).collect();
            expected.entry((start / 1_000, who)).or_default().push(one);
        }
        let rows = self.usage(step, by, from, to);
        let mut seen = BTreeSet::new();
        for row in &rows {
            let of = |it: &str| row[it].as_str().expect("text").to_owned();
            let who: Vec<String> = by.split(',').filter(|it| !it.is_empty()).map(of).collect();
            let key = (
                row["start"].as_u64().expect("a moment"),
                who.iter().map(String::as_str).collect(),
            );
            let some = expected.get(&key).unwrap_or_else(|| panic!("{step} {by}: {row}"));
            let sum = |of: &dyn Fn(&Sent) -> u64| some.iter().map(|it| of(it)).sum::<u64>();
            for (name, number) in [
                ("requests", some.len() as u64),
                ("failed", sum(&|it| it.failed.into())),
                ("limited", sum(&|it| it.limited.into())),
                ("input_tokens", sum(&|it| it.input)),
                ("output_tokens", sum(&|it| it.output)),
            ] {
                assert_eq!(row[name].as_u64(), Some(number), "{step} {by}: {name} of {row}");
            }
            assert_percentiles(row, "total", some.iter().map(|it| it.total).collect());
            assert_percentiles(row, "first_token", some.iter().filter_map(|it| it.first).collect());
            assert!(seen.insert((key.0, who.clone())), "{step} {by}: {row} is there twice");
        }
        assert_eq!(rows.len(), expected.len(), "{step} {by}: rows are missing");
        rows.len()
    }
}

/// Nearest rank, and what the manual says of how wrong it may be.
#[track_caller]
fn assert_percentiles(row: &Value, of: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    for (name, share) in [("p50", 500), ("p95", 950), ("p99", 990)] {
        let told = &row[format!("{name}_{of}_ms")];
        if times.is_empty() {
            assert!(told.is_null(), "{row}");
            continue;
        }
        // Bins begin at a millisecond.
        let exact = times[(times.len() * share).div_ceil(1_000).max(1) - 1].max(1) as f64;
        let error = (told.as_f64().expect("a number") - exact).abs();
        assert!(error <= exact * 0.048 + 0.5, "{name} of {of} is {exact}: {row}");
    }
}

const ALL: &str = "consumer,model,provider,route";

#[test]
fn a_hundred_days_of_usage() {
    let mut life = Simulation::start(1);
    let begin = life.now();
    let mut largest = (0, 0);
    for day in 0..DAYS {
        let midnight = begin + day * DAY;
        if day % 7 == 3 {
            // A deployment, or a host that moves them.
            life.isolates = (0..3).map(|_| gateway()).collect();
        }
        let mut moments: Vec<u64> = (0..5).map(|_| life.number(DAY - MINUTE)).collect();
        if day + 3 >= DAYS {
            moments.extend((0..96).map(|quarter| quarter * 15 * MINUTE + day % 7 * 31_007));
        }
        // The last moment of a day and the first of the next one.
        moments.extend([0, DAY - 1]);
        moments.sort_unstable();
        for moment in moments {
            life.wait_until(midnight + moment);
            let crowd = 1 + life.number(3);
            life.crowd(crowd);
        }
        life.world.sweep_ledger();
        // A day's hours are kept for 92 days, an hour's minutes for 25 hours: beside the one that is
        // under way and the one that is not over for all of its rows. Each has four places.
        let (hours, minutes) = (life.world.books("usage/2"), life.world.books("usage/minute/"));
        assert!(hours.0 <= 4 * 94 && minutes.0 <= 4 * 27, "day {day}: {hours:?}, {minutes:?}");
        if day < 93 {
            largest = largest.max(hours);
        } else if day + 3 < DAYS {
            // Rows and bytes stay where they were: traffic is what it was.
            assert!(hours.1 < largest.1 * 11 / 10, "day {day}: {hours:?} after {largest:?}");
        }
        if day % 20 == 19 {
            let now = life.now();
            assert!(life.assert_matches("minute", ALL, now - DAY, now) > 5, "day {day}");
            life.assert_matches("hour", ALL, now.saturating_sub(40 * DAY).max(begin), now);
            life.assert_matches("total", "consumer", now.saturating_sub(90 * DAY).max(begin), now);
        }
    }
    let now = life.now();
    let sent = life.sent.borrow().len();

    // A day by the minute, ninety by the hour, and what they add up to, by everything.
    assert!(life.assert_matches("minute", ALL, now - DAY, now) > 100);
    assert!(life.assert_matches("hour", ALL, now - 90 * DAY, now) > 1_000);
    assert_eq!(life.assert_matches("day", "", now - 90 * DAY, now), 90);
    for by in ["", "consumer", "group", "model", "provider", "route", ALL] {
        assert!(life.assert_matches("total", by, now - 90 * DAY, now) > 0);
    }

    // Minutes of the day before are gone, and their hours are not.
    let (from, to) = (now - 3 * DAY, now - 2 * DAY);
    assert_eq!(life.usage("minute", "", from, to), Vec::<Value>::new());
    assert!(life.assert_matches("hour", ALL, from, to) > 100);
    // So are hours of the first days, and what metrics have counted is not.
    assert_eq!(life.usage("total", "", begin, begin + 6 * DAY), Vec::<Value>::new());
    assert!(life.assert_matches("total", "", now - 92 * DAY, now) == 1);
    let page = life.fetch("/metrics");
    let requests = page.lines().filter(|line| line.starts_with("serin_requests_total{"));
    let counts = requests.map(|line| line.rsplit(' ').next().expect("a number").parse::<usize>());
    assert_eq!(counts.map(|it| it.expect("a number")).sum::<usize>(), sent);
    eprintln!("{sent} requests, {} rows by the hour, {largest:?} books and bytes", {
        life.assert_matches("hour", ALL, now - 90 * DAY, now)
    });
    assert!(sent > 1_500 && life.sent.borrow().iter().any(|it| it.limited), "{sent}");
}

#[test]
fn where_nothing_is_swept_by_itself_new_gateways_clear_away() {
    let mut life = Simulation::start(2);
    life.world.sweep_on_touch();
    life.crowd(20);
    let begin = life.now();
    let (hours, minutes) = ("usage/2026-01-01/", "usage/minute/2026-01-01T00/");
    assert!(life.world.books(hours).0 > 0 && life.world.books(minutes).0 > 0);
    for (later, gone, there) in [(27 * HOUR, minutes, Some(hours)), (94 * DAY, hours, None)] {
        // As long as it is told, it is not touched.
        life.wait_until(begin + later - 2 * HOUR);
        life.isolates = (0..3).map(|_| gateway()).collect();
        life.crowd(20);
        assert!(life.world.books(gone).0 > 0, "{gone}");
        life.wait_until(begin + later);
        let mut fresh = 0;
        while life.world.books(gone).0 > 0 {
            // As on Spin, where every request may be a gateway's first.
            life.isolates = (0..3).map(|_| gateway()).collect();
            life.crowd(3);
            fresh += 3;
            assert!(life.now() < begin + later + HOUR, "after {fresh} gateways {gone} is there");
        }
        assert!(there.is_none_or(|there| life.world.books(there).0 > 0));
    }
}

#[test]
fn where_nothing_is_swept_by_itself_little_stays() {
    let mut life = Simulation::start(3);
    life.world.sweep_on_touch();
    let begin = life.now();
    let hours = 4 * 24;
    for turn in 0..hours * 20 {
        life.wait_until(begin + turn * 3 * MINUTE);
        // Where there is little to do, every request is a gateway's first.
        life.isolates = (0..3).map(|_| gateway()).collect();
        life.crowd(1);
    }
    // What is kept, and one in twenty of what should not be.
    let (books, _) = life.world.books("usage/minute/");
    assert!(books as u64 <= 4 * 27 + 4 * (hours - 27) / 20, "{books}");
}
