//! Metrics and usage of several isolates, compared with what callers and upstreams received, in virtual time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gateway::gateway::Gateway;
use gateway::host::body::Body;
use memory_host::splitmix64;
use serde_json::Value;
use sim::testing::{self, ANSWER_WITH_USAGE, assert_page, chat_request, upstream};
use sim::upstream::{Then, UpstreamSpec};
use sim::world::{HangUp, World};

/// Addition to [`testing::fallback_document`].
const LIMITED_CONSUMER: &str = r#"
[[consumers]]
id = "umbrella"
keys = ["secret:UMBRELLA"]
[[limits]]
id = "few"
by = "consumer"
requests = { per = "total", max = 60 }
"#;

fn gateway() -> Rc<Gateway> {
    testing::gateway(&(testing::fallback_document() + LIMITED_CONSUMER))
}

fn world(seed: u64) -> World {
    let cycle = |scripts: &[&str]| UpstreamSpec { then: Then::Cycle, ..upstream(scripts) };
    testing::world(
        seed,
        [
            ("big", cycle(&[ANSWER_WITH_USAGE, "status = 500", ANSWER_WITH_USAGE])),
            ("small", cycle(&[ANSWER_WITH_USAGE])),
        ],
    )
}

fn new_request(key: &str, stream: bool) -> http::Request<Body> {
    chat_request(key, format!(r#"{{"model":"gpt","stream":{stream},"messages":[]}}"#))
}

/// Adds the samples of a metric that have all of these labels.
fn sum(page: &str, metric: &str, labels: &[&str]) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    let wanted = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.map(|line| line.rsplit(' ').next().expect("a number").parse::<f64>().expect("one")).sum()
}

/// Asserts every total after 100 requests to three isolates within a second. With `loses_replies`, the
/// ledger's replies are lost for 7 of the seconds after that.
fn assert_totals(seed: u64, loses_replies: bool) {
    let world = world(seed);
    let gateways = [gateway(), gateway(), gateway()];
    let statuses: Rc<RefCell<BTreeMap<u16, u64>>> = Rc::default();
    let mut state = seed;
    for _ in 0..100 {
        let (next, number) = splitmix64(state);
        state = next;
        let (world, statuses) = (world.clone(), Rc::clone(&statuses));
        let gateway = Rc::clone(&gateways[(number % 3) as usize]);
        world.clone().executor().spawn(async move {
            world.executor().sleep(Duration::from_millis(number / 3 % 1_000)).await;
            let key = if number / 7 % 4 == 0 { "UMBRELLA" } else { "ACME" };
            let answer = gateway.handle(world.clone(), new_request(key, number / 64 % 2 == 0));
            let status = world.receive(answer, HangUp::Never).await.status();
            *statuses.borrow_mut().entry(status).or_default() += 1;
        });
    }
    if loses_replies {
        let world = world.clone();
        world.clone().executor().spawn(async move {
            world.executor().sleep(Duration::from_millis(1_050)).await;
            world.set_ledger_drops_replies(true);
            world.executor().sleep(Duration::from_secs(7)).await;
            world.set_ledger_drops_replies(false);
        });
    }
    world.executor().drain().expect("it ends");
    let records = world.take_records();
    // A gateway that has just started, as after a deployment.
    let new_gateway = gateway();
    let page = assert_page(&world, &new_gateway, "/metrics");
    for (status, count) in statuses.borrow().iter() {
        let label = format!("status=\"{status}\"");
        assert_eq!(
            sum(&page, "serin_requests_total", &[&label]),
            *count as f64,
            "{seed}: {status}"
        );
    }
    assert_eq!(sum(&page, "serin_requests_total", &[]), 100.0, "{seed}");
    let total = |of: &dyn Fn(&Value) -> u64| records.iter().map(of).sum::<u64>() as f64;
    let input = total(&|record| record["tokens"]["input"].as_u64().expect("a number"));
    assert_eq!(sum(&page, "serin_tokens_total", &["kind=\"input\""]), input, "{seed}");
    let failed = world.calls()["small"].len() as f64;
    assert!(failed > 0.0);
    let fallback = r#"from="big/gpt",to="small/mini""#;
    assert_eq!(sum(&page, "serin_fallback_total", &[fallback]), failed, "{seed}");
    let limited = statuses.borrow().get(&429).copied().unwrap_or(0) as f64;
    assert!(limited > 0.0);
    assert_eq!(
        sum(&page, "serin_limited_total", &["limit=\"few\"", "\"acme\""]),
        limited,
        "{seed}"
    );
    assert_eq!(sum(&page, "serin_request_duration_seconds_count", &[]), 100.0, "{seed}");
    // A whole answer has no first token.
    let streams = records.iter().filter(|record| record["first_token_ms"].is_u64()).count() as f64;
    let is_stream = |record: &&Value| record["stream"] == true && record["status"] == 200;
    assert_eq!(streams, records.iter().filter(is_stream).count() as f64, "{seed}");
    assert_eq!(sum(&page, "serin_time_to_first_token_seconds_count", &[]), streams, "{seed}");
    for step in ["minute", "hour", "day", "total"] {
        let usage =
            assert_page(&world, &new_gateway, &format!("/admin/v1/usage?step={step}&by=consumer"));
        let usage: Value = serde_json::from_str(&usage).expect("JSON");
        let rows = usage["data"].as_array().expect("rows");
        let total =
            |name: &str| rows.iter().map(|row| row[name].as_u64().expect("one")).sum::<u64>();
        assert_eq!((total("requests"), total("limited")), (100, limited as u64), "{seed}: {step}");
        assert_eq!(total("input_tokens") as f64, input, "{seed}: {step}");
        assert!(rows.iter().all(|row| row["p99_total_ms"].is_u64()));
    }
}

#[test]
fn totals_of_several_isolates_equal_what_callers_and_upstreams_received() {
    (0..20).for_each(|seed| assert_totals(seed, false));
}

#[test]
fn totals_with_lost_ledger_replies_count_nothing_twice() {
    (0..20).for_each(|seed| assert_totals(seed, true));
}

#[test]
fn ledger_writes_of_many_requests_are_few() {
    let world = world(1);
    let gateway = gateway();
    for number in 0..50 {
        let (world, gateway) = (world.clone(), Rc::clone(&gateway));
        world.clone().executor().spawn(async move {
            world.executor().sleep(Duration::from_millis(number * 10)).await;
            let answer = gateway.handle(world.clone(), new_request("ACME", false));
            world.receive(answer, HangUp::Never).await;
        });
    }
    world.executor().drain().expect("it ends");
    // Each request makes a reservation and a settlement; the other operations are sums. Half a second of
    // requests makes six or seven writes to three books each.
    let sums = world.ledger_operations() - 2 * 50;
    assert!((3..=27).contains(&sums), "{sums}");
}
