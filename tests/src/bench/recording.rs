//! Cost of recording requests, and the duration of the first request in a new isolate.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::json;

use super::candidate::{BenchEdge, CandidateSetup, RequestStyle};
use super::cold_start::{self, ColdStarts, STARTS};
use super::comparison::Comparison;
use super::schedule::{Task, run_schedule};
use super::table::{COST_COLUMNS, ledger_caption, write_comparisons};
use super::worker::HostFeatures;
use super::workload::{COLLECTOR, Workload};

const TASKS: [Task; 1] = [(Workload::Json, 16)];
/// Time after a turn with a collector: exports follow two seconds after a request.
const COLLECTOR_DELAY: Duration = Duration::from_millis(2_300);
/// Latency of a slow store, in milliseconds.
const STORE_DELAY_MILLIS: u32 = 50;

/// Recording measurements.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) comparisons: Vec<Comparison>,
    pub(super) starts: Vec<ColdStarts>,
}

impl Recording {
    /// Measures one edge.
    pub(super) async fn run(
        &mut self,
        edge: BenchEdge,
        upstream: &str,
        turn: Duration,
    ) -> anyhow::Result<()> {
        let candidates = edge.gateways(upstream, setups(upstream))?;
        self.comparisons.extend(run_schedule(edge, &candidates, &TASKS, turn).await?);
        drop(candidates);
        self.starts.extend(first_requests(edge, upstream).await?);
        Ok(())
    }
}

const NO_LEDGER: HostFeatures = HostFeatures { ledger: false, ..HostFeatures::ALL };

fn setups(upstream: &str) -> Vec<CandidateSetup> {
    let collector = |sample: f64| {
        let endpoint = format!("http://{upstream}/{COLLECTOR}/otlp");
        json!({ "observe": { "otlp": { "endpoint": endpoint, "sample": sample } } })
    };
    let style = RequestStyle { deferred: COLLECTOR_DELAY, ..RequestStyle::default() };
    let content = json!({ "observe": { "content": [{ "routes": ["json"], "max": 500 }] } });
    let plain = |name| CandidateSetup::with(name, json!({}));
    vec![
        plain("usage recorded"),
        plain("usage recorded, repeated"),
        CandidateSetup { features: NO_LEDGER, ..plain("no ledger") },
        CandidateSetup { style, ..CandidateSetup::with("OTLP, all traces", collector(1.0)) },
        CandidateSetup { style, ..CandidateSetup::with("OTLP, one trace in ten", collector(0.1)) },
        CandidateSetup::with("content in the log", content),
    ]
}

/// Measures the first requests with a fast store and with a slow one. The wasmtime host's store
/// cannot be slow: there, the comparison is between a store and none.
async fn first_requests(edge: BenchEdge, upstream: &str) -> anyhow::Result<Vec<ColdStarts>> {
    let hosts = match edge {
        BenchEdge::Cloudflare => [
            ("store without delay", HostFeatures::ALL),
            (
                "store with 50 ms delay",
                HostFeatures { delay: STORE_DELAY_MILLIS, ..HostFeatures::ALL },
            ),
        ],
        BenchEdge::Spin => [("no store", NO_LEDGER), ("store without delay", HostFeatures::ALL)],
    };
    let setups = hosts.map(|(name, features)| CandidateSetup {
        features,
        ..CandidateSetup::with(name, json!({}))
    });
    cold_start::run(edge, upstream, &setups, async |_| Ok(())).await
}

impl Display for Recording {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Recording\n")?;
        writeln!(
            f,
            "One route and one consumer. Usage is always recorded: without a ledger, the gateway holds \
             the sums in memory and retries every two seconds. On Spin, that candidate has no store at \
             all. The first two candidates are identical: the difference between them is noise. The \
             collector and the log respond immediately. `CPU` is the host's, exports in the two \
             seconds after a turn included. An isolate exports every two seconds and holds 2,048 \
             traces: above a thousand requests per second, some are dropped."
        )?;
        write_comparisons(f, &self.comparisons, &COST_COLUMNS, ledger_caption)?;
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nThe first request of an isolate, which also reads from the store whether there is a \
             version of the configuration (`config/current`), and the second. Medians with minimum and \
             maximum of {STARTS} starts; on Workers each in a new workerd, with its first connection \
             to the upstream.\n"
        )?;
        cold_start::write_starts(f, &self.starts)
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::comparison::CandidateResult;
    use crate::bench::workload::configuration;

    use super::{BenchEdge, ColdStarts, Comparison, Recording, Workload, setups};

    #[test]
    fn configuration_of_each_candidate_is_valid() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for setup in setups("127.0.0.1:1") {
            let text = configuration("127.0.0.1:1", &setup.members);
            let config = config::Config::from_json(&text, &secret).map_err(|_| &text);
            let observe = config.expect("valid configuration").observe;
            assert_eq!(observe.otlp.is_some(), setup.name.starts_with("OTLP"));
            assert_eq!(observe.content.is_empty(), !setup.name.starts_with("content"));
        }
    }

    #[test]
    fn cold_start_has_its_range() {
        let result = CandidateResult::sample("recorded", &[100.0], &[1.0], &[0.5], Some(0.5));
        let comparisons = vec![Comparison::new(BenchEdge::Spin, Workload::Json, 16, vec![result])];
        let starts = vec![ColdStarts::from_samples("no store", vec![3.0, 9.0, 4.0], vec![1.0])];
        let text = Recording { comparisons, starts }.to_string();
        let row = "no store | 4.00 ms (3.00 to 9.00) | 1.00 ms (1.00 to 1.00) |";
        assert!(text.trim_end().ends_with(row), "{text}");
    }
}
