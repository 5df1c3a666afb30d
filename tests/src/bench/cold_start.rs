//! Cold starts: the first requests of new isolates and instances.

use std::fmt::{self, Formatter};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::candidate::{BenchEdge, Candidate, CandidateSetup, RequestStyle};
use super::load::Load;
use super::statistics::{median, percentile};
use super::workload::Workload;

/// Number of starts on each side.
pub(super) const STARTS_PER_SIDE: usize = 10;
/// Idle time after which the wasmtime host drops an instance, as Spin does.
const INSTANCE_IDLE_TIME: Duration = Duration::from_millis(1_300);

/// Durations of the first two requests, in milliseconds.
#[derive(Debug)]
pub(super) struct ColdStarts {
    edge: BenchEdge,
    name: &'static str,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// Starts every side several times, in turn: on Workers in a new workerd each time, on Spin by
/// waiting until the previous instance was dropped. `prepare` runs on each candidate after its
/// start.
pub(super) async fn run(
    edge: BenchEdge,
    upstream: &str,
    sides: &[CandidateSetup],
    prepare: impl AsyncFn(&Candidate) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<ColdStarts>> {
    eprintln!("  {STARTS_PER_SIDE} starts on each side");
    let new = |side: &CandidateSetup| ColdStarts {
        edge,
        name: side.name,
        first: Vec::new(),
        second: Vec::new(),
    };
    let mut all: Vec<ColdStarts> = sides.iter().map(new).collect();
    match edge {
        BenchEdge::Cloudflare => {
            for _ in 0..STARTS_PER_SIDE {
                for (starts, side) in all.iter_mut().zip(sides) {
                    let candidate = edge.gateway(upstream, side)?;
                    prepare(&candidate).await?;
                    starts.measure(&candidate).await?;
                }
            }
        }
        BenchEdge::Spin => {
            let contestants = edge.gateways(upstream, sides.iter().cloned())?;
            for candidate in &contestants {
                prepare(candidate).await?;
                // The very first request opens the connection to the upstream.
                ask(candidate).await?;
            }
            for _ in 0..STARTS_PER_SIDE {
                sleep(INSTANCE_IDLE_TIME).await;
                for (starts, candidate) in all.iter_mut().zip(&contestants) {
                    starts.measure(candidate).await?;
                }
            }
        }
    }
    Ok(all)
}

/// Durations of two requests in sequence, in milliseconds.
async fn ask(candidate: &Candidate) -> anyhow::Result<Vec<f64>> {
    let load = Load {
        address: candidate.address,
        subject: Workload::Json,
        is_gateway: candidate.is_gateway,
        manner: RequestStyle::default(),
        connections: 1,
        warm_up: Duration::ZERO,
        duration: Duration::ZERO,
    };
    load.ask(2).await
}

/// Table of cold starts: medians, with minimum and maximum.
pub(super) fn table(f: &mut Formatter<'_>, all: &[ColdStarts]) -> fmt::Result {
    writeln!(f, "| | | first | second |\n| --- | --- | --: | --: |")?;
    for ColdStarts { edge, name, first, second } in all {
        let range = |times: &[f64]| {
            let (least, greatest) = (percentile(times, 0.0), percentile(times, 1.0));
            format!("{:.2} ms ({least:.2} to {greatest:.2})", median(times))
        };
        writeln!(f, "| {} | {name} | {} | {} |", edge.title(), range(first), range(second))?;
    }
    Ok(())
}

impl ColdStarts {
    async fn measure(&mut self, candidate: &Candidate) -> anyhow::Result<()> {
        let times = ask(candidate).await?;
        self.first.push(times[0]);
        self.second.push(times[1]);
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "edge": self.edge.title(),
            "side": self.name,
            "first_ms": median(&self.first),
            "second_ms": median(&self.second),
            "starts": self.first.len(),
        })
    }

    #[cfg(test)]
    pub(super) fn from_samples(name: &'static str, first: Vec<f64>, second: Vec<f64>) -> Self {
        Self { edge: BenchEdge::Spin, name, first, second }
    }
}
