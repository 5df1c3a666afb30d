//! Results of one workload: all candidates, measured in the same rounds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::statistics::{median, percentile, spread};

use super::candidate::BenchEdge;
use super::load::{Latencies, LoadResult};
use super::workload::Workload;

/// Results of all candidates of an edge for one workload.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) edge: BenchEdge,
    pub(super) workload: Workload,
    pub(super) connections: usize,
    /// The first is the baseline of the others.
    pub(super) results: Vec<CandidateResult>,
}

/// Results of one candidate for one workload.
#[derive(Debug)]
pub(super) struct CandidateResult {
    pub(super) name: &'static str,
    /// Responses per second, for each round.
    pub(super) rates: Vec<f64>,
    pub(super) latencies: Latencies,
    /// Median latency of each round, in milliseconds: of the time to the first content if that has a
    /// time stamp, else of the whole response.
    round_medians: Vec<f64>,
    /// Number of responses, warm-up included.
    pub(super) responses: usize,
    /// Processor time of all responses; `None` if the system does not report it.
    processor: Option<Duration>,
}

impl CandidateResult {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            rates: Vec::new(),
            latencies: Latencies::default(),
            round_medians: Vec::new(),
            responses: 0,
            processor: None,
        }
    }

    /// Adds the result of a turn with this duration and processor time.
    pub(super) fn add_turn(
        &mut self,
        workload: Workload,
        turn: Duration,
        load: LoadResult,
        processor: Option<Duration>,
    ) {
        let LoadResult { latencies, uncounted } = load;
        self.rates.push(latencies.whole.len() as f64 / turn.as_secs_f64());
        let measured = if workload.is_stamped() { &latencies.first } else { &latencies.whole };
        self.round_medians.push(median(measured));
        self.responses += latencies.whole.len() + uncounted;
        self.latencies.extend(latencies);
        self.processor = processor.map(|spent| spent + self.processor.unwrap_or_default());
    }

    /// Processor time for one response, in milliseconds.
    pub(super) fn processor_ms(&self) -> Option<f64> {
        self.processor.map(|spent| spent.as_secs_f64() * 1e3 / self.responses as f64)
    }

    /// A result with these values, for tests of tables. Times are in milliseconds.
    #[cfg(test)]
    pub(super) fn sample(
        name: &'static str,
        rates: &[f64],
        whole: &[f64],
        first: &[f64],
        processor_ms: Option<f64>,
    ) -> Self {
        Self {
            name,
            rates: rates.to_vec(),
            latencies: Latencies { whole: whole.to_vec(), first: first.to_vec() },
            round_medians: whole.to_vec(),
            responses: 1,
            processor: processor_ms.map(|time| Duration::from_secs_f64(time / 1e3)),
        }
    }
}

impl Comparison {
    pub(super) fn new(
        edge: BenchEdge,
        workload: Workload,
        connections: usize,
        results: Vec<CandidateResult>,
    ) -> Self {
        Self { edge, workload, connections, results }
    }

    /// Baseline of all ratios and differences.
    pub(super) fn baseline(&self) -> Option<&CandidateResult> {
        self.results.first()
    }

    /// Throughput divided by the baseline's: the median over rounds. `None` if the upstream's
    /// pauses determine it.
    pub(super) fn ratio(&self, result: &CandidateResult) -> Option<f64> {
        (!self.workload.is_paced()).then(|| median(&self.ratios(result)))
    }

    /// The ratio of each round, in which both had their turn within seconds.
    pub(super) fn ratios(&self, result: &CandidateResult) -> Vec<f64> {
        let Some(baseline) = self.baseline() else { return Vec::new() };
        result.rates.iter().zip(&baseline.rates).map(|(rate, baseline)| rate / baseline).collect()
    }

    /// Added latency over the baseline's: the median over rounds, in milliseconds.
    pub(super) fn added(&self, result: &CandidateResult) -> f64 {
        let Some(baseline) = self.baseline() else { return 0.0 };
        let rounds = result.round_medians.iter().zip(&baseline.round_medians);
        median(&rounds.map(|(own, baseline)| own - baseline).collect::<Vec<_>>())
    }

    /// JSON form, one value for each candidate.
    pub(super) fn to_json(&self) -> impl Iterator<Item = Value> + '_ {
        self.results.iter().map(|result| {
            json!({
                "edge": self.edge.title(),
                "workload": self.workload.title(),
                "connections": self.connections,
                "candidate": result.name,
                "requests_per_second": median(&result.rates),
                "spread": spread(&result.rates),
                "ratio_to_baseline": self.ratio(result),
                "added_ms": self.added(result),
                "p50_ms": percentile(&result.latencies.whole, 0.5),
                "p99_ms": percentile(&result.latencies.whole, 0.99),
                "first_byte_p50_ms": percentile(&result.latencies.first, 0.5),
                "processor_ms": result.processor_ms(),
                "requests": result.latencies.whole.len(),
            })
        })
    }
}
