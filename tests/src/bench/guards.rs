//! Cost of guards: each kind compared with none, and the added delay of a stream's first content.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::caller::call;

use super::candidate::{BenchEdge, Candidate, CandidateSetup};
use super::cold_start::{self, ColdStarts, STARTS_PER_SIDE};
use super::report::{Cell, Entrant};
use super::schedule::run_schedule;
use super::statistics::percentile;
use super::workload::{ADMIN_TOKEN, ALIYUN, MODERATION, Prelude, Workload};

/// Entries in the word list.
const WORD_LIST_ENTRIES: usize = 100_000;
const WORD_LIST_NAME: &str = "bench";
/// Workloads for guards that check whole responses, each with its number of callers: one, since
/// added latency is measured.
const WHOLE: [(Workload, usize); 2] = [(Workload::Json, 1), (Workload::Long, 1)];
/// Workloads for guards that hold streams back: one at full speed, and one at a model's pace.
const STREAMS: [(Workload, usize); 2] =
    [(Workload::Late(Prelude::Role), 4), (Workload::ModelPaced, 8)];

/// Guard measurements. The first entrant of each cell has none.
#[derive(Debug, Default)]
pub(super) struct Guards {
    pub(super) cells: Vec<Cell>,
    pub(super) starts: Vec<ColdStarts>,
}

impl Guards {
    /// Measures one edge.
    pub(super) async fn run(
        &mut self,
        edge: BenchEdge,
        upstream: &str,
        turn: Duration,
    ) -> anyhow::Result<()> {
        for (setups, events) in [(kinds(upstream), WHOLE), (windows(), STREAMS)] {
            let contestants = edge.gateways(upstream, setups)?;
            for candidate in &contestants {
                put_words(candidate).await?;
            }
            self.cells.extend(run_schedule(edge, &contestants, &events, turn).await?);
        }
        let sides = &kinds(upstream)[..2];
        self.starts.extend(cold_start::run(edge, upstream, sides, put_words).await?);
        Ok(())
    }
}

/// One gateway for each kind of guard, preceded by one without a guard.
fn kinds(upstream: &str) -> Vec<CandidateSetup> {
    let aliyun = json!({
        "kind": "aliyun",
        "endpoint": format!("http://{upstream}/{ALIYUN}/service"),
        "access_key_id": "secret:UPSTREAM_KEY",
        "access_key": "secret:UPSTREAM_KEY",
    });
    vec![
        CandidateSetup::with("no guard", json!({})),
        guarded("words", &json!({ "kind": "words", "list": WORD_LIST_NAME })),
        guarded("pii", &json!({ "kind": "pii" })),
        guarded("openai-moderation", &json!({ "kind": MODERATION_KIND, "provider": MODERATION })),
        guarded("aliyun", &aliyun),
    ]
}

const MODERATION_KIND: &str = "openai-moderation";

/// Gateways whose guards hold back a given number of characters: the default windows, and a wide
/// window for a guard that has none by default.
fn windows() -> Vec<CandidateSetup> {
    let moderation = json!({ "kind": MODERATION_KIND, "provider": MODERATION });
    let wide = json!({ "kind": "words", "list": WORD_LIST_NAME, "stream_window": 200 });
    vec![
        CandidateSetup::with("no guard", json!({})),
        guarded("words, window 1", &json!({ "kind": "words", "list": WORD_LIST_NAME })),
        guarded("words, window 200", &wide),
        guarded("pii, window 1", &json!({ "kind": "pii" })),
        guarded("openai-moderation, window 200", &moderation),
    ]
}

fn guarded(name: &'static str, guard: &Value) -> CandidateSetup {
    let mut guard = guard.clone();
    guard["id"] = "bench".into();
    // A guard that fails would be measured as no guard: the run fails instead.
    guard["on_error"] = "closed".into();
    CandidateSetup::with(name, json!({ "guards": [guard] }))
}

/// Stores the word list that guards read, before the first request.
async fn put_words(candidate: &Candidate) -> anyhow::Result<()> {
    let path = format!("/admin/v1/words/{WORD_LIST_NAME}");
    let body = json!({ "words": entries() });
    let answer = call(candidate.address, "PUT", &path, ADMIN_TOKEN, &body).await?;
    ensure!(answer.status == 200, "word list refused: {}", answer.json());
    Ok(())
}

/// Entries that occur in no response: half of them Chinese, of two or three characters; half words
/// of Latin letters.
fn entries() -> Vec<String> {
    let drawn = |seed: usize| {
        let mixed = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 17) as usize
    };
    let han = |seed| char::from_u32(0x4E00 + (drawn(seed) % 20_000) as u32).unwrap_or('一');
    let latin = |seed| char::from(b'a' + (drawn(seed) % 26) as u8);
    let entry = |number: usize| match number % 2 {
        0 => (0..2 + number / 2 % 2).map(|at| han(number * 8 + at)).collect(),
        _ => (0..4 + number / 2 % 3).map(|at| latin(number * 8 + at)).chain(['q', 'x']).collect(),
    };
    (0..WORD_LIST_ENTRIES).map(entry).collect()
}

impl Display for Guards {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Guards\n")?;
        writeln!(
            f,
            "One guard each, for the request and the answer of 1 KiB; nothing is found. `words` has \
             {WORD_LIST_ENTRIES} entries in the store. Services answer at once, from this machine: what is seen of \
             them is the gateway's cost and the calls over loopback, one for the answer and one for the \
             question (five of `aliyun` for one of 8 KiB, four at once). `added` is the median over rounds. CPU is the host's."
        )?;
        for (is_stream, head) in [(false, WHOLE_HEAD), (true, STREAM_HEAD)] {
            if is_stream {
                writeln!(f, "\n{STREAMS_SAY}")?;
            }
            let mut edge = None;
            for cell in self.cells.iter().filter(|cell| cell.subject.is_stamped() == is_stream) {
                if edge != Some(cell.edge) {
                    edge = Some(cell.edge);
                    writeln!(f, "\n**{}**\n\n{head}", cell.edge.title())?;
                }
                for entrant in &cell.entrants {
                    row(f, cell, entrant)?;
                }
            }
        }
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nAn isolate builds the list when it needs it first, and again when it has changed. On Spin \
             an instance answers 128 requests at most, so that this is a part of the CPU above. The first \
             two requests of one that has not seen it, medians of {STARTS_PER_SIDE} starts.\n"
        )?;
        cold_start::table(f, &self.starts)
    }
}

const WHOLE_HEAD: &str = "| question | | p50 | added | p99 | CPU | added |\n\
                          | --- | --- | --: | --: | --: | --: | --: |";
const STREAM_HEAD: &str = "| stream | | first content p50 | added | p99 | CPU | added |\n\
                           | --- | --- | --: | --: | --: | --: | --: |";
const STREAMS_SAY: &str = "Streams: from the upstream's write of the first content to the caller's read of \
it. The first kind says 20 words as fast as they can be written and ends; the second says 45, 20 ms apart, \
so that 200 characters take about 0.8 s.";

/// A table row: "added" columns are differences from the run without a guard.
fn row(f: &mut Formatter<'_>, cell: &Cell, entrant: &Entrant) -> fmt::Result {
    let is_stream = cell.subject.is_stamped();
    let title = match cell.subject {
        Workload::Json => "1 KiB",
        Workload::Long => "8 KiB",
        Workload::Late(_) => "at once",
        _ => "20 ms apart",
    };
    write!(f, "| {title} | {} | ", entrant.name)?;
    let base = &cell.entrants[0];
    let times =
        |of: &Entrant, share| percentile(if is_stream { &of.first } else { &of.whole }, share);
    let (middle, late) = (times(entrant, 0.5), times(entrant, 0.99));
    write!(f, "{middle:.2} ms | {:+.2} ms | {late:.2} ms | ", cell.added(entrant))?;
    match entrant.processor.zip(base.processor) {
        Some((time, base)) => writeln!(f, "{time:.3} ms | {:+.3} ms |", time - base),
        None => writeln!(f, "– | – |"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::bench::candidate::BenchEdge;
    use crate::bench::report::{Cell, Entrant};
    use crate::bench::workload::configuration;

    use super::{Guards, Prelude, WORD_LIST_ENTRIES, Workload, entries, kinds, windows};

    #[test]
    fn the_gateway_accepts_every_guard() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for setup in kinds("127.0.0.1:1").into_iter().chain(windows()) {
            let text = configuration("127.0.0.1:1", &setup.members);
            let config = config::Config::from_json(&text, &secret);
            let guards = config.map(|config| config.guards.len());
            assert_eq!(guards.ok(), Some(usize::from(setup.name != "no guard")), "{text}");
        }
    }

    #[test]
    fn the_list_is_as_long_as_is_said_and_fits_a_request() {
        let entries = entries();
        let body = serde_json::json!({ "words": entries }).to_string();
        assert!(body.len() < 1 << 20, "{}", body.len());
        let different: BTreeSet<&String> = entries.iter().collect();
        assert!(different.len() > WORD_LIST_ENTRIES * 95 / 100, "{}", different.len());
    }

    #[test]
    fn what_is_added_is_beside_no_guard() {
        let entrant = |name, whole: f64, first: f64, processor| Entrant {
            name,
            rates: vec![1.0],
            whole: vec![whole],
            first: vec![first],
            middles: vec![whole, 5.0, whole - 1.0],
            processor: Some(processor),
        };
        let cell = |workload| {
            let entrants = vec![entrant("none", 1.0, 9.0, 0.5), entrant("one", 3.0, 99.0, 0.75)];
            Cell::new(BenchEdge::Spin, workload, 1, entrants)
        };
        let cells = vec![cell(Workload::Long), cell(Workload::Late(Prelude::Role))];
        let text = Guards { cells, starts: Vec::new() }.to_string();
        for line in [
            "| 8 KiB | one | 3.00 ms | +2.00 ms | 3.00 ms | 0.750 ms | +0.250 ms |",
            "| at once | one | 99.00 ms | +2.00 ms | 99.00 ms | 0.750 ms | +0.250 ms |",
        ] {
            assert!(text.lines().any(|other| other == line), "{text}");
        }
    }
}
