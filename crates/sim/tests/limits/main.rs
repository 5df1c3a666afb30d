//! Limits in virtual time: bursts, faults, callers that hang up, an unavailable ledger.
//!
//! `SERIN_SEED=n` plays one seed of the invariants, `SERIN_SEEDS=n` the first n.

mod abuse;
mod invariants;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::gateway::Gateway;
use gateway::host::body::Body;
use serde_json::Value;
use sim::testing::{self, chat_request, upstream};
use sim::upstream::UpstreamSpec;
use sim::world::{HangUp, Received, World};

/// Configuration without limits.
const BASE: &str = r#"
[[providers]]
id = "big"
kind = "openai-compatible"
base_url = "UPSTREAM/big/v1"
[[providers]]
id = "small"
kind = "openai-compatible"
base_url = "UPSTREAM/small/v1"
[[routes]]
id = "big"
models = ["big"]
targets = [{ provider = "big" }]
fallback = [{ provider = "small", model = "small" }]
fallback_on = ["connect", "timeout", "429", "5xx", "limited"]
retries = { attempts = 0 }
timeouts = { first_byte = "2s", idle = "2s", total = "20s" }
[[routes]]
id = "alone"
models = ["alone"]
targets = [{ provider = "big" }]
retries = { attempts = 0 }
timeouts = { first_byte = "2s", idle = "2s", total = "20s" }
[[routes]]
id = "small"
models = ["small"]
targets = [{ provider = "small" }]
[[consumers]]
id = "app"
group = "apps"
keys = ["secret:APP_KEY"]
[[consumers]]
id = "other"
keys = ["secret:OTHER_KEY"]
"#;

/// Caller with one request.
#[derive(Clone, Debug)]
struct Caller {
    arrives: Duration,
    key: &'static str,
    body: String,
    hang_up: HangUp,
}

impl Caller {
    fn requesting(model: &str, rest: &str) -> Self {
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"a b"}}]{rest}}}"#
        );
        Self { arrives: Duration::ZERO, key: "APP_KEY", body, hang_up: HangUp::Never }
    }

    fn message(&self) -> http::Request<Body> {
        chat_request(self.key, self.body.clone())
    }
}

/// Gateway with limits, and its host.
struct Harness {
    world: World,
    gateway: Rc<Gateway>,
}

/// Responses and records of a play.
struct Observation {
    received: Vec<Received>,
    records: Vec<Value>,
}

impl Observation {
    fn count(&self, status: u16) -> usize {
        self.received.iter().filter(|it| it.head.is_some() && it.status() == status).count()
    }
}

impl Harness {
    fn with(limits: &str, scripts: &[(&str, &str)]) -> Self {
        Self::seeded(1, limits, scripts.iter().map(|(name, script)| (*name, upstream(&[script]))))
    }

    fn seeded<'a>(
        seed: u64,
        limits: &str,
        upstreams: impl IntoIterator<Item = (&'a str, UpstreamSpec)>,
    ) -> Self {
        Self {
            world: testing::world(seed, upstreams),
            gateway: testing::gateway_without_admin(&format!("{BASE}{limits}")),
        }
    }

    /// Plays concurrent callers, each at its time, and all deferred tasks.
    fn play(&self, callers: &[Caller]) -> Observation {
        let received = Rc::new(RefCell::new(vec![None; callers.len()]));
        for (index, caller) in callers.iter().cloned().enumerate() {
            let (world, gateway) = (self.world.clone(), Rc::clone(&self.gateway));
            let received = Rc::clone(&received);
            self.world.executor().spawn(async move {
                world.executor().sleep(caller.arrives).await;
                let answer = gateway.handle(world.clone(), caller.message());
                let got = world.receive(answer, caller.hang_up).await;
                received.borrow_mut()[index] = Some(got);
            });
        }
        self.world.executor().drain().expect("it ends");
        let received =
            received.take().into_iter().map(|it| it.expect("every caller has a response"));
        Observation { received: received.collect(), records: self.world.take_records() }
    }
}

fn code(received: &Received) -> String {
    received.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

const USAGE: &str = "answer = 'one two'\nprompt_tokens = 20\ncompletion_tokens = 80";

#[test]
fn burst_is_admitted_exactly_up_to_the_limit() {
    for lease in [false, true] {
        for callers in [5, 50, 500] {
            let limit = format!(
                "[[limits]]\nid = 'l'\nby = 'all'\nlease = {lease}\nrequests = {{ per = 'hour', max = 20 }}\n"
            );
            let harness = Harness::with(&limit, &[("big", USAGE)]);
            let observed = harness.play(&vec![Caller::requesting("alone", ""); callers]);
            assert_eq!(observed.count(200), callers.min(20), "lease {lease}, {callers} callers");
            assert_eq!(observed.count(429), callers.saturating_sub(20));
        }
    }
}

#[test]
fn concurrent_requests_reserve_tokens_before_they_spend_them() {
    let limit = "[[limits]]\nid = 'l'\nby = 'consumer'\ntokens = { per = 'hour', max = 2000 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    let observed = harness.play(&vec![Caller::requesting("alone", r#","max_tokens":90"#); 80]);
    let admitted = observed.count(200);
    assert!((17..=20).contains(&admitted), "{admitted}");
    // The unused part of the reservations has been returned.
    let more = harness.play(&vec![Caller::requesting("alone", r#","max_tokens":90"#); 80]);
    assert!(admitted + more.count(200) <= 20 && more.count(200) <= 20 - admitted);
}

#[test]
fn rate_limit_headers_and_codes_match_the_balance() {
    let limit = "[[limits]]\nid = 'l'\nby = 'consumer'\ntokens = { per = 'minute', max = 300 }\nrequests = { per = 'day', max = 3 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    let ask = [Caller::requesting("alone", r#","max_tokens":80"#)];
    let first = &harness.play(&ask).received[0];
    assert_eq!(first.header("x-ratelimit-limit-tokens"), "300");
    assert_eq!(first.header("x-ratelimit-limit-requests"), "3");
    assert_eq!(first.header("x-ratelimit-remaining-requests"), "2");
    assert_eq!(first.header("x-ratelimit-reset-requests"), "24h0m0s");
    let second = &harness.play(&ask).received[0];
    // The first request spent 100 tokens, the second has reserved about 89.
    let left: u64 = second.header("x-ratelimit-remaining-tokens").parse().expect("a number");
    assert!((100..=115).contains(&left), "{left}");
    let too_long =
        &harness.play(&[Caller::requesting("alone", r#","max_tokens":200"#)]).received[0];
    assert_eq!(code(too_long), "rate_limit_exceeded");
    assert!(too_long.header("retry-after").parse::<u64>().is_ok_and(|it| (1..=62).contains(&it)));
    assert_eq!(too_long.header("x-should-retry"), "");
    harness.play(&ask);
    let over = &harness.play(&ask).received[0];
    assert_eq!(
        (code(over).as_str(), over.header("x-should-retry")),
        ("insufficient_quota", "false")
    );
    assert!(
        over.header("retry-after").parse::<u64>().is_ok_and(|it| (86_000..=86_400).contains(&it)),
        "{}",
        over.header("retry-after")
    );
    // Another consumer has its own balance.
    let other = Caller { key: "OTHER_KEY", ..ask[0].clone() };
    assert_eq!(harness.play(&[other]).count(200), 1);
}

#[test]
fn fallback_of_a_limited_route_serves_under_its_own_limits() {
    let limits = "[[limits]]\nid = 'big'\nby = 'consumer'\non = { routes = ['big'] }\nrequests = { per = 'hour', max = 2 }\n[[limits]]\nid = 'small'\nby = 'consumer'\non = { routes = ['small'] }\nrequests = { per = 'hour', max = 3 }\n";
    let harness = Harness::with(limits, &[("big", USAGE), ("small", USAGE)]);
    let observed = harness.play(&vec![Caller::requesting("big", ""); 10]);
    assert_eq!((observed.count(200), observed.count(429)), (5, 5));
    let targets =
        |name: &str| observed.records.iter().filter(|record| record["target"] == name).count();
    assert_eq!((targets("big/big"), targets("small/small")), (2, 3));
    assert!(
        observed
            .records
            .iter()
            .filter(|record| record["target"] == "small/small")
            .all(|record| record["limited_by"] == "big")
    );
}

#[test]
fn hard_limit_caps_the_output_to_the_remainder() {
    let limit = "[[limits]]\nid = 'l'\nby = 'all'\nhard = true\ndefault_output = 500\ntokens = { per = 'total', max = 150 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    harness.play(&[
        Caller::requesting("alone", ""),
        Caller {
            arrives: Duration::from_secs(1),
            ..Caller::requesting("alone", r#","max_tokens":5"#)
        },
    ]);
    let calls = &harness.world.calls()["big"];
    let capped: Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    let max = capped["max_tokens"].as_u64().expect("the gateway adds max_tokens");
    assert!((130..150).contains(&max), "{max}");
    let short: Value = serde_json::from_slice(&calls[1].body).expect("JSON");
    assert_eq!(short["max_tokens"], 5);
}

#[test]
fn failed_attempts_cost_nothing_and_a_hang_up_costs_the_sent_part() {
    let limit = "[[limits]]\nid = 'l'\nby = 'all'\ntokens = { per = 'total', max = 100000 }\nrequests = { per = 'total', max = 100 }\n";
    let failing = Harness::with(limit, &[("big", "status = 500")]);
    assert_eq!(failing.play(&[Caller::requesting("alone", "")]).count(502), 1);
    let used = |harness: &Harness, measure: &str| {
        invariants::used(&harness.world, "all:l", &format!("l:{measure}:_")).used
    };
    assert_eq!((used(&failing, "tokens"), used(&failing, "requests")), (0, 0));

    let streaming = Harness::with(
        limit,
        &[("big", "answer = 'one two three four five six seven eight'\ngap = '1s'")],
    );
    let hangs_up = Caller {
        hang_up: HangUp::AfterEvents(3),
        ..Caller::requesting("alone", r#","stream":true"#)
    };
    let observed = streaming.play(&[hangs_up]);
    assert_eq!(
        (
            observed.records[0]["outcome"].as_str(),
            observed.records[0]["tokens"]["counted"].as_str()
        ),
        (Some("hung_up"), Some("estimated"))
    );
    let tokens = observed.records[0]["tokens"]["input"]
        .as_u64()
        .zip(observed.records[0]["tokens"]["output"].as_u64());
    assert_eq!(tokens.map(|(input, output)| input + output), Some(used(&streaming, "tokens")));
    assert!(used(&streaming, "tokens") > 8 && used(&streaming, "requests") == 1);

    let silent = Harness::with(limit, &[("big", "hang = true")]);
    let impatient = Caller {
        hang_up: HangUp::After(Duration::from_millis(500)),
        ..Caller::requesting("alone", "")
    };
    silent.play(&[impatient]);
    assert_eq!(
        (used(&silent, "tokens"), used(&silent, "requests")),
        (9, 1),
        "the upstream has received the prompt"
    );
}

#[test]
fn unavailable_ledger_fails_open_or_closed_by_on_error() {
    let limit = |on_error: &str| {
        format!(
            "[[limits]]\nid = 'l'\nby = 'all'\non_error = '{on_error}'\nrequests = {{ per = 'hour', max = 3 }}\n"
        )
    };
    let closed = Harness::with(&limit("closed"), &[("big", USAGE)]);
    closed.world.set_ledger_unavailable(true);
    let refused = &closed.play(&[Caller::requesting("alone", "")]).received[0];
    assert_eq!(
        (code(refused).as_str(), refused.header("retry-after")),
        ("ledger_unavailable", "5")
    );

    let open = Harness::with(&limit("open"), &[("big", USAGE)]);
    open.world.set_ledger_unavailable(true);
    let observed = open.play(&vec![Caller::requesting("alone", ""); 5]);
    assert_eq!((observed.count(200), observed.count(429)), (3, 2), "the isolate counts locally");
    assert!(
        observed
            .records
            .iter()
            .filter(|record| record["status"] == 200)
            .all(|record| record["ledger_away"] == true)
    );
}

#[test]
fn lease_saves_operations_and_returns_the_rest() {
    let limit = |lease| {
        format!(
            "[[limits]]\nid = 'l'\nby = 'all'\nlease = {lease}\nrequests = {{ per = 'total', max = 10000 }}\n"
        )
    };
    let calls = |lease: bool| {
        let harness = Harness::with(&limit(lease), &[("big", USAGE)]);
        let callers: Vec<Caller> = (0..200)
            .map(|at| Caller {
                arrives: Duration::from_millis(at * 10),
                ..Caller::requesting("alone", "")
            })
            .collect();
        let observed = harness.play(&callers);
        assert_eq!(observed.count(200), 200);
        let balance = invariants::used(&harness.world, "all:l", "l:requests:_");
        assert_eq!((balance.used, balance.held), (200, 0), "lease {lease}");
        harness.world.ledger_operations()
    };
    let (without, with) = (calls(false), calls(true));
    assert!(with * 2 < without, "{with} operations with leases, {without} without");
}

#[test]
fn unpriced_model_costs_nothing_and_records_no_cost() {
    let limits = "[[prices]]\nmodel = 'alone'\ninput = 2.5\noutput = 10.0\n[[limits]]\nid = 'l'\nby = 'all'\ncost = { per = 'month', max = 0.002 }\n";
    let harness = Harness::with(limits, &[("big", USAGE), ("small", USAGE)]);
    let observed = harness.play(&[Caller::requesting("alone", r#","max_tokens":80"#)]);
    assert_eq!(observed.records[0]["cost_usd"], 0.00085);
    assert_eq!(
        harness.play(&vec![Caller::requesting("alone", r#","max_tokens":80"#); 3]).count(200),
        1
    );
    let free = harness.play(&[Caller::requesting("small", "")]);
    assert_eq!((free.count(200), &free.records[0]["cost_usd"]), (1, &Value::Null));
}
