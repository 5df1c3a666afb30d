//! What several isolates count together, against what callers and upstreams saw, in virtual time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use gateway::service;
use secret::Secret;
use serde_json::Value;
use sim::upstream::{Script, UpstreamSpec};
use sim::world::{HangUp, UPSTREAM, World, splitmix64};

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
[[consumers]]
id = "umbrella"
keys = ["secret:UMBRELLA"]
[[limits]]
id = "few"
by = "consumer"
requests = { per = "total", max = 60 }
"#;

fn gateway() -> Rc<Gateway> {
    let secret = |name: &str| Some(Secret::new(name));
    let document = DOCUMENT.replace("UPSTREAM", UPSTREAM);
    let config = author::from_toml(&document, &secret).expect("the document is right");
    Gateway::new(config, GatewaySecrets::lookup(&secret))
}

fn world(seed: u64) -> World {
    let usage = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 8";
    let scripts = [("big", vec![usage, "status = 500", usage]), ("small", vec![usage])];
    let spec = |scripts: Vec<&str>| UpstreamSpec {
        script: scripts.iter().map(|it| toml::from_str::<Script>(it).expect("a script")).collect(),
        then: sim::upstream::Then::Cycle,
        service: None,
    };
    World::new(seed, scripts.map(|(name, it)| (name.to_owned(), spec(it))).into())
}

fn new_request(key: &str, stream: bool) -> http::Request<Body> {
    let body = format!(r#"{{"model":"gpt","stream":{stream},"messages":[]}}"#);
    http::Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from(body)))
        .expect("a request")
}

fn fetch_text(world: &World, gateway: &Rc<Gateway>, path: &str) -> String {
    let request = http::Request::get(path).header("authorization", "Bearer ADMIN_TOKEN");
    let request = request.body(Body::Empty).expect("a request");
    let answer = service::dispatch(gateway, None, world.clone(), request);
    let got = world.play(answer, HangUp::Never).expect("it ends");
    assert_eq!(got.head.as_ref().map(|(status, _)| status.as_u16()), Some(200), "{path}");
    String::from_utf8(got.body().to_vec()).expect("text")
}

/// The sum of a metric's samples that hold all of these labels.
fn sum(page: &str, metric: &str, labels: &[&str]) -> f64 {
    let samples = page.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    let wanted = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.map(|line| line.rsplit(' ').next().expect("a number").parse::<f64>().expect("one")).sum()
}

/// Lets a hundred callers ask three isolates within a second and checks every total. `deaf`: for some
/// of the time the ledger's answers are lost.
fn assert_totals(seed: u64, deaf: bool) {
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
            let got = world.receive(answer, HangUp::Never).await;
            let status = got.head.expect("a head").0.as_u16();
            *statuses.borrow_mut().entry(status).or_default() += 1;
        });
    }
    if deaf {
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
    // One that has just started, as after a deployment.
    let fresh = gateway();
    let page = fetch_text(&world, &fresh, "/metrics");
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
    for step in ["minute", "hour", "day", "total"] {
        let usage = fetch_text(&world, &fresh, &format!("/admin/v1/usage?step={step}&by=consumer"));
        let usage: Value = serde_json::from_str(&usage).expect("JSON");
        let rows = usage["data"].as_array().expect("rows");
        let of = |name: &str| rows.iter().map(|row| row[name].as_u64().expect("one")).sum::<u64>();
        assert_eq!((of("requests"), of("limited")), (100, limited as u64), "{seed}: {step}");
        assert_eq!(of("input_tokens") as f64, input, "{seed}: {step}");
        assert!(rows.iter().all(|row| row["p99_total_ms"].is_u64()));
    }
}

#[test]
fn every_total_is_what_callers_and_upstreams_saw() {
    (0..20).for_each(|seed| assert_totals(seed, false));
}

#[test]
fn lost_answers_count_nothing_twice() {
    (0..20).for_each(|seed| assert_totals(seed, true));
}

#[test]
fn many_requests_share_a_few_writes() {
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
    // Of each request a reservation and a settlement; what is left are sums. Half a second of
    // requests is six or seven writes, to three places each.
    let sums = world.ledger_operations() - 2 * 50;
    assert!((3..=27).contains(&sums), "{sums}");
}
