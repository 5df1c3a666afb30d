//! The order of a run: everyone in turn, several times over, so that a noisy machine is unfair to all
//! alike.

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

/// How often everyone has a turn at everything.
const ROUNDS: u32 = 5;
/// Callers at a time.
const CONNECTIONS: [usize; 2] = [1, 16];
/// Before each turn. The first turns of all get more: code is compiled while it runs.
const WARM_UP: Duration = Duration::from_millis(100);
const FIRST_WARM_UP: Duration = Duration::from_millis(1000);
/// The shortest turn of a part that has many: in less, some would have no answer on a busy machine.
const MIN_TURN: Duration = Duration::from_millis(200);
/// How long records may take to come out.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which edges.
    pub edges: Vec<BenchEdge>,
    /// How long each contestant is asked in each cell, all rounds together; where limits are
    /// compared, two rounds; of guards and of the cache, about a half.
    pub time: Duration,
    /// Streams whose events come one at a time, too.
    pub paced: bool,
    /// One part alone.
    pub only: Option<Part>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The gateway beside its baselines.
    Gateway,
    /// A route with limits beside the same one without.
    Limits,
    /// Streams: what holding back costs, and what many of them and long ones take.
    Streams,
    /// What each kind of guard costs, and how much later a stream's first content is.
    Guards,
    /// An answer that is kept beside one that is not.
    Cache,
    /// What is written down of requests, and what the first request of an isolate waits for.
    Recording,
}

impl Options {
    fn includes(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn turn(&self, part: Part) -> Duration {
        match part {
            Part::Gateway | Part::Streams | Part::Recording => self.time / ROUNDS,
            // Many contestants.
            Part::Guards => (self.time * 3 / 10 / ROUNDS).max(MIN_TURN),
            Part::Cache => (self.time * 3 / 5 / ROUNDS).max(MIN_TURN),
            // Long enough for leases to end and begin: they live for five seconds.
            Part::Limits => self.time / 2,
        }
    }
}

/// What one contestant did in one cell.
#[derive(Debug, Default)]
struct Samples {
    rates: Vec<f64>,
    whole: Vec<f64>,
    first: Vec<f64>,
    middles: Vec<f64>,
    answers: usize,
    processor: Option<Duration>,
}

/// Measures, and tells of its progress on standard error.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let upstream = Process::start(Command::new(std::env::current_exe()?).arg("upstream"))?;
    let address = upstream.first_line().context("the upstream")?;
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

/// Everything that contestants are asked for on one edge.
pub(super) async fn run_schedule(
    edge: BenchEdge,
    contestants: &[Candidate],
    events: &[(Workload, usize)],
    turn: Duration,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    // Some have been asked before.
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
        // Who follows whom changes, too.
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
                    // One answer takes longer than a turn, and everyone has run before.
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
            // A turn without an answer counts as one: the host stood still.
            all[index].add(seen, &load, spent.map(|(after, before)| after - before));
        }
    }
    for (candidate, turns) in contestants.iter().zip(&all) {
        ensure!(!turns.whole.is_empty(), "{} never answered in {turn:?}", candidate.name);
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

/// The record is a part of the product: a run in which it went missing measured something else.
async fn all_recorded(candidate: &Candidate, asked: usize) -> anyhow::Result<()> {
    let until = Instant::now() + RECORDS_TIMEOUT;
    while candidate.process.records() < asked && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    let records = candidate.process.records();
    ensure!(records == asked, "{} wrote {records} records of {asked} requests", candidate.name);
    Ok(())
}
