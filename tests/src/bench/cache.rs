//! Cost of a cached response compared with an uncached one, and its size in the store.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};
use tokio::time::{Instant, sleep};

use crate::caller::{Answer, call};

use super::candidate::{
    BenchEdge, Candidate, CandidateSetup, ExpectedCache, QuestionReuse, RequestStyle,
};
use super::load::Load;
use super::report::{Cell, Entrant};
use super::schedule::run_schedule;
use super::statistics::{median, percentile, spread};
use super::workload::{CALLER_KEY, Workload};

const SUBJECTS: [Workload; 2] = [Workload::Json, Workload::Stream];
const CONNECTIONS: [usize; 2] = [1, 16];
/// Repetitions of each request before its responses count as stored: each side of the canary has
/// its own entry, and one side receives one request in ten.
const FILL_REPEATS: usize = 150;
/// Number of other responses that evicts an isolate's own writes from its memory (it holds 64).
const EVICTING_REQUESTS: usize = 80;
/// Longest wait for a stored response to become readable.
const FILL_TIMEOUT: Duration = Duration::from_secs(5);
/// Sizes in bytes of the responses whose entries are measured.
const SIZES: [usize; 2] = [1 << 10, 16 << 10];
/// Length of a word in a simulated response, including its space.
const WORD_BYTES: usize = 5;

/// Cache measurements. The first entrant of each cell has neither cache nor gateway.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) cells: Vec<Cell>,
    pub(super) entries: Vec<StoredAnswer>,
}

/// A response in the store. Sizes are in bytes.
#[derive(Debug)]
pub(super) struct StoredAnswer {
    is_stream: bool,
    /// Size of the text, or of its JSON.
    answer: usize,
    /// Size of the body that the caller received.
    shown: usize,
    stored: usize,
}

impl Cache {
    /// Measures one edge.
    pub(super) async fn run(
        &mut self,
        edge: BenchEdge,
        upstream: &str,
        turn: Duration,
    ) -> anyhow::Result<()> {
        let mut contestants = vec![edge.bare(upstream)?];
        contestants.extend(edge.gateways(upstream, setups())?);
        for candidate in &contestants {
            if candidate.style.shown == ExpectedCache::Hit {
                fill(candidate).await?;
            }
        }
        let events = SUBJECTS
            .map(|workload| CONNECTIONS.map(|connections| (workload, connections)))
            .concat();
        self.cells.extend(run_schedule(edge, &contestants, &events, turn).await?);
        drop(contestants);
        // Entries in a Spin store differ by eight bytes; this package's host does not expose its
        // store.
        if edge == BenchEdge::Cloudflare {
            self.entries = entries(edge).await?;
        }
        Ok(())
    }
}

fn setups() -> [CandidateSetup; 3] {
    let cached = || json!({ "cache": { "ttl": "1h" } });
    let manner = |asking, shown| RequestStyle { asking, shown, ..RequestStyle::default() };
    let miss = manner(QuestionReuse::Fresh, ExpectedCache::Miss);
    let hit = manner(QuestionReuse::Same, ExpectedCache::Hit);
    [
        CandidateSetup::with("serin without a cache", json!({})),
        CandidateSetup { manner: miss, ..CandidateSetup::with("a miss", cached()) },
        CandidateSetup { manner: hit, ..CandidateSetup::with("a hit", cached()) },
    ]
}

/// Stores the responses that are requested later, and evicts them from the isolate's own memory.
async fn fill(candidate: &Candidate) -> anyhow::Result<()> {
    let ask = async |workload, asking, times| {
        let load = Load {
            address: candidate.address,
            subject: workload,
            is_gateway: true,
            manner: RequestStyle {
                asking,
                shown: ExpectedCache::Either,
                ..RequestStyle::default()
            },
            connections: 1,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
        };
        load.ask(times).await.context("cannot fill the cache")
    };
    let mut asked = 0;
    for workload in SUBJECTS {
        ask(workload, QuestionReuse::Same, FILL_REPEATS).await?;
        asked += FILL_REPEATS;
    }
    ask(Workload::Json, QuestionReuse::Fresh, EVICTING_REQUESTS).await?;
    asked += EVICTING_REQUESTS;
    let until = Instant::now() + FILL_TIMEOUT;
    while candidate.process.records() < asked && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
    // Cache entries are written after the response.
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// Stores responses, and measures their entries in the store.
async fn entries(edge: BenchEdge) -> anyhow::Result<Vec<StoredAnswer>> {
    let server = Server::start().await?;
    let cached = json!({ "cache": { "ttl": "1h", "max_entry": "1MiB" } });
    let setup = CandidateSetup::with("entries", cached);
    let candidate = edge.gateway(&server.address().to_string(), &setup)?;
    let mut kept = Vec::new();
    for workload in SUBJECTS {
        let is_stream = workload == Workload::Stream;
        for answer in SIZES {
            let fixed = match workload {
                Workload::Stream => CannedResponse::stream(answer.div_ceil(WORD_BYTES), None),
                _ => CannedResponse::json(answer),
            };
            server.register_canned(workload.world(), fixed);
            let before = store_sizes(&candidate).await?;
            let body = json!({
                "model": workload.world(),
                "messages": [{ "role": "user", "content": format!("{answer} bytes?") }],
                "stream": is_stream,
            });
            let path = "/v1/chat/completions";
            let told = call(candidate.address, "POST", path, CALLER_KEY, &body).await?;
            ensure!(told.status == 200, "status {}", told.status);
            let stored = fresh(&candidate, &before, &told).await?;
            kept.push(StoredAnswer { is_stream, answer, shown: told.body.len(), stored });
        }
    }
    Ok(kept)
}

/// Size of the entry that has been added to the store since.
async fn fresh(
    candidate: &Candidate,
    before: &BTreeMap<String, usize>,
    told: &Answer,
) -> anyhow::Result<usize> {
    let until = Instant::now() + FILL_TIMEOUT;
    loop {
        let now = store_sizes(candidate).await?;
        let mut fresh = now.iter().filter(|(name, _)| !before.contains_key(*name));
        if let Some((_, size)) = fresh.next() {
            ensure!(*size > told.body.len(), "entry shorter than its body");
            ensure!(fresh.next().is_none(), "several new entries");
            return Ok(*size);
        }
        ensure!(Instant::now() < until, "response of {} bytes not stored", told.body.len());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Names in the store, and the size of each value in bytes.
async fn store_sizes(candidate: &Candidate) -> anyhow::Result<BTreeMap<String, usize>> {
    let answer = call(candidate.store_address, "GET", "/?sizes", "", &Value::Null).await?;
    Ok(serde_json::from_slice(&answer.body)?)
}

impl StoredAnswer {
    fn form(&self) -> &'static str {
        if self.is_stream { "stream" } else { "JSON" }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "form": self.form(),
            "answer_bytes": self.answer,
            "shown_bytes": self.shown,
            "stored_bytes": self.stored,
        })
    }
}

impl Display for Cache {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Cache\n")?;
        writeln!(
            f,
            "The provider answers at once, from this machine, and the store is in memory: what is seen is \
             what the gateway does. A miss is a question that nobody has asked, whose answer is kept; a \
             hit comes from the store and not from the isolate's own memory. CPU is the host's, for the \
             Worker that of the store too."
        )?;
        let mut edge = None;
        for cell in &self.cells {
            if edge != Some(cell.edge) {
                edge = Some(cell.edge);
                let baseline = cell.entrants.first().map_or("", |entrant| entrant.name);
                writeln!(f, "\n**{}**\n", cell.edge.title())?;
                writeln!(
                    f,
                    "| | connections | | requests/s | of the {baseline} | p50 | p99 | first byte | CPU |"
                )?;
                writeln!(f, "| --- | --: | --- | --: | --: | --: | --: | --: | --: |")?;
            }
            for entrant in &cell.entrants {
                row(f, cell, entrant)?;
            }
        }
        if self.entries.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nAn entry in the store, beside the answer as its caller was shown it.\n")?;
        writeln!(f, "| answer | as | shown | stored | more | of the answer |")?;
        writeln!(f, "| --: | --- | --: | --: | --: | --: |")?;
        for kept in &self.entries {
            let StoredAnswer { answer, shown, stored, .. } = kept;
            writeln!(
                f,
                "| {} KiB | {} | {shown} B | {stored} B | {} B | {:.1} |",
                answer / 1024,
                kept.form(),
                stored - shown,
                *stored as f64 / *answer as f64
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, cell: &Cell, entrant: &Entrant) -> fmt::Result {
    let Entrant { name, rates, whole, first, processor, .. } = entrant;
    let (rate, spread) = (median(rates), spread(rates) * 100.0);
    writeln!(
        f,
        "| {} | {} | {name} | {rate:.0} ± {spread:.0} % | {:.2} | {:.2} ms | {:.2} ms | {:.2} ms | {} |",
        cell.subject.title(),
        cell.connections,
        median(&cell.ratios(entrant)),
        percentile(whole, 0.5),
        percentile(whole, 0.99),
        percentile(first, 0.5),
        processor.map_or("–".to_owned(), |time| format!("{time:.3} ms")),
    )
}

#[cfg(test)]
mod tests {
    use crate::bench::workload::configuration;

    use super::{BenchEdge, Cache, Cell, Entrant, ExpectedCache, StoredAnswer, Workload, setups};

    #[test]
    fn the_gateway_accepts_its_cache() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for setup in setups() {
            let text = configuration("127.0.0.1:1", &setup.members);
            let config = config::Config::from_json(&text, &secret);
            let has_cache = config.map(|config| config.cache.is_some()).ok();
            assert_eq!(has_cache, Some(setup.manner.shown != ExpectedCache::Nothing), "{text}");
        }
    }

    #[test]
    fn what_is_kept_is_beside_what_is_shown() {
        let entrant = Entrant {
            name: "bare",
            rates: vec![100.0],
            whole: vec![1.0],
            first: vec![0.5],
            middles: vec![1.0],
            processor: None,
        };
        let cells = vec![Cell::new(BenchEdge::Spin, Workload::Json, 1, vec![entrant])];
        let entries =
            vec![StoredAnswer { is_stream: true, answer: 1024, shown: 40_000, stored: 40_960 }];
        let text = Cache { cells, entries }.to_string();
        assert!(text.contains("| JSON, 1 KiB | 1 | bare | 100 ± 0 % | 1.00 | 1.00 ms |"), "{text}");
        let line = "| 1 KiB | stream | 40000 B | 40960 B | 960 B | 40.0 |";
        assert_eq!(text.lines().last(), Some(line));
    }
}
