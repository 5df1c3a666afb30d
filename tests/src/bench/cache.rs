//! Cost of a cached response compared with an uncached one, and its size in the store.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};
use tokio::time::{Instant, sleep};

use crate::caller::call;
use crate::wait::{EVENT_TIMEOUT, wait_until};

use super::candidate::{
    BenchEdge, Candidate, CandidateSetup, ExpectedCache, QuestionReuse, RequestStyle,
};
use super::comparison::Comparison;
use super::load::Load;
use super::schedule::run_schedule;
use super::table::{
    Align, BASELINE_COLUMNS, edge_caption, write_comparisons, write_head, write_row,
};
use super::workload::{CALLER_KEY, Workload};

const WORKLOADS: [Workload; 2] = [Workload::Json, Workload::Stream];
const CONNECTIONS: [usize; 2] = [1, 16];
/// Repetitions of each request before its responses count as stored: each side of the canary has
/// its own entry, and one side receives one request in ten.
const FILL_REPEATS: usize = 150;
/// Number of other responses that evicts an isolate's own writes from its memory (it holds 64).
const EVICTING_REQUESTS: usize = 80;
/// Sizes in bytes of the responses whose entries are measured.
const SIZES: [usize; 2] = [1 << 10, 16 << 10];
/// Length of a word in a simulated response, including its space.
const WORD_BYTES: usize = 5;
const ENTRY_HEADINGS: [(&str, Align); 6] = [
    ("content", Align::Right),
    ("format", Align::Left),
    ("response body", Align::Right),
    ("entry", Align::Right),
    ("added", Align::Right),
    ("entry/content", Align::Right),
];

/// Cache measurements. The baseline has neither cache nor gateway.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) comparisons: Vec<Comparison>,
    pub(super) entries: Vec<StoredEntry>,
}

/// Sizes of a response and of its entry in the store.
#[derive(Debug)]
pub(super) struct StoredEntry {
    is_stream: bool,
    /// Size of the text, or of its JSON.
    content_bytes: usize,
    /// Size of the body that the caller received.
    body_bytes: usize,
    entry_bytes: usize,
}

impl Cache {
    /// Measures one edge.
    pub(super) async fn run(
        &mut self,
        edge: BenchEdge,
        upstream: &str,
        turn: Duration,
    ) -> anyhow::Result<()> {
        let mut candidates = vec![edge.bare(upstream)?];
        candidates.extend(edge.gateways(upstream, setups())?);
        for candidate in &candidates {
            if candidate.style.cache == ExpectedCache::Hit {
                fill(candidate).await?;
            }
        }
        let tasks = WORKLOADS
            .map(|workload| CONNECTIONS.map(|connections| (workload, connections)))
            .concat();
        self.comparisons.extend(run_schedule(edge, &candidates, &tasks, turn).await?);
        drop(candidates);
        // Entries in a Spin store differ by eight bytes; this package's host does not expose its
        // store.
        if edge == BenchEdge::Cloudflare {
            self.entries = measure_entries(edge).await?;
        }
        Ok(())
    }
}

fn setups() -> [CandidateSetup; 3] {
    let cached = || json!({ "cache": { "ttl": "1h" } });
    let style = |question, cache| RequestStyle { question, cache, ..RequestStyle::default() };
    let miss = style(QuestionReuse::Fresh, ExpectedCache::Miss);
    let hit = style(QuestionReuse::Same, ExpectedCache::Hit);
    [
        CandidateSetup::with("no cache", json!({})),
        CandidateSetup { style: miss, ..CandidateSetup::with("cache miss", cached()) },
        CandidateSetup { style: hit, ..CandidateSetup::with("cache hit", cached()) },
    ]
}

/// Stores the responses that are requested later, and evicts them from the isolate's own memory.
async fn fill(candidate: &Candidate) -> anyhow::Result<()> {
    let load = |workload, question| Load {
        address: candidate.address,
        workload,
        is_gateway: true,
        style: RequestStyle { question, cache: ExpectedCache::Either, ..RequestStyle::default() },
        connections: 1,
        warm_up: Duration::ZERO,
        duration: Duration::ZERO,
    };
    let mut sent = 0;
    for workload in WORKLOADS {
        let until = Instant::now() + EVENT_TIMEOUT;
        // Cache entries are written after the response.
        while !load(workload, QuestionReuse::Same).is_cached(FILL_REPEATS).await? {
            ensure!(Instant::now() < until, "cannot fill the cache");
            sent += FILL_REPEATS;
        }
        sent += FILL_REPEATS;
    }
    load(Workload::Json, QuestionReuse::Fresh).send(EVICTING_REQUESTS).await?;
    sent += EVICTING_REQUESTS;
    let is_recorded = wait_until(EVENT_TIMEOUT, || candidate.process.records() >= sent).await;
    ensure!(is_recorded, "{} of {sent} requests are recorded", candidate.process.records());
    Ok(())
}

/// Stores responses, and measures their entries in the store.
async fn measure_entries(edge: BenchEdge) -> anyhow::Result<Vec<StoredEntry>> {
    let server = Server::start().await?;
    let cached = json!({ "cache": { "ttl": "1h", "max_entry": "1MiB" } });
    let setup = CandidateSetup::with("entries", cached);
    let candidate = edge.gateway(&server.address().to_string(), &setup)?;
    let mut entries = Vec::new();
    for workload in WORKLOADS {
        let is_stream = workload == Workload::Stream;
        for content_bytes in SIZES {
            let canned = match workload {
                Workload::Stream => {
                    CannedResponse::stream(content_bytes.div_ceil(WORD_BYTES), None)
                }
                _ => CannedResponse::json(content_bytes),
            };
            server.register_canned(workload.world(), canned);
            let before = store_sizes(&candidate).await?;
            let body = json!({
                "model": workload.world(),
                "messages": [{ "role": "user", "content": format!("{content_bytes} bytes?") }],
                "stream": is_stream,
            });
            let path = "/v1/chat/completions";
            let response = call(candidate.address, "POST", path, CALLER_KEY, &body).await?;
            ensure!(response.status == 200, "status {}", response.status);
            let body_bytes = response.body.len();
            let entry_bytes = new_entry_size(&candidate, &before, body_bytes).await?;
            entries.push(StoredEntry { is_stream, content_bytes, body_bytes, entry_bytes });
        }
    }
    Ok(entries)
}

/// Waits for a new entry in the store; returns its size.
async fn new_entry_size(
    candidate: &Candidate,
    before: &BTreeMap<String, usize>,
    body_bytes: usize,
) -> anyhow::Result<usize> {
    let until = Instant::now() + EVENT_TIMEOUT;
    loop {
        let now = store_sizes(candidate).await?;
        let mut new = now.iter().filter(|(name, _)| !before.contains_key(*name));
        if let Some((_, size)) = new.next() {
            ensure!(*size > body_bytes, "entry shorter than its body");
            ensure!(new.next().is_none(), "several new entries");
            return Ok(*size);
        }
        ensure!(Instant::now() < until, "response of {body_bytes} bytes not stored");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Names in the store, and the size of each value in bytes.
async fn store_sizes(candidate: &Candidate) -> anyhow::Result<BTreeMap<String, usize>> {
    let answer = call(candidate.store_address, "GET", "/?sizes", "", &Value::Null).await?;
    Ok(serde_json::from_slice(&answer.body)?)
}

impl StoredEntry {
    fn format(&self) -> &'static str {
        if self.is_stream { "stream" } else { "JSON" }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "format": self.format(),
            "content_bytes": self.content_bytes,
            "body_bytes": self.body_bytes,
            "entry_bytes": self.entry_bytes,
        })
    }
}

impl Display for Cache {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Cache\n")?;
        writeln!(
            f,
            "The provider responds immediately, on this machine, and the store is in memory: the \
             numbers are the gateway's work. A cache miss is a new request whose response is stored. A \
             cache hit comes from the store and not from the isolate's own memory. `CPU` is the \
             host's; on Workers it includes the store."
        )?;
        write_comparisons(f, &self.comparisons, &BASELINE_COLUMNS, edge_caption)?;
        if self.entries.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nEntries in the store, compared with the body that the caller received.\n")?;
        write_head(f, &ENTRY_HEADINGS)?;
        for entry in &self.entries {
            let StoredEntry { content_bytes, body_bytes, entry_bytes, .. } = entry;
            let ratio = *entry_bytes as f64 / *content_bytes as f64;
            write_row(
                f,
                [
                    format!("{} KiB", content_bytes / 1024),
                    entry.format().to_owned(),
                    format!("{body_bytes} B"),
                    format!("{entry_bytes} B"),
                    format!("{} B", entry_bytes - body_bytes),
                    format!("{ratio:.1}"),
                ],
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::comparison::CandidateResult;
    use crate::bench::workload::configuration;

    use super::{BenchEdge, Cache, Comparison, ExpectedCache, StoredEntry, Workload, setups};

    #[test]
    fn configuration_of_each_candidate_is_valid() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for setup in setups() {
            let text = configuration("127.0.0.1:1", &setup.members);
            let config = config::Config::from_json(&text, &secret);
            let has_cache = config.map(|config| config.cache.is_some()).ok();
            assert_eq!(has_cache, Some(setup.style.cache != ExpectedCache::Nothing), "{text}");
        }
    }

    #[test]
    fn entry_is_compared_with_the_received_body() {
        let result = CandidateResult::sample("bare", &[100.0], &[1.0], &[0.5], None);
        let comparisons = vec![Comparison::new(BenchEdge::Spin, Workload::Json, 1, vec![result])];
        let entries = vec![StoredEntry {
            is_stream: true,
            content_bytes: 1024,
            body_bytes: 40_000,
            entry_bytes: 40_960,
        }];
        let text = Cache { comparisons, entries }.to_string();
        assert!(text.contains("| JSON, 1 KiB | 1 | bare | 100 ± 0 % | 1.00 | 1.00 ms |"), "{text}");
        let row = "| 1 KiB | stream | 40000 B | 40960 B | 960 B | 40.0 |";
        assert_eq!(text.lines().last(), Some(row));
    }
}
