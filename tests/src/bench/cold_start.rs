//! Cold starts: the first requests of new isolates and instances.

use std::fmt::{self, Formatter};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::statistics::{median, percentile};

use super::candidate::{BenchEdge, Candidate, CandidateSetup, RequestStyle};
use super::load::Load;
use super::table::{Align, write_head, write_row};
use super::workload::Workload;

/// Number of starts of each candidate.
pub(super) const STARTS: usize = 10;
/// Idle time after which the wasmtime host drops an instance, as Spin does.
const INSTANCE_IDLE_TIME: Duration = Duration::from_millis(1_300);
const HEADINGS: [(&str, Align); 4] = [
    ("edge", Align::Left),
    ("candidate", Align::Left),
    ("first request", Align::Right),
    ("second request", Align::Right),
];

/// Durations of the first two requests, in milliseconds.
#[derive(Debug)]
pub(super) struct ColdStarts {
    edge: BenchEdge,
    name: &'static str,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// Starts every candidate several times, in turn: on Workers in a new workerd each time, on Spin by
/// waiting until the previous instance was dropped. `prepare` runs on each candidate after its
/// start.
pub(super) async fn run(
    edge: BenchEdge,
    upstream: &str,
    setups: &[CandidateSetup],
    prepare: impl AsyncFn(&Candidate) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<ColdStarts>> {
    eprintln!("  {STARTS} starts of each candidate");
    let new = |setup: &CandidateSetup| ColdStarts {
        edge,
        name: setup.name,
        first: Vec::new(),
        second: Vec::new(),
    };
    let mut all: Vec<ColdStarts> = setups.iter().map(new).collect();
    match edge {
        BenchEdge::Cloudflare => {
            for _ in 0..STARTS {
                for (starts, setup) in all.iter_mut().zip(setups) {
                    let candidate = edge.gateway(upstream, setup)?;
                    prepare(&candidate).await?;
                    starts.measure(&candidate).await?;
                }
            }
        }
        BenchEdge::Spin => {
            let candidates = edge.gateways(upstream, setups.iter().cloned())?;
            for candidate in &candidates {
                prepare(candidate).await?;
                // The very first request opens the connection to the upstream.
                send_two(candidate).await?;
            }
            for _ in 0..STARTS {
                sleep(INSTANCE_IDLE_TIME).await;
                for (starts, candidate) in all.iter_mut().zip(&candidates) {
                    starts.measure(candidate).await?;
                }
            }
        }
    }
    Ok(all)
}

/// Durations of two requests in sequence, in milliseconds.
async fn send_two(candidate: &Candidate) -> anyhow::Result<Vec<f64>> {
    let load = Load {
        address: candidate.address,
        workload: Workload::Json,
        is_gateway: candidate.is_gateway,
        style: RequestStyle::default(),
        connections: 1,
        warm_up: Duration::ZERO,
        duration: Duration::ZERO,
    };
    load.send(2).await
}

/// Writes a table of cold starts: medians, with minimum and maximum.
pub(super) fn write_starts(f: &mut Formatter<'_>, all: &[ColdStarts]) -> fmt::Result {
    write_head(f, &HEADINGS)?;
    for ColdStarts { edge, name, first, second } in all {
        let range = |times: &[f64]| {
            let (min, max) = (percentile(times, 0.0), percentile(times, 1.0));
            format!("{:.2} ms ({min:.2} to {max:.2})", median(times))
        };
        write_row(f, [edge.title(), name, &range(first), &range(second)])?;
    }
    Ok(())
}

impl ColdStarts {
    async fn measure(&mut self, candidate: &Candidate) -> anyhow::Result<()> {
        let times = send_two(candidate).await?;
        self.first.push(times[0]);
        self.second.push(times[1]);
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "edge": self.edge.title(),
            "candidate": self.name,
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
