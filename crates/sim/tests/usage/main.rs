//! Usage in virtual time, compared with what callers received: totals by minute, hour, and day, expiry, and
//! storage.

mod expected;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use expected::Sent;
use gateway::gateway::Gateway;
use gateway::host::Clock;
use gateway::host::body::Body;
use serde_json::Value;
use sim::testing::{self, Rng, assert_page, chat_request, script, upstream};
use sim::upstream::{Script, Then, UpstreamSpec};
use sim::world::{HangUp, World};

/// Routes, consumers, and limits, in addition to the providers.
const DOCUMENT: &str = r#"
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

fn gateway() -> Rc<Gateway> {
    testing::gateway(&(testing::providers(&["big", "small", "broken"]) + DOCUMENT))
}

fn isolates() -> Vec<Rc<Gateway>> {
    (0..3).map(|_| gateway()).collect()
}

/// Upstreams with response times from a few milliseconds to half a minute and various token counts. Every
/// fifth response of `big` fails.
fn world(seed: u64) -> World {
    let mut rng = Rng(seed);
    let mut scripts = |fails: bool| {
        let script: Vec<Script> = (0..35)
            .map(|turn| {
                if fails && turn % 5 == 4 {
                    return Script::failing(503);
                }
                // Spread over the decades: most responses are fast, some are slow.
                let delay = 3 << rng.below(13);
                let text = format!(
                    "answer = 'one two three'\ndelay = '{}ms'\ngap = '{}ms'\nprompt_tokens = {}\ncompletion_tokens = {}",
                    delay + rng.below(delay),
                    rng.below(300),
                    1 + rng.below(5_000),
                    1 + rng.below(900),
                );
                script(&text)
            })
            .collect();
        UpstreamSpec { script, then: Then::Cycle, ..UpstreamSpec::default() }
    };
    let (big, small) = (scripts(true), scripts(false));
    testing::world(seed, [("big", big), ("small", small), ("broken", upstream(&["status = 500"]))])
}

fn new_request(key: &str, model: &str, stream: bool) -> http::Request<Body> {
    let options = if stream { r#","stream_options":{"include_usage":true}"# } else { "" };
    let body = format!(r#"{{"model":"{model}","stream":{stream}{options},"messages":[]}}"#);
    chat_request(key, body)
}

/// Host with several isolates, and all requests to them so far.
struct Simulation {
    world: World,
    isolates: Vec<Rc<Gateway>>,
    sent: Rc<RefCell<Vec<Sent>>>,
    rng: Rng,
}

impl Simulation {
    fn start(seed: u64) -> Self {
        Self { world: world(seed), isolates: isolates(), sent: Rc::default(), rng: Rng(seed) }
    }

    fn now(&self) -> u64 {
        self.world.now().as_millis()
    }

    /// Advances the clock to a time, unless it has passed.
    fn wait_until(&self, at: u64) {
        let wait = Duration::from_millis(at.saturating_sub(self.now()));
        self.world.executor().run(self.world.executor().sleep(wait)).expect("time passes");
    }

    /// Plays `count` concurrent requests, each to a random isolate, and all deferred tasks.
    fn play_requests(&mut self, count: u64) {
        for _ in 0..count {
            let consumer = self.rng.pick(&["acme", "umbrella", "initech"]);
            let model = self.rng.pick(&["gpt", "gpt", "mini", "claude", "none"]);
            let stream = self.rng.below(2) == 0;
            let isolate = self.rng.below(3) as usize;
            let (world, sent) = (self.world.clone(), Rc::clone(&self.sent));
            let gateway = Rc::clone(&self.isolates[isolate]);
            self.world.executor().spawn(async move {
                let at = world.now().as_millis();
                let answer = gateway.handle(world.clone(), new_request(consumer, model, stream));
                let received = world.receive(answer, HangUp::Never).await;
                sent.borrow_mut().push(Sent::parse(at, consumer, model, &received));
            });
        }
        self.world.executor().drain().expect("all requests end");
    }

    /// Gets a page from a new gateway, which has only what the host stores.
    #[track_caller]
    fn assert_page(&self, path: &str) -> String {
        assert_page(&self.world, &gateway(), path)
    }

    /// Gets the rows of usage between two times in milliseconds.
    #[track_caller]
    fn usage(&self, step: &str, by: &str, from: u64, to: u64) -> Vec<Value> {
        let (from, to) = (from / 1_000, to / 1_000);
        let path = format!("/admin/v1/usage?step={step}&by={by}&from={from}&to={to}");
        let page: Value = serde_json::from_str(&self.assert_page(&path)).expect("JSON");
        page["data"].as_array().expect("rows").clone()
    }
}

const ALL: &str = "consumer,model,provider,route";

#[test]
fn usage_of_a_hundred_days_matches_the_requests_and_expires() {
    let mut simulation = Simulation::start(1);
    let begin = simulation.now();
    let mut largest = (0, 0);
    for day in 0..DAYS {
        let midnight = begin + day * DAY;
        if day % 7 == 3 {
            // A deployment, or a move to other machines.
            simulation.isolates = isolates();
        }
        let mut times: Vec<u64> = (0..5).map(|_| simulation.rng.below(DAY - MINUTE)).collect();
        if day + 3 >= DAYS {
            times.extend((0..96).map(|quarter| quarter * 15 * MINUTE + day % 7 * 31_007));
        }
        // The last millisecond of a day and the first of the next day.
        times.extend([0, DAY - 1]);
        times.sort_unstable();
        for time in times {
            simulation.wait_until(midnight + time);
            let count = 1 + simulation.rng.below(3);
            simulation.play_requests(count);
        }
        simulation.world.sweep_ledger();
        // Hours are kept for 92 days and minutes for 25 hours, plus the current period and one whose rows
        // have not all expired. Each period has four books.
        let (hours, minutes) =
            (simulation.world.books("usage/2"), simulation.world.books("usage/minute/"));
        assert!(hours.0 <= 4 * 94 && minutes.0 <= 4 * 27, "day {day}: {hours:?}, {minutes:?}");
        if day < 93 {
            largest = largest.max(hours);
        } else if day + 3 < DAYS {
            // With constant traffic, rows and bytes stay constant.
            assert!(hours.1 < largest.1 * 11 / 10, "day {day}: {hours:?} after {largest:?}");
        }
        if day % 20 == 19 {
            let now = simulation.now();
            assert!(simulation.assert_matches("minute", ALL, now - DAY, now) > 5, "day {day}");
            simulation.assert_matches("hour", ALL, now.saturating_sub(40 * DAY).max(begin), now);
            simulation.assert_matches(
                "total",
                "consumer",
                now.saturating_sub(90 * DAY).max(begin),
                now,
            );
        }
    }
    let now = simulation.now();
    let sent = simulation.sent.borrow().len();

    // One day by minutes, ninety days by hours, and their sums by each dimension.
    assert!(simulation.assert_matches("minute", ALL, now - DAY, now) > 100);
    assert!(simulation.assert_matches("hour", ALL, now - 90 * DAY, now) > 1_000);
    assert_eq!(simulation.assert_matches("day", "", now - 90 * DAY, now), 90);
    for by in ["", "consumer", "group", "model", "provider", "route", ALL] {
        assert!(simulation.assert_matches("total", by, now - 90 * DAY, now) > 0);
    }

    // Minutes of the previous day have expired, their hours have not.
    let (from, to) = (now - 3 * DAY, now - 2 * DAY);
    assert_eq!(simulation.usage("minute", "", from, to), Vec::<Value>::new());
    assert!(simulation.assert_matches("hour", ALL, from, to) > 100);
    // Hours of the first days have expired, counters of metrics have not.
    assert_eq!(simulation.usage("total", "", begin, begin + 6 * DAY), Vec::<Value>::new());
    assert!(simulation.assert_matches("total", "", now - 92 * DAY, now) == 1);
    let page = simulation.assert_page("/metrics");
    let requests = page.lines().filter(|line| line.starts_with("serin_requests_total{"));
    let counts = requests.map(|line| line.rsplit(' ').next().expect("a number").parse::<usize>());
    assert_eq!(counts.map(|it| it.expect("a number")).sum::<usize>(), sent);
    eprintln!("{sent} requests, {} rows by the hour, {largest:?} books and bytes", {
        simulation.assert_matches("hour", ALL, now - 90 * DAY, now)
    });
    assert!(sent > 1_500 && simulation.sent.borrow().iter().any(|it| it.limited), "{sent}");
}

#[test]
fn new_gateways_delete_expired_books_where_the_host_does_not_sweep() {
    let mut simulation = Simulation::start(2);
    simulation.world.sweep_on_touch();
    simulation.play_requests(20);
    let begin = simulation.now();
    let (hours, minutes) = ("usage/2026-01-01/", "usage/minute/2026-01-01T00/");
    assert!(simulation.world.books(hours).0 > 0 && simulation.world.books(minutes).0 > 0);
    for (later, expired, current) in [(27 * HOUR, minutes, Some(hours)), (94 * DAY, hours, None)] {
        // Reported periods are kept.
        simulation.wait_until(begin + later - 2 * HOUR);
        simulation.isolates = isolates();
        simulation.play_requests(20);
        assert!(simulation.world.books(expired).0 > 0, "{expired}");
        simulation.wait_until(begin + later);
        let mut gateways = 0;
        while simulation.world.books(expired).0 > 0 {
            // On Spin, every request may be the first of a gateway.
            simulation.isolates = isolates();
            simulation.play_requests(3);
            gateways += 3;
            assert!(
                simulation.now() < begin + later + HOUR,
                "{expired} is still there after {gateways} gateways"
            );
        }
        assert!(current.is_none_or(|books| simulation.world.books(books).0 > 0));
    }
}

#[test]
fn few_expired_books_stay_where_the_host_does_not_sweep() {
    let mut simulation = Simulation::start(3);
    simulation.world.sweep_on_touch();
    let begin = simulation.now();
    let hours = 4 * 24;
    for turn in 0..hours * 20 {
        simulation.wait_until(begin + turn * 3 * MINUTE);
        // With little traffic, every request is the first of a gateway.
        simulation.isolates = isolates();
        simulation.play_requests(1);
    }
    // All current books, and at most one in twenty of the expired ones.
    let (books, _) = simulation.world.books("usage/minute/");
    assert!(books as u64 <= 4 * 27 + 4 * (hours - 27) / 20, "{books}");
}
