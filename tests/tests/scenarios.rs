//! Every scenario file against both built artifacts, on their real runtimes. The same files run in
//! virtual time in `crates/sim`.

use std::sync::{Arc, Mutex, PoisonError};

use sim::scenario::{Scenario, load};
use sim::server::Server;
use tests::closed_port::ClosedPort;
use tests::component::Wasmtime;
use tests::edge::{App, Edge};
use tests::scenario_runner::{play, prepare};
use tests::workerd::{Workerd, root};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Number of concurrent scenarios: enough to overlap their waits, few enough for two cores.
const CONCURRENT_SCENARIOS: usize = 6;

/// Lock that admits one edge at a time: many scenarios have timeouts, and a machine with two cores
/// must meet them.
static EDGE_LOCK: Mutex<()> = Mutex::new(());

#[test]
fn scenarios_pass_on_cloudflare() {
    run("cloudflare", |apps| Workerd::start(apps, None));
}

#[test]
fn scenarios_pass_on_spin() {
    run("spin", |apps| Wasmtime::start(apps, None));
}

fn run<E: Edge + Send + 'static>(
    name: &'static str,
    start: impl FnOnce(&[App]) -> anyhow::Result<E>,
) {
    // A failure of the other edge does not affect this one.
    let _turn = EDGE_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new().expect("a runtime");
    let all = load(&root().join("tests/scenarios")).expect("the scenarios load");
    let (skipped, scenarios): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|scenario| scenario.skipped_on(name).is_some());
    let server = Arc::new(runtime.block_on(Server::start()).expect("a free port"));
    let closed = ClosedPort::reserve().expect("a free port");
    let apps: Vec<App> = scenarios
        .iter()
        .map(|scenario| prepare(scenario, &server, &closed).expect("the scenario is valid"))
        .collect();
    let edge = Arc::new(start(&apps).expect("the edge starts"));
    let count = scenarios.len();
    assert!(count > 0, "there are no scenarios");
    let failures = runtime.block_on(play_all(scenarios, edge.clone(), server));
    // Dropped outside the runtime: an edge may own a runtime, which must not end inside another.
    drop(edge);
    for scenario in &skipped {
        eprintln!(
            "skipped on {name}: {}: {}",
            scenario.name,
            scenario.skipped_on(name).unwrap_or_default()
        );
    }
    assert!(
        failures.is_empty(),
        "{} of {count} scenarios failed on {name}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    eprintln!("{count} scenarios passed on {name}");
}

async fn play_all<E: Edge + Send + 'static>(
    scenarios: Vec<Scenario>,
    edge: Arc<E>,
    server: Arc<Server>,
) -> Vec<String> {
    let places = Arc::new(Semaphore::new(CONCURRENT_SCENARIOS));
    let mut running = Vec::new();
    for scenario in scenarios {
        let (edge, server, places) = (edge.clone(), server.clone(), places.clone());
        running.push(tokio::spawn(async move {
            let _place = places.acquire().await.expect("open semaphore");
            play(&scenario, &*edge, &server)
                .await
                .map_err(|what| format!("── {}\n{what}", scenario.name))
        }));
    }
    let mut failures = Vec::new();
    for task in running {
        if let Err(failure) = task.await.expect("no scenario panics") {
            failures.push(failure);
        }
    }
    failures
}
