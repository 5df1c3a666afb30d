//! What must hold of limits in every world, whatever fails in it.

use std::time::Duration;

use ledger::{AccountBalance, Rule, Window};
use serde_json::Value;
use sim::upstream::{Script, Then, UpstreamSpec};
use sim::world::{HangUp, World, splitmix64};

use super::{Caller, Harness};

/// How many seeds are played unless told otherwise.
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

/// How an account of a balance stands.
pub(super) fn used(world: &World, place: &str, account: &str) -> AccountBalance {
    world.balance(place, account, Rule { max: 0, window: Window::Total })
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        let (state, number) = splitmix64(self.0);
        self.0 = state;
        number % most
    }
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
        let script = (0..1 + rng.below(4)).map(|_| {
            let script: Script = toml::from_str(SCRIPTS[rng.below(8) as usize]).expect("a script");
            script
        });
        UpstreamSpec { script: script.collect(), then: Then::Cycle, ..UpstreamSpec::default() }
    };
    let upstreams = ["big", "small"].map(|name| (name.to_owned(), spec(rng)));
    Harness::seeded(seed, &limits, upstreams.into())
}

fn callers(rng: &mut Rng) -> Vec<Caller> {
    let one = |rng: &mut Rng| {
        let stream = rng.below(2) == 1;
        let most = ["", r#","max_tokens":40"#, r#","n":2"#][rng.below(3) as usize];
        let model = ["big", "alone", "small"][rng.below(3) as usize];
        let hang_up = match rng.below(4) {
            0 => HangUp::AfterEvents(rng.below(4) as usize),
            1 => HangUp::After(Duration::from_millis(rng.below(3_000))),
            _ => HangUp::Never,
        };
        let key = ["app-key", "other-key"][rng.below(2) as usize];
        let arrives = Duration::from_millis(rng.below(4_000));
        let asked = Caller::requesting(model, &format!(r#","stream":{stream}{most}"#));
        Caller { arrives, key, hang_up, ..asked }
    };
    (0..1 + rng.below(30)).map(|_| one(rng)).collect()
}

/// What a record says was spent: tokens, and whether the request counts.
fn spent(record: &Value) -> (u64, u64) {
    let served = match record["outcome"].as_str() {
        Some("answered" | "truncated") => true,
        // Who leaves while nobody works on the answer, after a failure, pays nothing.
        Some("hung_up") => {
            record["attempts"].as_array().and_then(|all| all.last()).is_some_and(|last| {
                matches!(last["result"].as_str(), Some("answered" | "abandoned" | "callers_fault"))
            })
        }
        _ => false,
    };
    let number = |name: &str| record["tokens"][name].as_u64().unwrap_or_default();
    if served { (number("input") + number("output"), 1) } else { (0, 0) }
}

fn play(seed: u64) -> Result<(), String> {
    let mut rng = Rng(seed);
    let stage = harness(seed, &mut rng);
    let callers = callers(&mut rng);
    let seen = stage.play(&callers);
    let sum = |of: fn(&Value) -> u64| seen.records.iter().map(of).sum::<u64>();
    let tokens = used(&stage.world, "all:l", "l:tokens:_");
    let requests = used(&stage.world, "all:l", "l:requests:_");
    let told = (sum(|record| spent(record).0), sum(|record| spent(record).1));
    // Settled exactly once, on every path: what the ledger holds is what the records say.
    if (tokens.used, requests.used) != told {
        return Err(format!(
            "the ledger holds {tokens:?} and {requests:?}, the records say {told:?}"
        ));
    }
    if tokens.held + requests.held != 0 {
        return Err(format!("something is still held: {tokens:?} {requests:?}"));
    }
    for consumer in ["app", "other"] {
        let of_consumer = seen.records.iter().filter(|record| record["consumer"] == consumer);
        let told: u64 = of_consumer.map(|record| spent(record).1).sum();
        let level = used(&stage.world, "all:l", &format!("c:requests:{consumer}"));
        if (level.used, level.held) != (told, 0) {
            return Err(format!("{consumer} has {level:?}, the records say {told}"));
        }
    }
    if stage.world.stored_text().contains("app-key") {
        return Err("a key is kept in clear".to_owned());
    }
    Ok(())
}

#[test]
fn whatever_fails_every_reservation_is_settled_once() {
    let setting = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match setting("SERIN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SERIN_SEEDS").unwrap_or(SEEDS),
    };
    let broken: Vec<String> = seeds
        .filter_map(|seed| play(seed).err().map(|law| format!("SERIN_SEED={seed}: {law}")))
        .collect();
    assert!(
        broken.is_empty(),
        "{} seeds break a law:\n{}",
        broken.len(),
        broken[..broken.len().min(10)].join("\n")
    );
}
