//! Throughput of the ledger alone: operations of a Durable Object, compared with one that adds to a
//! row.
//!
//! The caller is a Worker in the same workerd, so the numbers exclude the gateway. On Spin the ledger
//! is the component's own code and cannot be called without it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::statistics::{median, spread};

use super::candidate::Candidate;
use super::reader::Reader;
use super::worker::{Bindings, Worker};

/// Number of turns of each implementation for each task.
const ROUNDS: usize = 5;
/// Time before the first turns: code is compiled while it runs.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longest delay of a turn's end after its time.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Numbers of objects and callers.
const OBJECTS_AND_CALLERS: [(usize, usize); 3] = [(1, 1), (1, 16), (16, 16)];

/// Implementation whose operations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    /// Adds to one row.
    SingleRow,
    /// Reserves and settles in two accounts.
    Ledger,
}

/// All counters, the baseline first.
const COUNTERS: [Counter; 2] = [Counter::SingleRow, Counter::Ledger];

/// Operations per second, for each round.
#[derive(Debug)]
pub(super) struct LedgerRate {
    pub(super) counter: Counter,
    pub(super) objects: usize,
    pub(super) callers: usize,
    pub(super) rates: Vec<f64>,
}

impl Counter {
    /// Name in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::SingleRow => "object that increments one row",
            Self::Ledger => "serin's ledger",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::SingleRow => "counter",
            Self::Ledger => "ledger",
        }
    }
}

/// Measures turns of the given length, implementations in turn.
pub(super) async fn run(turn: Duration) -> anyhow::Result<Vec<LedgerRate>> {
    let script = "edge-cloudflare/build/index.js";
    let worker =
        Worker { name: "ledger", script, bindings: Vec::new(), services: Bindings::Driven };
    let driver = worker.start()?;
    let mut all = Vec::new();
    for (objects, callers) in OBJECTS_AND_CALLERS {
        eprintln!("  ledger alone, callers: {callers}, objects: {objects}");
        let mut rates =
            COUNTERS.map(|counter| LedgerRate { counter, objects, callers, rates: Vec::new() });
        for rate in &rates {
            rate.measure(&driver, WARM_UP).await?;
        }
        for _ in 0..ROUNDS {
            for rate in &mut rates {
                let operations = rate.measure(&driver, turn).await?;
                rate.rates.push(operations);
            }
        }
        all.extend(rates);
    }
    Ok(all)
}

impl LedgerRate {
    /// JSON form.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "implementation": self.counter.title(),
            "objects": self.objects,
            "callers": self.callers,
            "operations_per_second": median(&self.rates),
            "spread": spread(&self.rates),
        })
    }

    /// Operations per second during one turn, summed over all callers.
    async fn measure(&self, driver: &Candidate, turn: Duration) -> anyhow::Result<f64> {
        let mut callers = JoinSet::new();
        for caller in 0..self.callers {
            let object = caller % self.objects;
            callers.spawn(call(driver.address, self.counter, object, turn));
        }
        let mut rate = 0.0;
        while let Some(caller) = callers.join_next().await {
            rate += caller.context("a caller panicked")??;
        }
        Ok(rate)
    }
}

/// Operations per second of one caller.
async fn call(
    address: SocketAddr,
    counter: Counter,
    object: usize,
    turn: Duration,
) -> anyhow::Result<f64> {
    #[derive(Deserialize)]
    struct Done {
        operations: u32,
    }
    let (path, millis) = (counter.path(), turn.as_millis());
    let request = format!(
        "GET /{path}?place=bench-{object}&millis={millis} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await?;
    let mut reader = Reader::new();
    let sent = Instant::now();
    stream.write_all(request.as_bytes()).await?;
    let response = timeout(turn + TURN_TIMEOUT, reader.read_response(&mut stream));
    let times = response.await.context("driver: no response in time")??;
    let done: Done = serde_json::from_slice(&reader.body)?;
    ensure!(done.operations > 0, "{}: no operation in {turn:?}", counter.title());
    Ok(f64::from(done.operations) / (times.end - sent).as_secs_f64())
}
