//! Cost of guards: each kind compared with none, and the added delay of a stream's first content.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::caller::call;

use super::candidate::{BenchEdge, Candidate, CandidateSetup};
use super::cold_start::{self, ColdStarts, STARTS};
use super::comparison::Comparison;
use super::schedule::{Task, run_schedule};
use super::table::{Column, edge_caption, write_comparisons};
use super::workload::{ADMIN_TOKEN, ALIYUN, MODERATION, Prelude, Workload};

/// Entries in the word list.
const WORD_LIST_ENTRIES: usize = 100_000;
const WORD_LIST_NAME: &str = "bench";
/// Workloads for guards that check whole responses, each with its number of callers: one, since
/// added latency is measured.
const WHOLE: [Task; 2] = [(Workload::Json, 1), (Workload::Long, 1)];
/// Workloads for guards that hold streams back: one at full speed, and one at a model's pace.
const STREAMS: [Task; 2] = [(Workload::Late(Prelude::Role), 4), (Workload::ModelPaced, 8)];

/// Guard measurements. The baseline has no guard.
#[derive(Debug, Default)]
pub(super) struct Guards {
    pub(super) comparisons: Vec<Comparison>,
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
        for (setups, tasks) in [(kinds(upstream), WHOLE), (windows(), STREAMS)] {
            let candidates = edge.gateways(upstream, setups)?;
            for candidate in &candidates {
                put_words(candidate).await?;
            }
            self.comparisons.extend(run_schedule(edge, &candidates, &tasks, turn).await?);
        }
        let setups = &kinds(upstream)[..2];
        self.starts.extend(cold_start::run(edge, upstream, setups, put_words).await?);
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

const WHOLE_COLUMNS: [Column; 7] = [
    Column::Workload,
    Column::Candidate,
    Column::P50,
    Column::AddedP50,
    Column::P99,
    Column::Processor,
    Column::AddedProcessor,
];
const STREAM_COLUMNS: [Column; 7] = [
    Column::Workload,
    Column::Candidate,
    Column::FirstContentP50,
    Column::AddedP50,
    Column::FirstContentP99,
    Column::Processor,
    Column::AddedProcessor,
];

impl Display for Guards {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Guards\n")?;
        writeln!(
            f,
            "One guard checks the request and a response of 1 KiB, and finds nothing. `words` has \
             {WORD_LIST_ENTRIES} entries in the store. Services respond immediately, on this machine: \
             their numbers are the gateway's cost and the calls over loopback, one for each side. \
             `aliyun` takes five calls for a request of 8 KiB, four of them concurrently. Added times \
             are medians over rounds. `CPU` is the host's."
        )?;
        let of_kind = |is_stream| {
            let all = self.comparisons.iter();
            all.filter(move |comparison| comparison.workload.is_stamped() == is_stream)
        };
        write_comparisons(f, of_kind(false), &WHOLE_COLUMNS, edge_caption)?;
        writeln!(
            f,
            "\nStreams: first content is the time from the upstream's write to the caller's read. The \
             first workload sends 20 words without pauses and ends. The second sends 45 words, 20 ms \
             apart: 200 characters take about 0.8 s."
        )?;
        write_comparisons(f, of_kind(true), &STREAM_COLUMNS, edge_caption)?;
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nAn isolate builds the list on its first use, and again after a change. A Spin instance \
             serves at most 128 requests, so the CPU above includes a part of that. The first two \
             requests of an isolate, medians of {STARTS} starts.\n"
        )?;
        cold_start::write_starts(f, &self.starts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::bench::candidate::BenchEdge;
    use crate::bench::comparison::{CandidateResult, Comparison};
    use crate::bench::workload::configuration;

    use super::{Guards, Prelude, WORD_LIST_ENTRIES, Workload, entries, kinds, windows};

    #[test]
    fn configuration_of_every_guard_is_valid() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for setup in kinds("127.0.0.1:1").into_iter().chain(windows()) {
            let text = configuration("127.0.0.1:1", &setup.members);
            let config = config::Config::from_json(&text, &secret);
            let guards = config.map(|config| config.guards.len());
            assert_eq!(guards.ok(), Some(usize::from(setup.name != "no guard")), "{text}");
        }
    }

    #[test]
    fn word_list_is_diverse_and_fits_a_request() {
        let entries = entries();
        let body = serde_json::json!({ "words": entries }).to_string();
        assert!(body.len() < 1 << 20, "{}", body.len());
        let different: BTreeSet<&String> = entries.iter().collect();
        assert!(different.len() > WORD_LIST_ENTRIES * 95 / 100, "{}", different.len());
    }

    #[test]
    fn added_times_are_relative_to_no_guard() {
        let comparison = |workload| {
            let none = CandidateResult::sample("none", &[1.0], &[1.0], &[9.0], Some(0.5));
            let one = CandidateResult::sample("one", &[1.0], &[3.0], &[99.0], Some(0.75));
            Comparison::new(BenchEdge::Spin, workload, 1, vec![none, one])
        };
        let comparisons =
            vec![comparison(Workload::Long), comparison(Workload::Late(Prelude::Role))];
        let text = Guards { comparisons, starts: Vec::new() }.to_string();
        for row in [
            "| JSON, 8 KiB request | one | 3.00 ms | +2.00 ms | 3.00 ms | 0.750 ms | +0.250 ms |",
            "| stream, late content after 1 event | one | 99.00 ms | +2.00 ms | 99.00 ms | 0.750 ms | +0.250 ms |",
        ] {
            assert!(text.lines().any(|line| line == row), "{text}");
        }
    }
}
