//! `serin-bench`: measures both edges and their baselines. `cargo xtask bench` builds its inputs
//! and runs it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tests::bench::{self, BenchEdge, Options, Part};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
serin-bench [--on cloudflare|spin|all] [--only PART] [--seconds N] [--quick] [--paced] [--json]

  --on EDGE    the edge to measure (default all)
  --only PART  the only part to run:
                 gateway    the gateway and its baselines
                 limits     a route with limits and the same route without; the ledger alone
                 streams    held-back events, a thousand open streams, a stream of a million events
                 guards     each kind of guard and no guard; the first content of guarded streams
                 cache      cached and uncached responses; the size of cache entries
                 recording  request records and exports; the first request of an isolate
  --seconds N  time for each candidate and workload, all rounds together (default 5). The part
               limits takes 2.5 times as long, the parts guards and cache about half as long
  --quick      the same as --seconds 1, to check that the benchmark works
  --paced      adds streams with 10 ms between events
  --json       prints the report as JSON instead of Markdown";

/// Role of this process: the benchmark starts copies of itself.
enum Role {
    Bench(Options, Format),
    Upstream,
    Component { file: String, app: String },
    Help,
}

#[derive(Clone, Copy)]
enum Format {
    Markdown,
    Json,
}

fn main() -> ExitCode {
    let role = match parse(std::env::args().skip(1)) {
        Ok(role) => role,
        Err(error) => {
            eprintln!("{error:#}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> anyhow::Result<()> {
    let mut runtime = match role {
        // One thread sends all requests: wake-ups across threads would be part of the measurement.
        Role::Bench(..) => Builder::new_current_thread(),
        Role::Upstream | Role::Component { .. } | Role::Help => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(run_until_signal(run_role(role)))
}

/// Runs the work until SIGINT or SIGTERM. Dropping the work ends the processes that it has started.
async fn run_until_signal(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn run_role(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Help => println!("{USAGE}"),
        Role::Bench(options, format) => {
            let report = bench::run(&options).await?;
            match format {
                Format::Markdown => print!("{report}"),
                Format::Json => println!("{:#}", report.to_json()),
            }
        }
        Role::Upstream => {
            let (_server, address) = bench::serve_upstream().await?;
            println!("{address}");
            bench::until_parent_exits().await;
        }
        Role::Component { file, app } => {
            tokio::select! {
                served = bench::serve_component(Path::new(&file), &app) => served?,
                () = bench::until_parent_exits() => {}
            }
        }
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Role> {
    let edges = vec![BenchEdge::Cloudflare, BenchEdge::Spin];
    let mut options = Options { edges, time: Duration::from_secs(5), paced: false, only: None };
    let mut format = Format::Markdown;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "upstream" => return Ok(Role::Upstream),
            "component" => return Ok(Role::Component { file: value()?, app: value()? }),
            "--help" | "-h" => return Ok(Role::Help),
            "--quick" => options.time = Duration::from_secs(1),
            "--paced" => options.paced = true,
            "--json" => format = Format::Json,
            "--seconds" => {
                let seconds = value()?.parse().context("--seconds needs a number")?;
                options.time = Duration::try_from_secs_f64(seconds)?;
            }
            "--only" => {
                options.only = Some(match value()?.as_str() {
                    "gateway" => Part::Gateway,
                    "limits" => Part::Limits,
                    "streams" => Part::Streams,
                    "guards" => Part::Guards,
                    "cache" => Part::Cache,
                    "recording" => Part::Recording,
                    other => bail!("unknown part {other}"),
                });
            }
            "--on" => {
                options.edges = match value()?.as_str() {
                    "cloudflare" => vec![BenchEdge::Cloudflare],
                    "spin" => vec![BenchEdge::Spin],
                    "all" => options.edges,
                    other => bail!("--on needs cloudflare, spin or all, not {other}"),
                }
            }
            other => bail!("unknown option {other}"),
        }
    }
    Ok(Role::Bench(options, format))
}
