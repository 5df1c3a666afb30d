//! Fault schedules in virtual time: each seed generates a configuration, faulty upstreams, and concurrent
//! callers. `invariants` checks each run.
//!
//! `SERIN_SEED=n` plays one seed and prints it, `SERIN_SEEDS=n` plays the first n.

mod generate;
mod invariants;
mod rng;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use generate::Schedule;
use secret::Secret;
use serde_json::Value;
use sim::testing::seeds;
use sim::upstream::Call;
use sim::world::{CLOSED, Received, UPSTREAM, World};

/// Default number of seeds.
const SEEDS: u64 = 10_000;

/// Observations of one run.
struct Outcome {
    received: Vec<Received>,
    records: Vec<Value>,
    calls: BTreeMap<String, Vec<Call>>,
    open_calls: usize,
    took: Duration,
}

fn play(schedule: &Schedule) -> Result<Outcome, String> {
    let config = schedule.config.replace("UPSTREAM", UPSTREAM).replace("CLOSED", CLOSED);
    let secret = |name: &str| schedule.secrets.get(name).map(|value| Secret::new(value));
    let config = author::from_toml(&config, &secret).map_err(|problems| format!("{problems:?}"))?;
    let (world, gateway) = (
        World::new(schedule.seed, schedule.upstreams.clone()),
        Gateway::new(config, GatewaySecrets::default()),
    );
    let received = Rc::new(RefCell::new(vec![None; schedule.callers.len()]));
    for (index, caller) in schedule.callers.iter().enumerate() {
        let (world, gateway, received) = (world.clone(), gateway.clone(), received.clone());
        let (message, arrives, hang_up) = (caller.message(index), caller.arrives, caller.hang_up);
        let executor = world.executor().clone();
        executor.spawn(async move {
            world.executor().sleep(arrives).await;
            let answer = gateway.handle(world.clone(), message);
            let got = world.receive(answer, hang_up).await;
            received.borrow_mut()[index] = Some(got);
        });
    }
    world.executor().drain().map_err(|stuck| stuck.to_string())?;
    let received = received.take().into_iter().collect::<Option<Vec<_>>>();
    Ok(Outcome {
        received: received.ok_or("a caller has no response")?,
        records: world.take_records(),
        calls: world.calls(),
        open_calls: world.open_calls(),
        took: world.executor().now(),
    })
}

#[test]
fn invariants_hold_under_random_faults() {
    let seeds = seeds(SEEDS);
    let is_single = seeds.end - seeds.start == 1;
    let is_complete = seeds.end - seeds.start >= SEEDS;
    let mut broken = Vec::new();
    let mut outcome_counts: BTreeMap<String, usize> = BTreeMap::new();
    for seed in seeds {
        let schedule = Schedule::from_seed(seed);
        let result = play(&schedule).and_then(|outcome| {
            if is_single {
                println!("{schedule:#?}\n{:#?}\n{:#?}", outcome.received, outcome.records);
            }
            for record in &outcome.records {
                *outcome_counts.entry(record["outcome"].to_string()).or_default() += 1;
                for attempt in record["attempts"].as_array().into_iter().flatten() {
                    let kind = format!("{} {}", attempt["part"], attempt["result"]);
                    *outcome_counts.entry(kind).or_default() += 1;
                }
            }
            invariants::check_invariants(&schedule, &outcome)
        });
        if let Err(violation) = result {
            broken.push(format!("SERIN_SEED={seed}: {violation}"));
        }
    }
    assert!(
        broken.is_empty(),
        "{} seeds violate an invariant:\n{}",
        broken.len(),
        first(&broken).join("\n")
    );
    if is_complete {
        // Each kind of outcome must occur often enough to be tested.
        for outcome in ["answered", "failed", "refused", "truncated", "hung_up"] {
            let count = outcome_counts.get(&format!("{outcome:?}")).copied().unwrap_or_default();
            assert!(count > 50, "only {count} requests with outcome {outcome}: {outcome_counts:?}");
        }
        for (part, result) in [
            ("whole", "hedged_out"),
            ("hedge", "hedged_out"),
            ("hedge", "answered"),
            ("hedge", "timeout"),
            ("rest", "answered"),
            ("rest", "timeout"),
        ] {
            let count =
                outcome_counts.get(&format!("{part:?} {result:?}")).copied().unwrap_or_default();
            assert!(
                count > 20,
                "only {count} attempts of kind {part} with result {result}: {outcome_counts:?}"
            );
        }
    }
}

fn first(broken: &[String]) -> &[String] {
    &broken[..broken.len().min(10)]
}

#[test]
fn equal_seeds_give_equal_runs() {
    let observations = |seed| {
        let outcome = play(&Schedule::from_seed(seed)).expect("it ends");
        format!("{:?} {:?} {:?}", outcome.received, outcome.records, outcome.took)
    };
    for seed in [3, 77, 1234] {
        assert_eq!(observations(seed), observations(seed), "seed {seed} gives different runs");
    }
    assert_ne!(observations(3), observations(77));
}
