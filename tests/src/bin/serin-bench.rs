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

  --on EDGE    which edge (default all)
  --only PART  gateway: the gateway beside its baselines; limits: a route with limits beside one without;
               streams: what holding streams back costs, and what a thousand open ones and a million
               events take; guards: each kind beside none, and the first content of streams that wait for
               them; cache: an answer that is kept beside one that is not; recording: what is written down
               of requests, and what the first request of an isolate waits for
  --seconds N  how long each contestant is asked at each task, all rounds together (default 5);
               of limits two rounds of five, so that they take two and a half times as long; of guards
               and of the cache about a half of it
  --quick      the same as --seconds 1: shows that it works, measures little
  --paced      streams whose events come one at a time, too
  --json       the report as JSON";

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
    runtime.enable_all().build()?.block_on(until_told(play(role)))
}

/// Runs the work until SIGINT or SIGTERM. Dropping the work ends the processes that it has started.
async fn until_told(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn play(role: Role) -> anyhow::Result<()> {
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
                    other => bail!("{other} is not a part"),
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
            other => bail!("{other} is not an option"),
        }
    }
    Ok(Role::Bench(options, format))
}
