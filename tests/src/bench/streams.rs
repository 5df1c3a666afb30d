//! What streams cost: holding back what comes before the first content, a thousand that are open at
//! once, and a million events of one.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use sim::server::{Fixed, Server};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::contestant::{Contestant, Edge};
use super::report::{Cell, Entrant};
use super::statistics::{median, percentile};
use super::subject::{CALLER_KEY, Prelude, Subject};
use crate::memory;
use crate::stream::{Asked, Stream, crowd, dismiss};

/// Streams that are open at once.
const CROWD: usize = 1000;
/// Events of one stream.
const MILLION: usize = 1_000_000;
/// How often memory is looked at while they come.
const LOOKS: usize = 100;
/// Callers of streams whose first content is late: few, so that none waits for another.
const FEW: usize = 4;
const MANY: usize = 16;
const PRELUDES: [Prelude; 3] = [Prelude::None, Prelude::Role, Prelude::Twenty];

/// Everything about streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) cells: Vec<Cell>,
    pub(super) feats: Vec<Feat>,
}

/// What a contestant took to serve many streams, and a long one. Sizes are in bytes.
#[derive(Debug)]
pub(super) struct Feat {
    edge: Edge,
    name: &'static str,
    idle: usize,
    each: usize,
    events_took: Duration,
    /// The most that was in use in the first tenth of the events, and later.
    first: usize,
    later: usize,
}

/// What contestants are asked for, and by how many callers.
pub(super) fn preludes() -> Vec<(Subject, usize)> {
    let late = PRELUDES.map(|prelude| (Subject::Late(prelude), FEW));
    let fast = PRELUDES.map(|prelude| (Subject::Prelude(prelude), MANY));
    late.into_iter().chain(fast).collect()
}

/// Has everyone on an edge hold a crowd and pass on a flood. The upstream is in this process: it is
/// told when to go on, and nobody measures it.
pub(super) async fn feats(edge: Edge) -> anyhow::Result<Vec<Feat>> {
    memory::allow_files(8 * CROWD)?;
    let server = Server::start().await?;
    let mut feats = Vec::new();
    for contestant in edge.contestants(&server.address().to_string())? {
        eprintln!("  {CROWD} streams and {MILLION} events: {}", contestant.name);
        let asked = asked();
        let (idle, each) = hold(&server, &contestant, &asked).await?;
        let (events_took, first, later) = flood(&server, &contestant, &asked).await?;
        feats.push(Feat { edge, name: contestant.name, idle, each, events_took, first, later });
    }
    Ok(feats)
}

fn asked() -> Asked {
    let world = Subject::Stream.world();
    let messages = json!([{ "role": "user", "content": "Hello?" }]);
    Asked {
        path: format!("/{}/v1/chat/completions", Subject::Stream.provider()),
        token: CALLER_KEY.to_owned(),
        body: json!({ "model": world, "messages": messages, "stream": true }),
    }
}

/// The memory before, and for each stream that is open.
async fn hold(
    server: &Server,
    contestant: &Contestant,
    asked: &Asked,
) -> anyhow::Result<(usize, usize)> {
    let (release, released) = watch::channel(true);
    server.register_fixed(Subject::Stream.world(), Fixed::held(released));
    dismiss(crowd(contestant.address, asked, 32).await?).await?;
    let idle = contestant.process.resident()?;
    release.send_replace(false);
    let streams = crowd(contestant.address, asked, CROWD).await?;
    sleep(Duration::from_secs(1)).await;
    let held = contestant.process.resident()?;
    release.send_replace(true);
    dismiss(streams).await?;
    Ok((idle, held.saturating_sub(idle) / CROWD))
}

async fn flood(
    server: &Server,
    contestant: &Contestant,
    asked: &Asked,
) -> anyhow::Result<(Duration, usize, usize)> {
    server.register_fixed(Subject::Stream.world(), Fixed::flood(MILLION));
    let begin = Instant::now();
    let mut stream = Stream::open(contestant.address, asked).await?;
    let (mut first, mut later) = (0, 0);
    for look in 1..=LOOKS {
        stream.events(MILLION / LOOKS * look).await?;
        let most = if look <= LOOKS / 10 { &mut first } else { &mut later };
        *most = contestant.process.resident()?.max(*most);
    }
    let tally = stream.end().await?;
    let expected = MILLION + 3 - usize::from(contestant.is_gateway);
    ensure!(tally.events == expected, "{} of {expected} events came", tally.events);
    Ok((begin.elapsed(), first, later))
}

impl Feat {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "edge": self.edge.title(),
            "contestant": self.name,
            "streams": CROWD,
            "idle_bytes": self.idle,
            "bytes_per_stream": self.each,
            "events": MILLION,
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
             what came before it and with {FEW} callers; `added` is what that is more than the \
             baseline's. `Streams/s` is of streams without that pause, with {MANY} callers."
        )?;
        let mut edge = None;
        for late in self.cells.iter().filter(|cell| matches!(cell.subject, Subject::Late(_))) {
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
            "\n{CROWD} streams open at once, each with its first word; and one of {MILLION} tiny events. \
             Memory is the host's.\n"
        )?;
        writeln!(f, "| | | idle | each stream | events/s | memory, first tenth | later |")?;
        writeln!(f, "| --- | --- | --: | --: | --: | --: | --: |")?;
        for Feat { edge, name, idle, each, events_took, first, later } in &self.feats {
            let mebibytes = |bytes: &usize| *bytes as f64 / 1_048_576.0;
            writeln!(
                f,
                "| {} | {name} | {:.0} MiB | {:.1} KiB | {:.0} | {:.0} MiB | {:.0} MiB |",
                edge.title(),
                mebibytes(idle),
                *each as f64 / 1024.0,
                MILLION as f64 / events_took.as_secs_f64(),
                mebibytes(first),
                mebibytes(later),
            )?;
        }
        Ok(())
    }
}

impl Streams {
    /// A line for each contestant, of two cells: with the pause and without.
    fn rows(&self, f: &mut Formatter<'_>, late: &Cell) -> fmt::Result {
        let Subject::Late(prelude) = late.subject else { return Ok(()) };
        let is_fast =
            |cell: &&Cell| cell.edge == late.edge && cell.subject == Subject::Prelude(prelude);
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
    use super::{Cell, Edge, Entrant, Prelude, Streams, Subject};

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
        let cell = |subject, first: [f64; 2]| {
            let entrants = vec![entrant("bare", 100.0, first[0]), entrant("ours", 90.0, first[1])];
            Cell::new(Edge::Spin, subject, 4, entrants)
        };
        let late = cell(Subject::Late(Prelude::Twenty), [1.0, 1.25]);
        let fast = cell(Subject::Prelude(Prelude::Twenty), [9.0, 9.0]);
        let text = Streams { cells: vec![late, fast], feats: Vec::new() }.to_string();
        let line = "| 20 | ours | 1.25 ms | +0.25 ms | 1.25 ms | +0.25 ms | 90 | 0.90 | 0.250 ms |";
        assert!(text.lines().any(|other| other == line), "{text}");
    }
}
