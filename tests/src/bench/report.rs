//! The results as Markdown tables and as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::cache::{Cache, StoredEntry};
use super::cold_start::ColdStarts;
use super::comparison::Comparison;
use super::environment::Environment;
use super::guards::Guards;
use super::ledger::LedgerRate;
use super::limits::Limits;
use super::recording::Recording;
use super::streams::{StreamCapacity, Streams};
use super::table::{
    Align, BASELINE_COLUMNS, edge_caption, write_comparisons, write_head, write_row,
};

/// All results of a run.
#[derive(Debug)]
pub struct Report {
    pub(super) environment: Environment,
    /// The gateway compared with its baselines.
    pub(super) gateway: Vec<Comparison>,
    pub(super) limits: Limits,
    pub(super) streams: Streams,
    pub(super) guards: Guards,
    pub(super) cache: Cache,
    pub(super) recording: Recording,
}

impl Report {
    /// A report without results.
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            environment,
            gateway: Vec::new(),
            limits: Limits::default(),
            streams: Streams::default(),
            guards: Guards::default(),
            cache: Cache::default(),
            recording: Recording::default(),
        }
    }

    /// JSON form.
    pub fn to_json(&self) -> Value {
        let comparisons =
            |all: &[Comparison]| all.iter().flat_map(Comparison::to_json).collect::<Vec<_>>();
        let starts = self.guards.starts.iter().chain(&self.recording.starts);
        json!({
            "machine": self.environment.machine_to_json(),
            "artifacts": self.environment.artifacts_to_json(),
            "gateway": comparisons(&self.gateway),
            "limits": comparisons(&self.limits.comparisons),
            "streams": comparisons(&self.streams.comparisons),
            "stream_capacities":
                self.streams.capacities.iter().map(StreamCapacity::to_json).collect::<Vec<_>>(),
            "guards": comparisons(&self.guards.comparisons),
            "cache": comparisons(&self.cache.comparisons),
            "cache_entries": self.cache.entries.iter().map(StoredEntry::to_json).collect::<Vec<_>>(),
            "recording": comparisons(&self.recording.comparisons),
            "cold_starts": starts.map(ColdStarts::to_json).collect::<Vec<_>>(),
            "ledger": self.limits.ledger.iter().map(LedgerRate::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Environment { processor, cores, rust, workerd, wasmtime, artifacts } =
            &self.environment;
        writeln!(f, "{cores} × {processor}; {rust}; {workerd}; {wasmtime}.")?;
        write_comparisons(f, &self.gateway, &BASELINE_COLUMNS, edge_caption)?;
        write!(f, "{}{}", self.limits, self.streams)?;
        write!(f, "{}{}{}", self.guards, self.cache, self.recording)?;
        writeln!(f)?;
        let headings =
            [("artifact", Align::Left), ("gzipped", Align::Right), ("raw", Align::Right)];
        write_head(f, &headings)?;
        for artifact in artifacts {
            let kibibytes = |bytes: u64| format!("{:.0} KiB", bytes as f64 / 1024.0);
            let sizes = [kibibytes(artifact.compressed), kibibytes(artifact.raw)];
            write_row(f, [artifact.name, &sizes[0], &sizes[1]])?;
        }
        Ok(())
    }
}
