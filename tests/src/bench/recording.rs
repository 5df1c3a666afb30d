//! Cost of recording requests, and the first request's waits in a new isolate.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::json;

use super::candidate::{BenchEdge, CandidateSetup, RequestStyle};
use super::cold_start::{self, ColdStarts, STARTS_PER_SIDE};
use super::report::{Cell, Entrant};
use super::schedule::run_schedule;
use super::statistics::{median, percentile};
use super::worker::HostFeatures;
use super::workload::{COLLECTOR, Workload};

const EVENTS: [(Workload, usize); 1] = [(Workload::Json, 16)];
/// Rest of a turn with a collector: exports follow two seconds after a request.
const COLLECTOR_DELAY: Duration = Duration::from_millis(2_300);
/// Latency of a slow store, in milliseconds.
const STORE_DELAY_MILLIS: u32 = 50;
/// Recording measurements.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) cells: Vec<Cell>,
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
        let contestants = edge.gateways(upstream, setups(upstream))?;
        self.cells.extend(run_schedule(edge, &contestants, &EVENTS, turn).await?);
        drop(contestants);
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
    let manner = RequestStyle { rest: COLLECTOR_DELAY, ..RequestStyle::default() };
    let content = json!({ "observe": { "content": [{ "routes": ["json"], "max": 500 }] } });
    let plain = |name| CandidateSetup::with(name, json!({}));
    vec![
        plain("recorded"),
        plain("recorded, again"),
        CandidateSetup { given: NO_LEDGER, ..plain("no ledger") },
        CandidateSetup { manner, ..CandidateSetup::with("OTLP, all traces", collector(1.0)) },
        CandidateSetup {
            manner,
            ..CandidateSetup::with("OTLP, a tenth of traces", collector(0.1))
        },
        CandidateSetup::with("content in the log", content),
    ]
}

/// Measures the first requests with a fast store and with a slow one. The wasmtime host's store
/// cannot be slow: there, the comparison is between a store and none.
async fn first_requests(edge: BenchEdge, upstream: &str) -> anyhow::Result<Vec<ColdStarts>> {
    let sides = match edge {
        BenchEdge::Cloudflare => [
            ("a store at once", HostFeatures::ALL),
            ("a store 50 ms away", HostFeatures { delay: STORE_DELAY_MILLIS, ..HostFeatures::ALL }),
        ],
        BenchEdge::Spin => [("no store", NO_LEDGER), ("a store at once", HostFeatures::ALL)],
    };
    let setups = sides
        .map(|(name, given)| CandidateSetup { given, ..CandidateSetup::with(name, json!({})) });
    cold_start::run(edge, upstream, &setups, async |_| Ok(())).await
}

impl Display for Recording {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Recording\n")?;
        writeln!(
            f,
            "One route and one consumer. Usage is always recorded: who has no ledger bound tries every two \
             seconds to tell it and keeps the sums in memory (on Spin the whole store is missing). The \
             first two do not differ: what lies between them is noise. The collector and the log answer at \
             once; CPU is the host's, with what is sent in the two seconds after a turn. An isolate \
             gathers for two seconds and holds 2,048 traces: of more than a thousand requests a second \
             some are dropped."
        )?;
        let mut edge = None;
        for cell in &self.cells {
            if edge != Some(cell.edge) {
                edge = Some(cell.edge);
                writeln!(f, "\n**{}**. {}.\n", cell.edge.title(), cell.edge.ledger_location())?;
                writeln!(
                    f,
                    "| | connections | | requests/s | of the first (each round) | p50 | p99 | CPU | of it |"
                )?;
                writeln!(f, "| --- | --: | --- | --: | --: | --: | --: | --: | --: |")?;
            }
            for entrant in &cell.entrants {
                row(f, cell, entrant)?;
            }
        }
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nThe first request of an isolate, which also looks in the store whether a version of the \
             configuration was put (`config/current`), and the second. Medians, with the least and the \
             greatest, of {STARTS_PER_SIDE} starts; on Workers each in a new workerd, with its first connection to \
             the upstream.\n"
        )?;
        cold_start::table(f, &self.starts)
    }
}

fn row(f: &mut Formatter<'_>, cell: &Cell, entrant: &Entrant) -> fmt::Result {
    let Entrant { name, rates, whole, first: _, processor, .. } = entrant;
    let ratios = cell.ratios(entrant);
    let (least, greatest) = (percentile(&ratios, 0.0), percentile(&ratios, 1.0));
    write!(
        f,
        "| {} | {} | {name} | {:.0} | {:.3} ({least:.2} to {greatest:.2}) | {:.2} ms | {:.2} ms | ",
        cell.subject.title(),
        cell.connections,
        median(rates),
        median(&ratios),
        percentile(whole, 0.5),
        percentile(whole, 0.99),
    )?;
    match processor.zip(cell.entrants[0].processor) {
        Some((time, base)) => writeln!(f, "{time:.3} ms | {:.2} |", time / base),
        None => writeln!(f, "– | – |"),
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::workload::configuration;

    use super::{BenchEdge, Cell, ColdStarts, Entrant, Recording, Workload, setups};

    #[test]
    fn the_gateway_accepts_what_is_recorded() {
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
    fn a_start_is_told_with_its_range() {
        let entrant = Entrant {
            name: "recorded",
            rates: vec![100.0],
            whole: vec![1.0],
            first: vec![0.5],
            middles: vec![1.0],
            processor: Some(0.5),
        };
        let cells = vec![Cell::new(BenchEdge::Spin, Workload::Json, 16, vec![entrant])];
        let starts = vec![ColdStarts::from_samples("no store", vec![3.0, 9.0, 4.0], vec![1.0])];
        let text = Recording { cells, starts }.to_string();
        let line = "no store | 4.00 ms (3.00 to 9.00) | 1.00 ms (1.00 to 1.00) |";
        assert!(text.trim_end().ends_with(line), "{text}");
    }
}
