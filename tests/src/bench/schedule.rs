//! Order of a run: all candidates in turn, for several rounds, so that noise of the machine affects
//! all of them equally.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use super::cache::Cache;
use super::candidate::{BenchEdge, Candidate};
use super::environment::Environment;
use super::guards::Guards;
use super::ledger;
use super::limits::Limits;
use super::load::{Load, LoadResult};
use super::process::Process;
use super::recording::Recording;
use super::report::{Cell, Entrant, Report};
use super::statistics::median;
use super::streams::{self, Streams};
use super::workload::Workload;

/// Number of turns of each candidate at each task.
const ROUNDS: u32 = 5;
/// Numbers of concurrent callers.
const CONNECTIONS: [usize; 2] = [1, 16];
/// Time before each turn. The very first turns get more: code is compiled while it runs.
const WARM_UP: Duration = Duration::from_millis(100);
const FIRST_WARM_UP: Duration = Duration::from_millis(1000);
/// Shortest turn of a part with many turns: on a busy machine, a shorter one could end without a
/// response.
const MIN_TURN: Duration = Duration::from_millis(200);
/// Longest wait for records in the log.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Edges to measure.
    pub edges: Vec<BenchEdge>,
    /// Time for each candidate in each cell, all rounds together; for limits, two rounds; for
    /// guards and the cache, about half.
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
    /// Cost of recording requests, and the first request's waits in a new isolate.
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

/// Raw results of one candidate in one cell.
#[derive(Debug, Default)]
struct Samples {
    rates: Vec<f64>,
    whole: Vec<f64>,
    first: Vec<f64>,
    middles: Vec<f64>,
    answers: usize,
    processor: Option<Duration>,
}

/// Runs the benchmark, and reports its progress on standard error.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let upstream = Process::start(Command::new(std::env::current_exe()?).arg("upstream"))?;
    let address = upstream.first_line().context("upstream's address")?;
    let (mut cells, mut limits, mut ledger) = (Vec::new(), Vec::new(), Vec::new());
    let mut streams = Streams::default();
    let (mut guards, mut cache) = (Guards::default(), Cache::default());
    let mut recording = Recording::default();
    for &edge in &options.edges {
        if options.includes(Part::Gateway) {
            eprintln!("→ {}", edge.title());
            let contestants = edge.candidates(&address).with_context(|| edge.title().to_owned())?;
            let turn = options.turn(Part::Gateway);
            cells.extend(run_schedule(edge, &contestants, &events(options.paced), turn).await?);
        }
        if options.includes(Part::Limits) {
            eprintln!("→ {}, limits", edge.title());
            let contestants = edge.budgets(&address).with_context(|| edge.title().to_owned())?;
            let events = CONNECTIONS.map(|connections| (Workload::Json, connections));
            let turn = options.turn(Part::Limits);
            limits.extend(run_schedule(edge, &contestants, &events, turn).await?);
        }
        if options.includes(Part::Limits) && edge == BenchEdge::Cloudflare {
            ledger = ledger::run(options.turn(Part::Gateway) / 2).await?;
        }
        if options.includes(Part::Streams) {
            eprintln!("→ {}, streams", edge.title());
            let contestants = edge.candidates(&address)?;
            let turn = options.turn(Part::Streams);
            let preludes = streams::preludes();
            streams.cells.extend(run_schedule(edge, &contestants, &preludes, turn).await?);
            drop(contestants);
            streams.capacities.extend(streams::feats(edge).await?);
        }
        if options.includes(Part::Guards) {
            eprintln!("→ {}, guards", edge.title());
            guards.run(edge, &address, options.turn(Part::Guards)).await?;
        }
        if options.includes(Part::Cache) {
            eprintln!("→ {}, cache", edge.title());
            cache.run(edge, &address, options.turn(Part::Cache)).await?;
        }
        if options.includes(Part::Recording) {
            eprintln!("→ {}, recording", edge.title());
            recording.run(edge, &address, options.turn(Part::Recording)).await?;
        }
    }
    let limits = Limits { cells: limits, ledger };
    let machine = Environment::detect()?;
    Ok(Report { machine, cells, limits, streams, guards, cache, recording })
}

/// Runs all workloads of the candidates on one edge.
pub(super) async fn run_schedule(
    edge: BenchEdge,
    contestants: &[Candidate],
    events: &[(Workload, usize)],
    turn: Duration,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    // Some candidates have served requests before.
    let before = contestants.iter().map(|candidate| (candidate.name, candidate.process.records()));
    let mut asked: BTreeMap<&str, usize> = before.collect();
    for &(workload, connections) in events {
        eprintln!("  {}, {connections} at a time", workload.title());
        let all = run_turns(contestants, workload, connections, turn).await?;
        for (candidate, turns) in contestants.iter().zip(&all) {
            *asked.entry(candidate.name).or_insert(0) += turns.answers;
        }
        let entrants = contestants.iter().zip(all).map(|(who, turns)| turns.entrant(who.name));
        cells.push(Cell::new(edge, workload, connections, entrants.collect()));
    }
    for candidate in contestants.iter().filter(|candidate| candidate.is_gateway) {
        all_recorded(candidate, asked[candidate.name]).await?;
    }
    Ok(cells)
}

fn events(paced: bool) -> Vec<(Workload, usize)> {
    let mut events = Vec::new();
    for workload in [Workload::Json, Workload::Stream] {
        events.extend(CONNECTIONS.map(|connections| (workload, connections)));
    }
    if paced {
        events.push((Workload::PacedStream, CONNECTIONS[1]));
    }
    events
}

async fn run_turns(
    contestants: &[Candidate],
    workload: Workload,
    connections: usize,
    turn: Duration,
) -> anyhow::Result<Vec<Samples>> {
    let mut all: Vec<Samples> = contestants.iter().map(|_| Samples::default()).collect();
    for round in 0..ROUNDS as usize {
        // The order of candidates changes from round to round, too.
        for position in 0..contestants.len() {
            let index = (position + round) % contestants.len();
            let candidate = &contestants[index];
            let load = Load {
                address: candidate.address,
                subject: workload,
                is_gateway: candidate.is_gateway,
                manner: candidate.style,
                connections,
                warm_up: match round {
                    // One response takes longer than a turn, and all candidates are warm by then.
                    _ if workload.is_long() => Duration::ZERO,
                    0 => FIRST_WARM_UP,
                    _ => WARM_UP,
                },
                duration: turn,
            };
            let before = candidate.process.processor_time();
            let seen = load.run().await.with_context(|| candidate.name.to_owned())?;
            sleep(candidate.style.rest).await;
            let spent = candidate.process.processor_time().zip(before);
            // A turn without a response counts as one response: the host stalled.
            all[index].add(seen, &load, spent.map(|(after, before)| after - before));
        }
    }
    for (candidate, turns) in contestants.iter().zip(&all) {
        ensure!(!turns.whole.is_empty(), "{}: no response in {turn:?}", candidate.name);
    }
    Ok(all)
}

impl Samples {
    fn add(&mut self, seen: LoadResult, load: &Load, spent: Option<Duration>) {
        self.rates.push(seen.whole.len() as f64 / load.duration.as_secs_f64());
        let asked_for = if load.subject.is_stamped() { &seen.first } else { &seen.whole };
        self.middles.push(median(asked_for));
        self.answers += seen.whole.len() + seen.uncounted;
        self.whole.extend(seen.whole);
        self.first.extend(seen.first);
        self.processor = spent.map(|spent| spent + self.processor.unwrap_or_default());
    }

    fn entrant(self, name: &'static str) -> Entrant {
        let per_answer = |spent: Duration| spent.as_secs_f64() * 1e3 / self.answers as f64;
        Entrant {
            name,
            processor: self.processor.map(per_answer),
            rates: self.rates,
            whole: self.whole,
            first: self.first,
            middles: self.middles,
        }
    }
}

/// Checks that every request has a record: records are part of the product, and a run without them
/// would measure something else.
async fn all_recorded(candidate: &Candidate, asked: usize) -> anyhow::Result<()> {
    let until = Instant::now() + RECORDS_TIMEOUT;
    while candidate.process.records() < asked && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    let records = candidate.process.records();
    ensure!(records == asked, "{} wrote {records} records of {asked} requests", candidate.name);
    Ok(())
}
