//! The results as Markdown tables and as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::cache::{Cache, StoredAnswer};
use super::candidate::BenchEdge;
use super::cold_start::ColdStarts;
use super::environment::Environment;
use super::guards::Guards;
use super::ledger::LedgerRate;
use super::limits::Limits;
use super::recording::Recording;
use super::statistics::{median, percentile, spread};
use super::streams::{StreamCapacity, Streams};
use super::workload::Workload;

/// All results of a run.
#[derive(Debug)]
pub struct Report {
    pub(super) machine: Environment,
    /// The gateway compared with its baselines.
    pub(super) cells: Vec<Cell>,
    pub(super) limits: Limits,
    pub(super) streams: Streams,
    pub(super) guards: Guards,
    pub(super) cache: Cache,
    pub(super) recording: Recording,
}

/// All candidates' results at one task.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) edge: BenchEdge,
    pub(super) subject: Workload,
    pub(super) connections: usize,
    /// The first is the baseline of the others.
    pub(super) entrants: Vec<Entrant>,
}

/// One candidate's results at one task. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) name: &'static str,
    /// Responses per second, for each round.
    pub(super) rates: Vec<f64>,
    pub(super) whole: Vec<f64>,
    pub(super) first: Vec<f64>,
    /// Median of each round: of the time to the first content if that has a time stamp, else of the
    /// whole.
    pub(super) middles: Vec<f64>,
    /// Processor time for one response.
    pub(super) processor: Option<f64>,
}

impl Cell {
    pub(super) fn new(
        edge: BenchEdge,
        workload: Workload,
        connections: usize,
        entrants: Vec<Entrant>,
    ) -> Self {
        Self { edge, subject: workload, connections, entrants }
    }

    /// Throughput divided by the baseline's: the median over rounds. `None` if the upstream's
    /// pauses determine it.
    fn ratio(&self, entrant: &Entrant) -> Option<f64> {
        (!self.subject.is_paced()).then(|| median(&self.ratios(entrant)))
    }

    /// The ratio of each round, in which both had their turn within seconds.
    pub(super) fn ratios(&self, entrant: &Entrant) -> Vec<f64> {
        let Some(baseline) = self.entrants.first() else { return Vec::new() };
        entrant.rates.iter().zip(&baseline.rates).map(|(rate, baseline)| rate / baseline).collect()
    }

    /// Added latency over the baseline's: the median over rounds, in milliseconds.
    pub(super) fn added(&self, entrant: &Entrant) -> f64 {
        let Some(baseline) = self.entrants.first() else { return 0.0 };
        let rounds = entrant.middles.iter().zip(&baseline.middles);
        median(&rounds.map(|(own, baseline)| own - baseline).collect::<Vec<_>>())
    }

    fn to_json(&self) -> impl Iterator<Item = Value> + '_ {
        self.entrants.iter().map(|entrant| {
            json!({
                "edge": self.edge.title(),
                "subject": self.subject.title(),
                "connections": self.connections,
                "contestant": entrant.name,
                "requests_per_second": median(&entrant.rates),
                "spread": spread(&entrant.rates),
                "of_baseline": self.ratio(entrant),
                "added_ms": self.added(entrant),
                "p50_ms": percentile(&entrant.whole, 0.5),
                "p99_ms": percentile(&entrant.whole, 0.99),
                "first_byte_ms": percentile(&entrant.first, 0.5),
                "processor_ms": entrant.processor,
                "requests": entrant.whole.len(),
            })
        })
    }
}

impl Report {
    /// JSON form.
    pub fn to_json(&self) -> Value {
        let machine = &self.machine;
        let artifacts = machine.artifacts.iter();
        let cells = |cells: &[Cell]| cells.iter().flat_map(Cell::to_json).collect::<Vec<_>>();
        json!({
            "machine": {
                "processor": machine.processor,
                "cores": machine.cores,
                "rust": machine.rust,
                "workerd": machine.workerd,
                "wasmtime": machine.wasmtime,
            },
            "artifacts": artifacts
                .map(|artifact| json!({
                    "name": artifact.name,
                    "bytes": artifact.raw,
                    "gzipped": artifact.compressed,
                }))
                .collect::<Vec<_>>(),
            "measurements": cells(&self.cells),
            "limits": cells(&self.limits.cells),
            "streams": cells(&self.streams.cells),
            "feats": self.streams.capacities.iter().map(StreamCapacity::to_json).collect::<Vec<_>>(),
            "guards": cells(&self.guards.cells),
            "cache": cells(&self.cache.cells),
            "entries": self.cache.entries.iter().map(StoredAnswer::to_json).collect::<Vec<_>>(),
            "recording": cells(&self.recording.cells),
            "starts": self.guards.starts.iter().chain(&self.recording.starts).map(ColdStarts::to_json).collect::<Vec<_>>(),
            "ledger": self.limits.ledger.iter().map(LedgerRate::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Environment { processor, cores, rust, workerd, wasmtime, artifacts } = &self.machine;
        writeln!(f, "{cores} × {processor}; {rust}; {workerd}; {wasmtime}.")?;
        let mut edge = None;
        for cell in &self.cells {
            if edge != Some(cell.edge) {
                edge = Some(cell.edge);
                writeln!(f, "\n**{}**\n", cell.edge.title())?;
                let baseline = cell.entrants.first().map_or("", |entrant| entrant.name);
                writeln!(
                    f,
                    "| | connections | | requests/s | of the {baseline} | p50 | p99 | first byte | CPU |"
                )?;
                writeln!(f, "| --- | --: | --- | --: | --: | --: | --: | --: | --: |")?;
            }
            write!(f, "{cell}")?;
        }
        write!(f, "{}{}", self.limits, self.streams)?;
        write!(f, "{}{}{}", self.guards, self.cache, self.recording)?;
        writeln!(f, "\n| artifact | bytes | gzipped |\n| --- | --: | --: |")?;
        for artifact in artifacts {
            let kibibytes = |bytes: u64| bytes as f64 / 1024.0;
            writeln!(
                f,
                "| {} | {:.0} KiB | {:.0} KiB |",
                artifact.name,
                kibibytes(artifact.raw),
                kibibytes(artifact.compressed)
            )?;
        }
        Ok(())
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for entrant in &self.entrants {
            let Entrant { name, rates, whole, first, processor, .. } = entrant;
            write!(f, "| {} | {} | {name} | ", self.subject.title(), self.connections)?;
            match self.ratio(entrant) {
                Some(ratio) => {
                    let spread = spread(rates) * 100.0;
                    write!(f, "{:.0} ± {spread:.0} % | {ratio:.2} | ", median(rates))?;
                }
                None => write!(f, "– | – | ")?,
            }
            write!(
                f,
                "{:.2} ms | {:.2} ms | {:.2} ms | ",
                percentile(whole, 0.5),
                percentile(whole, 0.99),
                percentile(first, 0.5),
            )?;
            match processor {
                Some(time) => writeln!(f, "{time:.2} ms |")?,
                None => writeln!(f, "– |")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::candidate::BenchEdge;
    use crate::bench::workload::Workload;

    use super::{Cell, Entrant};

    #[test]
    fn rounds_are_compared_with_their_own_baseline() {
        let entrant = |name, rates: [f64; 3]| Entrant {
            name,
            rates: rates.to_vec(),
            whole: vec![1.0, 2.0, 3.0],
            first: vec![0.5],
            middles: vec![1.0],
            processor: Some(0.25),
        };
        // The machine became slower in the last round.
        let entrants =
            vec![entrant("bare", [100.0, 110.0, 50.0]), entrant("ours", [80.0, 99.0, 40.0])];
        let cell = Cell::new(BenchEdge::Spin, Workload::Json, 16, entrants);
        let line = "| JSON, 1 KiB | 16 | ours | 80 ± 37 % | 0.80 | 2.00 ms | 3.00 ms | 0.50 ms | 0.25 ms |";
        assert_eq!(cell.to_string().lines().nth(1), Some(line));
    }
}
