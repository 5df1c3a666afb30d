//! Invariants of limits under random faults.

use std::time::Duration;

use ledger::{AccountBalance, Rule, Window};
use serde_json::Value;
use sim::testing::{Rng, script, seeds};
use sim::upstream::{Then, UpstreamSpec};
use sim::world::{HangUp, World};

use super::{Caller, Harness};

/// Default number of seeds.
const SEEDS: u64 = 1_000;
const SCRIPTS: [&str; 8] = [
    "answer = 'one two three'",
    "answer = 'one two three'\nprompt_tokens = 40\ncompletion_tokens = 60",
    "answer = 'one two three'\nprompt_tokens = 4\ncompletion_tokens = 6\ngap = '300ms'",
    "status = 500",
    "status = 400",
    "refuse = true",
    "hang = true",
    "answer = 'one two three four'\ngap = '200ms'\ncut_after = 2",
];

/// Reads the balance of an account.
pub(super) fn used(world: &World, place: &str, account: &str) -> AccountBalance {
    world.balance(place, account, Rule { max: 0, window: Window::Total })
}

fn harness(seed: u64, rng: &mut Rng) -> Harness {
    let max = [50, 300, 2_000, 100_000][rng.below(4) as usize];
    let lease = rng.below(2) == 1;
    let hard = rng.below(3) == 0;
    let requests = 1 + rng.below(40);
    let limits = format!(
        "[[limits]]\nid = 'l'\nby = 'all'\nlease = {lease}\nhard = {hard}\ndefault_output = 30\ntokens = {{ per = 'total', max = {max} }}\nrequests = {{ per = 'total', max = {requests} }}\n[[limits]]\nid = 'c'\nby = 'consumer'\nlease = {lease}\nrequests = {{ per = 'total', max = {requests} }}\n[[limits]]\nid = 'h'\nby = 'header:authorization'\nrequests = {{ per = 'total', max = 100 }}\n",
    );
    let spec = |rng: &mut Rng| {
        let script = (0..1 + rng.below(4)).map(|_| script(rng.pick(&SCRIPTS)));
        UpstreamSpec { script: script.collect(), then: Then::Cycle, ..UpstreamSpec::default() }
    };
    let upstreams = ["big", "small"].map(|name| (name, spec(rng)));
    Harness::seeded(seed, &limits, upstreams)
}

fn callers(rng: &mut Rng) -> Vec<Caller> {
    let one = |rng: &mut Rng| {
        let stream = rng.below(2) == 1;
        let max = ["", r#","max_tokens":40"#, r#","n":2"#][rng.below(3) as usize];
        let model = ["big", "alone", "small"][rng.below(3) as usize];
        let hang_up = match rng.below(4) {
            0 => HangUp::AfterEvents(rng.below(4) as usize),
            1 => HangUp::After(Duration::from_millis(rng.below(3_000))),
            _ => HangUp::Never,
        };
        let key = ["APP_KEY", "OTHER_KEY"][rng.below(2) as usize];
        let arrives = Duration::from_millis(rng.below(4_000));
        let asked = Caller::requesting(model, &format!(r#","stream":{stream}{max}"#));
        Caller { arrives, key, hang_up, ..asked }
    };
    (0..1 + rng.below(30)).map(|_| one(rng)).collect()
}

/// Returns the tokens and requests that a record counts as spent.
fn spent(record: &Value) -> (u64, u64) {
    let attempts = record["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A provider that has the prompt may bill it.
    let is_lost = attempts.iter().any(|attempt| attempt["tokens"].is_u64());
    let served = match record["outcome"].as_str() {
        Some("answered" | "truncated") => true,
        // A hang-up between a refused attempt and the next one costs nothing.
        Some("hung_up") => {
            let answered = |attempt: &Value| {
                matches!(attempt["result"].as_str(), Some("answered" | "callers_fault"))
            };
            is_lost || attempts.iter().any(answered)
        }
        _ => is_lost,
    };
    let number = |name: &str| record["tokens"][name].as_u64().unwrap_or_default();
    if served { (number("input") + number("output"), 1) } else { (0, 0) }
}

fn play(seed: u64) -> Result<(), String> {
    let mut rng = Rng(seed);
    let harness = harness(seed, &mut rng);
    let callers = callers(&mut rng);
    let observed = harness.play(&callers);
    let sum = |of: fn(&Value) -> u64| observed.records.iter().map(of).sum::<u64>();
    let tokens = used(&harness.world, "all:l", "l:tokens:_");
    let requests = used(&harness.world, "all:l", "l:requests:_");
    let recorded = (sum(|record| spent(record).0), sum(|record| spent(record).1));
    // Every reservation is settled exactly once: the ledger holds what the records count.
    if (tokens.used, requests.used) != recorded {
        return Err(format!(
            "the ledger has {tokens:?} and {requests:?}, the records {recorded:?}"
        ));
    }
    if tokens.held + requests.held != 0 {
        return Err(format!("reservations are open: {tokens:?} {requests:?}"));
    }
    for consumer in ["app", "other"] {
        let of_consumer = observed.records.iter().filter(|record| record["consumer"] == consumer);
        let recorded: u64 = of_consumer.map(|record| spent(record).1).sum();
        let balance = used(&harness.world, "all:l", &format!("c:requests:{consumer}"));
        if (balance.used, balance.held) != (recorded, 0) {
            return Err(format!("{consumer} has {balance:?}, the records {recorded}"));
        }
    }
    if harness.world.stored_text().contains("APP_KEY") {
        return Err("a key is stored in clear text".to_owned());
    }
    Ok(())
}

#[test]
fn reservations_under_random_faults_are_settled_once() {
    let broken: Vec<String> = seeds(SEEDS)
        .filter_map(|seed| {
            play(seed).err().map(|violation| format!("SERIN_SEED={seed}: {violation}"))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "{} seeds violate an invariant:\n{}",
        broken.len(),
        broken[..broken.len().min(10)].join("\n")
    );
}
