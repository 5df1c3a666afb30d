//! Run of the benchmark: its options, and its parts in order.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::candidate::BenchEdge;
use super::environment::Environment;
use super::ledger;
use super::limits::Limits;
use super::process::Process;
use super::report::Report;
use super::schedule::{ROUNDS, Task, run_schedule};
use super::workload::Workload;

/// Numbers of concurrent callers.
const CONNECTIONS: [usize; 2] = [1, 16];
/// Shortest turn of a part with many turns: on a busy machine, a shorter one could end without a
/// response.
const MIN_TURN: Duration = Duration::from_millis(200);

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Edges to measure.
    pub edges: Vec<BenchEdge>,
    /// Time for each candidate and workload, all rounds together; for limits, two rounds; for guards
    /// and the cache, about half.
    pub time: Duration,
    /// Whether to measure streams with one event at a time, too.
    pub paced: bool,
    /// The only part to run; `None`: all parts.
    pub only: Option<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The gateway compared with its baselines.
    Gateway,
    /// A route with limits compared with the same route without.
    Limits,
    /// Streams: the cost of holding back, of many open streams and of long ones.
    Streams,
    /// Cost of each kind of guard, and the added delay of a stream's first content.
    Guards,
    /// A cached response compared with an uncached one.
    Cache,
    /// Cost of recording requests, and the duration of an isolate's first request.
    Recording,
}

impl Options {
    fn includes(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn turn(&self, part: Part) -> Duration {
        match part {
            Part::Gateway | Part::Streams | Part::Recording => self.time / ROUNDS,
            // This part has many candidates.
            Part::Guards => (self.time * 3 / 10 / ROUNDS).max(MIN_TURN),
            Part::Cache => (self.time * 3 / 5 / ROUNDS).max(MIN_TURN),
            // The time is enough for leases to end and begin: they last five seconds.
            Part::Limits => self.time / 2,
        }
    }
}

/// Runs the benchmark, and reports its progress on standard error.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let upstream = Process::start(Command::new(std::env::current_exe()?).arg("upstream"))?;
    let address = upstream.next_line().context("upstream's address")?;
    let mut report = Report::new(Environment::detect()?);
    for &edge in &options.edges {
        run_edge(options, edge, &address, &mut report)
            .await
            .with_context(|| edge.title().to_owned())?;
    }
    Ok(report)
}

/// Runs all parts on one edge.
async fn run_edge(
    options: &Options,
    edge: BenchEdge,
    upstream: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let begin = |part: Part, name: &str| {
        let is_included = options.includes(part);
        if is_included {
            eprintln!("→ {}, {name}", edge.title());
        }
        is_included
    };
    if begin(Part::Gateway, "gateway") {
        let (candidates, turn) = (edge.candidates(upstream)?, options.turn(Part::Gateway));
        let tasks = gateway_tasks(options.paced);
        report.gateway.extend(run_schedule(edge, &candidates, &tasks, turn).await?);
    }
    if begin(Part::Limits, "limits") {
        run_limits(options, edge, upstream, &mut report.limits).await?;
    }
    if begin(Part::Streams, "streams") {
        report.streams.run(edge, upstream, options.turn(Part::Streams)).await?;
    }
    if begin(Part::Guards, "guards") {
        report.guards.run(edge, upstream, options.turn(Part::Guards)).await?;
    }
    if begin(Part::Cache, "cache") {
        report.cache.run(edge, upstream, options.turn(Part::Cache)).await?;
    }
    if begin(Part::Recording, "recording") {
        report.recording.run(edge, upstream, options.turn(Part::Recording)).await?;
    }
    Ok(())
}

async fn run_limits(
    options: &Options,
    edge: BenchEdge,
    upstream: &str,
    limits: &mut Limits,
) -> anyhow::Result<()> {
    let (candidates, turn) = (edge.limited_gateways(upstream)?, options.turn(Part::Limits));
    let tasks = CONNECTIONS.map(|connections| (Workload::Json, connections));
    limits.comparisons.extend(run_schedule(edge, &candidates, &tasks, turn).await?);
    if edge == BenchEdge::Cloudflare {
        limits.ledger = ledger::run(options.turn(Part::Gateway) / 2).await?;
    }
    Ok(())
}

fn gateway_tasks(paced: bool) -> Vec<Task> {
    let mut tasks = Vec::new();
    for workload in [Workload::Json, Workload::Stream] {
        tasks.extend(CONNECTIONS.map(|connections| (workload, connections)));
    }
    if paced {
        tasks.push((Workload::PacedStream, CONNECTIONS[1]));
    }
    tasks
}
