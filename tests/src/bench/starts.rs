//! The first requests of isolates and instances that have not been asked before.

use std::fmt::{self, Formatter};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::contestant::{Contestant, Edge, Manner, Setup};
use super::load::Load;
use super::statistics::{median, percentile};
use super::subject::Subject;

/// How many are started on each side.
pub(super) const STARTS: usize = 10;
/// After so long the wasmtime host drops an instance that nobody asks, as Spin does.
const IDLE: Duration = Duration::from_millis(1_300);

/// How long the first two requests took, in milliseconds.
#[derive(Debug)]
pub(super) struct Starts {
    edge: Edge,
    name: &'static str,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// Has every side start so often, in turn: on Workers in a new workerd each time, on Spin by waiting
/// until the instance before was dropped. `prepare` is done to whatever was started.
pub(super) async fn run(
    edge: Edge,
    upstream: &str,
    sides: &[Setup],
    prepare: impl AsyncFn(&Contestant) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Starts>> {
    eprintln!("  {STARTS} starts on each side");
    let new =
        |side: &Setup| Starts { edge, name: side.name, first: Vec::new(), second: Vec::new() };
    let mut all: Vec<Starts> = sides.iter().map(new).collect();
    match edge {
        Edge::Cloudflare => {
            for _ in 0..STARTS {
                for (starts, side) in all.iter_mut().zip(sides) {
                    let contestant = edge.gateway(upstream, side)?;
                    prepare(&contestant).await?;
                    starts.look(&contestant).await?;
                }
            }
        }
        Edge::Spin => {
            let contestants = edge.gateways(upstream, sides.iter().cloned())?;
            for contestant in &contestants {
                prepare(contestant).await?;
                // The first one of all makes the connection to the upstream.
                ask(contestant).await?;
            }
            for _ in 0..STARTS {
                sleep(IDLE).await;
                for (starts, contestant) in all.iter_mut().zip(&contestants) {
                    starts.look(contestant).await?;
                }
            }
        }
    }
    Ok(all)
}

/// How long two answers took, one after the other.
async fn ask(contestant: &Contestant) -> anyhow::Result<Vec<f64>> {
    let load = Load {
        address: contestant.address,
        subject: Subject::Json,
        is_gateway: contestant.is_gateway,
        manner: Manner::default(),
        connections: 1,
        warm_up: Duration::ZERO,
        duration: Duration::ZERO,
    };
    load.ask(2).await
}

/// A table of them: medians, with the least and the greatest.
pub(super) fn table(f: &mut Formatter<'_>, all: &[Starts]) -> fmt::Result {
    writeln!(f, "| | | first | second |\n| --- | --- | --: | --: |")?;
    for Starts { edge, name, first, second } in all {
        let range = |times: &[f64]| {
            let (least, greatest) = (percentile(times, 0.0), percentile(times, 1.0));
            format!("{:.2} ms ({least:.2} to {greatest:.2})", median(times))
        };
        writeln!(f, "| {} | {name} | {} | {} |", edge.title(), range(first), range(second))?;
    }
    Ok(())
}

impl Starts {
    async fn look(&mut self, contestant: &Contestant) -> anyhow::Result<()> {
        let times = ask(contestant).await?;
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
    pub(super) fn told(name: &'static str, first: Vec<f64>, second: Vec<f64>) -> Self {
        Self { edge: Edge::Spin, name, first, second }
    }
}
