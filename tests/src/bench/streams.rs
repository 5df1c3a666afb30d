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
use crate::stream::{Stream, StreamRequest, open_streams, read_all_to_end};

use super::candidate::{BenchEdge, Candidate};
use super::report::{Cell, Entrant};
use super::statistics::{median, percentile};
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

/// Stream measurements.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) cells: Vec<Cell>,
    pub(super) capacities: Vec<StreamCapacity>,
}

/// A candidate's memory for many streams, and for a long one. Sizes are in bytes.
#[derive(Debug)]
pub(super) struct StreamCapacity {
    edge: BenchEdge,
    name: &'static str,
    idle: usize,
    each: usize,
    events_took: Duration,
    /// Peak memory during the first tenth of the events, and later.
    first: usize,
    later: usize,
}

/// Workloads with events before the content, each with its number of callers.
pub(super) fn preludes() -> Vec<(Workload, usize)> {
    let late = PRELUDES.map(|prelude| (Workload::Late(prelude), FEW_CALLERS));
    let fast = PRELUDES.map(|prelude| (Workload::Prelude(prelude), MANY_CALLERS));
    late.into_iter().chain(fast).collect()
}

/// Holds many open streams and reads a long one at each candidate on an edge. The upstream is in
/// this process: the test controls its progress, and it is not measured.
pub(super) async fn feats(edge: BenchEdge) -> anyhow::Result<Vec<StreamCapacity>> {
    memory::allow_files(8 * OPEN_STREAMS)?;
    let server = Server::start().await?;
    let mut feats = Vec::new();
    for candidate in edge.candidates(&server.address().to_string())? {
        eprintln!("  {OPEN_STREAMS} streams and {EVENTS_PER_STREAM} events: {}", candidate.name);
        let request = asked();
        let (idle, each) = hold(&server, &candidate, &request).await?;
        let (events_took, first, later) = flood(&server, &candidate, &request).await?;
        feats.push(StreamCapacity {
            edge,
            name: candidate.name,
            idle,
            each,
            events_took,
            first,
            later,
        });
    }
    Ok(feats)
}

fn asked() -> StreamRequest {
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
    for look in 1..=MEMORY_SAMPLES {
        stream.events(EVENTS_PER_STREAM / MEMORY_SAMPLES * look).await?;
        let max = if look <= MEMORY_SAMPLES / 10 { &mut first } else { &mut later };
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
            "contestant": self.name,
            "streams": OPEN_STREAMS,
            "idle_bytes": self.idle,
            "bytes_per_stream": self.each,
            "events": EVENTS_PER_STREAM,
            "events_seconds": self.events_took.as_secs_f64(),
            "first_bytes": self.first,
            "later_bytes": self.later,
        })
    }
}

impl Display for Streams {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Streams\n")?;
        writeln!(
            f,
            "Events without content (a role, empty texts) are held back until there is some. `First \
             content` is the time from the upstream's write of it to the caller's read, 20 ms after \
             what came before it and with {FEW_CALLERS} callers; `added` is what that is more than the \
             baseline's. `Streams/s` is of streams without that pause, with {MANY_CALLERS} callers."
        )?;
        let mut edge = None;
        for late in self.cells.iter().filter(|cell| matches!(cell.subject, Workload::Late(_))) {
            if edge != Some(late.edge) {
                edge = Some(late.edge);
                writeln!(f, "\n**{}**\n", late.edge.title())?;
                writeln!(
                    f,
                    "| held back | | first content p50 | added | p99 | added | streams/s | of it | CPU |"
                )?;
                writeln!(f, "| --: | --- | --: | --: | --: | --: | --: | --: | --: |")?;
            }
            self.rows(f, late)?;
        }
        writeln!(
            f,
            "\n{OPEN_STREAMS} streams open at once, each with its first word; and one of {EVENTS_PER_STREAM} tiny events. \
             Memory is the host's.\n"
        )?;
        writeln!(f, "| | | idle | each stream | events/s | memory, first tenth | later |")?;
        writeln!(f, "| --- | --- | --: | --: | --: | --: | --: |")?;
        for StreamCapacity { edge, name, idle, each, events_took, first, later } in &self.capacities
        {
            let mebibytes = |bytes: &usize| *bytes as f64 / 1_048_576.0;
            writeln!(
                f,
                "| {} | {name} | {:.0} MiB | {:.1} KiB | {:.0} | {:.0} MiB | {:.0} MiB |",
                edge.title(),
                mebibytes(idle),
                *each as f64 / 1024.0,
                EVENTS_PER_STREAM as f64 / events_took.as_secs_f64(),
                mebibytes(first),
                mebibytes(later),
            )?;
        }
        Ok(())
    }
}

impl Streams {
    /// One table row for each candidate, from two cells: with the pause and without.
    fn rows(&self, f: &mut Formatter<'_>, late: &Cell) -> fmt::Result {
        let Workload::Late(prelude) = late.subject else { return Ok(()) };
        let is_fast =
            |cell: &&Cell| cell.edge == late.edge && cell.subject == Workload::Prelude(prelude);
        let Some(fast) = self.cells.iter().find(is_fast) else { return Ok(()) };
        for (entrant, quick) in late.entrants.iter().zip(&fast.entrants) {
            let first = |of: &Entrant, share| percentile(&of.first, share);
            write!(f, "| {} | {} | ", prelude.events(), entrant.name)?;
            for share in [0.5, 0.99] {
                let (own, base) = (first(entrant, share), first(&late.entrants[0], share));
                write!(f, "{own:.2} ms | {:+.2} ms | ", own - base)?;
            }
            let (rate, ratio) = (median(&quick.rates), median(&fast.ratios(quick)));
            let processor =
                quick.processor.map_or("–".to_owned(), |time| format!("{time:.3} ms"));
            writeln!(f, "{rate:.0} | {ratio:.2} | {processor} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchEdge, Cell, Entrant, Prelude, Streams, Workload};

    #[test]
    fn what_is_added_is_beside_the_baseline() {
        let entrant = |name, rate: f64, first: f64| Entrant {
            name,
            rates: vec![rate],
            whole: vec![30.0],
            first: vec![first],
            middles: vec![1.0],
            processor: Some(0.25),
        };
        let cell = |workload, first: [f64; 2]| {
            let entrants = vec![entrant("bare", 100.0, first[0]), entrant("ours", 90.0, first[1])];
            Cell::new(BenchEdge::Spin, workload, 4, entrants)
        };
        let late = cell(Workload::Late(Prelude::Twenty), [1.0, 1.25]);
        let fast = cell(Workload::Prelude(Prelude::Twenty), [9.0, 9.0]);
        let text = Streams { cells: vec![late, fast], capacities: Vec::new() }.to_string();
        let line = "| 20 | ours | 1.25 ms | +0.25 ms | 1.25 ms | +0.25 ms | 90 | 0.90 | 0.250 ms |";
        assert!(text.lines().any(|other| other == line), "{text}");
    }
}
