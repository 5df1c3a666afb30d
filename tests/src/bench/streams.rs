//! Cost of streams: holding back events before the first content, a thousand concurrent streams,
//! and a stream of a million events.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::memory;
use crate::statistics::{median, percentile};
use crate::stream::{Stream, StreamRequest, open_streams, read_all_to_end};

use super::candidate::{BenchEdge, Candidate};
use super::comparison::{CandidateResult, Comparison};
use super::schedule::{Task, run_schedule};
use super::table::{
    Align, added_milliseconds, edge_caption, milliseconds, processor, write_head, write_row,
};
use super::workload::{CALLER_KEY, Prelude, Workload};

/// Number of concurrent streams.
const OPEN_STREAMS: usize = 1000;
const EVENTS_PER_STREAM: usize = 1_000_000;
/// Number of memory samples during a stream.
const MEMORY_SAMPLES: usize = 100;
/// Callers of streams whose first content is late: few, so that none waits for another.
const FEW_CALLERS: usize = 4;
const MANY_CALLERS: usize = 16;
const PRELUDES: [Prelude; 3] = [Prelude::None, Prelude::Role, Prelude::Twenty];
const PRELUDE_HEADINGS: [(&str, Align); 9] = [
    ("events held back", Align::Right),
    ("candidate", Align::Left),
    ("first content p50", Align::Right),
    ("added p50", Align::Right),
    ("first content p99", Align::Right),
    ("added p99", Align::Right),
    ("streams/s", Align::Right),
    ("ratio to baseline", Align::Right),
    ("CPU", Align::Right),
];
const CAPACITY_HEADINGS: [(&str, Align); 7] = [
    ("edge", Align::Left),
    ("candidate", Align::Left),
    ("idle memory", Align::Right),
    ("memory per stream", Align::Right),
    ("events/s", Align::Right),
    ("memory, first tenth", Align::Right),
    ("memory, later", Align::Right),
];

/// Stream measurements.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) comparisons: Vec<Comparison>,
    pub(super) capacities: Vec<StreamCapacity>,
}

/// A candidate's memory for many streams, and for a long one. Sizes are in bytes.
#[derive(Debug)]
pub(super) struct StreamCapacity {
    edge: BenchEdge,
    name: &'static str,
    idle: usize,
    per_stream: usize,
    events_took: Duration,
    /// Peak memory during the first tenth of the events, and later.
    first: usize,
    later: usize,
}

impl Streams {
    /// Measures one edge.
    pub(super) async fn run(
        &mut self,
        edge: BenchEdge,
        upstream: &str,
        turn: Duration,
    ) -> anyhow::Result<()> {
        let candidates = edge.candidates(upstream)?;
        self.comparisons.extend(run_schedule(edge, &candidates, &tasks(), turn).await?);
        drop(candidates);
        self.capacities.extend(measure_capacities(edge).await?);
        Ok(())
    }
}

/// Workloads with events before the content, each with its number of callers.
fn tasks() -> Vec<Task> {
    let late = PRELUDES.map(|prelude| (Workload::Late(prelude), FEW_CALLERS));
    let fast = PRELUDES.map(|prelude| (Workload::Prelude(prelude), MANY_CALLERS));
    late.into_iter().chain(fast).collect()
}

/// Holds many open streams and reads a long one at each candidate on an edge. The upstream is in
/// this process: the test controls its progress, and it is not measured.
async fn measure_capacities(edge: BenchEdge) -> anyhow::Result<Vec<StreamCapacity>> {
    memory::allow_files(8 * OPEN_STREAMS)?;
    let server = Server::start().await?;
    let mut capacities = Vec::new();
    for candidate in edge.candidates(&server.address().to_string())? {
        eprintln!("  {OPEN_STREAMS} streams and {EVENTS_PER_STREAM} events: {}", candidate.name);
        let request = request();
        let (idle, per_stream) = hold(&server, &candidate, &request).await?;
        let (events_took, first, later) = flood(&server, &candidate, &request).await?;
        let name = candidate.name;
        capacities.push(StreamCapacity { edge, name, idle, per_stream, events_took, first, later });
    }
    Ok(capacities)
}

fn request() -> StreamRequest {
    let world = Workload::Stream.world();
    let messages = json!([{ "role": "user", "content": "Hello?" }]);
    StreamRequest {
        path: format!("/{}/v1/chat/completions", Workload::Stream.provider()),
        token: CALLER_KEY.to_owned(),
        body: json!({ "model": world, "messages": messages, "stream": true }),
    }
}

/// Memory before, and added by each open stream.
async fn hold(
    server: &Server,
    candidate: &Candidate,
    request: &StreamRequest,
) -> anyhow::Result<(usize, usize)> {
    let (release, released) = watch::channel(true);
    server.register_canned(Workload::Stream.world(), CannedResponse::held(released));
    read_all_to_end(open_streams(candidate.address, request, 32).await?).await?;
    let idle = candidate.process.resident()?;
    release.send_replace(false);
    let streams = open_streams(candidate.address, request, OPEN_STREAMS).await?;
    sleep(Duration::from_secs(1)).await;
    let held = candidate.process.resident()?;
    release.send_replace(true);
    read_all_to_end(streams).await?;
    Ok((idle, held.saturating_sub(idle) / OPEN_STREAMS))
}

async fn flood(
    server: &Server,
    candidate: &Candidate,
    request: &StreamRequest,
) -> anyhow::Result<(Duration, usize, usize)> {
    server.register_canned(Workload::Stream.world(), CannedResponse::flood(EVENTS_PER_STREAM));
    let begin = Instant::now();
    let mut stream = Stream::open(candidate.address, request).await?;
    let (mut first, mut later) = (0, 0);
    for sample in 1..=MEMORY_SAMPLES {
        stream.events(EVENTS_PER_STREAM / MEMORY_SAMPLES * sample).await?;
        let max = if sample <= MEMORY_SAMPLES / 10 { &mut first } else { &mut later };
        *max = candidate.process.resident()?.max(*max);
    }
    let counts = stream.end().await?;
    let expected = EVENTS_PER_STREAM + 3 - usize::from(candidate.is_gateway);
    ensure!(counts.events == expected, "received {} of {expected} events", counts.events);
    Ok((begin.elapsed(), first, later))
}

impl StreamCapacity {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "edge": self.edge.title(),
            "candidate": self.name,
            "streams": OPEN_STREAMS,
            "idle_bytes": self.idle,
            "bytes_per_stream": self.per_stream,
            "events": EVENTS_PER_STREAM,
            "events_seconds": self.events_took.as_secs_f64(),
            "first_bytes": self.first,
            "later_bytes": self.later,
        })
    }
}

impl Display for Streams {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Streams\n")?;
        writeln!(
            f,
            "Events without content (a role, empty texts) are held back until content arrives. First \
             content is the time from the upstream's write to the caller's read, 20 ms after the \
             preceding events and with {FEW_CALLERS} callers; added is the difference from the \
             baseline. `streams/s` is measured without that pause, with {MANY_CALLERS} callers."
        )?;
        let mut edge = None;
        let is_late = |it: &&Comparison| matches!(it.workload, Workload::Late(_));
        for late in self.comparisons.iter().filter(is_late) {
            if edge != Some(late.edge) {
                edge = Some(late.edge);
                writeln!(f, "\n{}\n", edge_caption(late.edge))?;
                write_head(f, &PRELUDE_HEADINGS)?;
            }
            self.write_late(f, late)?;
        }
        writeln!(
            f,
            "\n{OPEN_STREAMS} concurrent open streams, each after its first word; and one stream of \
             {EVENTS_PER_STREAM} tiny events. Memory is the host's.\n"
        )?;
        write_head(f, &CAPACITY_HEADINGS)?;
        self.capacities.iter().try_for_each(|capacity| write_row(f, capacity.values()))
    }
}

impl Streams {
    /// Writes one table row for each candidate, from two comparisons: with the pause and without.
    fn write_late(&self, f: &mut Formatter<'_>, late: &Comparison) -> fmt::Result {
        let Workload::Late(prelude) = late.workload else { return Ok(()) };
        let is_fast = |other: &&Comparison| {
            other.edge == late.edge && other.workload == Workload::Prelude(prelude)
        };
        let Some(fast) = self.comparisons.iter().find(is_fast) else { return Ok(()) };
        for (result, quick) in late.results.iter().zip(&fast.results) {
            let mut values = vec![prelude.events().to_string(), result.name.to_owned()];
            for share in [0.5, 0.99] {
                let first = |of: &CandidateResult| percentile(&of.latencies.first, share);
                let (own, baseline) = (first(result), first(&late.results[0]));
                values.extend([milliseconds(own), added_milliseconds(own - baseline)]);
            }
            values.push(format!("{:.0}", median(&quick.rates)));
            values.push(format!("{:.2}", median(&fast.ratios(quick))));
            values.push(processor(quick.processor_ms()));
            write_row(f, values)?;
        }
        Ok(())
    }
}

impl StreamCapacity {
    /// Values of its table row.
    fn values(&self) -> [String; 7] {
        let mebibytes = |bytes: usize| format!("{:.0} MiB", bytes as f64 / 1_048_576.0);
        [
            self.edge.title().to_owned(),
            self.name.to_owned(),
            mebibytes(self.idle),
            format!("{:.1} KiB", self.per_stream as f64 / 1024.0),
            format!("{:.0}", EVENTS_PER_STREAM as f64 / self.events_took.as_secs_f64()),
            mebibytes(self.first),
            mebibytes(self.later),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchEdge, CandidateResult, Comparison, Prelude, Streams, Workload};

    #[test]
    fn added_times_are_relative_to_the_baseline() {
        let comparison = |workload, first: [f64; 2]| {
            let result = |name, rate, first| {
                CandidateResult::sample(name, &[rate], &[30.0], &[first], Some(0.25))
            };
            let results = vec![result("bare", 100.0, first[0]), result("serin", 90.0, first[1])];
            Comparison::new(BenchEdge::Spin, workload, 4, results)
        };
        let late = comparison(Workload::Late(Prelude::Twenty), [1.0, 1.25]);
        let fast = comparison(Workload::Prelude(Prelude::Twenty), [9.0, 9.0]);
        let text = Streams { comparisons: vec![late, fast], capacities: Vec::new() }.to_string();
        let row = "| 20 | serin | 1.25 ms | +0.25 ms | 1.25 ms | +0.25 ms | 90 | 0.90 | 0.250 ms |";
        assert!(text.lines().any(|line| line == row), "{text}");
    }
}
