//! Who is measured: the gateway and its baselines on each edge, each in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::process::Process;
use super::subject::{Budget, CALLER_KEY, configuration};
use super::worker::{self, Doors, Storage, Worker};
use crate::spin::{App, SpinHost};
use crate::workerd::root;

/// An edge that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// workerd on a configuration of its own, without Miniflare or wrangler around it.
    Cloudflare,
    /// The wasmtime host of this package.
    Spin,
}

impl Edge {
    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cloudflare => "Cloudflare (raw workerd)",
            Self::Spin => "Spin (the wasmtime host)",
        }
    }

    /// Builds what is only built to be measured against, and starts everyone; the baseline of all
    /// ratios comes first.
    pub(super) fn contestants(self, upstream: &str) -> anyhow::Result<Vec<Contestant>> {
        match self {
            Self::Cloudflare => workers(upstream),
            Self::Spin => components(upstream),
        }
    }

    /// Starts gateways that differ in what their callers are held to. The first two do not differ:
    /// what lies between them is noise.
    pub(super) fn budgets(self, upstream: &str) -> anyhow::Result<Vec<Contestant>> {
        let start = match self {
            Self::Cloudflare => gateway_worker,
            Self::Spin => gateway_component,
        };
        let entries = [
            ("no limit", Budget::Unlimited),
            ("no limit, again", Budget::Unlimited),
            ("a limit", Budget::Limited),
            ("a leased limit", Budget::Leased),
        ];
        entries.into_iter().map(|(name, budget)| start(name, upstream, budget)).collect()
    }

    /// Where budgets are kept while they are measured.
    pub(super) fn keeps_budgets(self) -> String {
        match self {
            Self::Cloudflare => format!(
                "Budgets are kept by Durable Objects of the same workerd, hence on the same thread, \
                 in SQLite files in `{}`",
                worker::storage().display()
            ),
            Self::Spin => {
                "Budgets are kept in the memory of the host, by compare-and-swap".to_owned()
            }
        }
    }
}

/// One of those that are measured.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// It records its requests, and hides the usage that it asked for.
    pub(super) is_gateway: bool,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    /// Dropped after the process that writes to it.
    pub(super) _storage: Option<Storage>,
}

fn workers(upstream: &str) -> anyhow::Result<Vec<Contestant>> {
    run(node()?.args(["edge-cloudflare/build.mjs", "tests/baseline-worker"]))?;
    let baseline = |name, script| {
        let bindings = vec![("UPSTREAM", format!("http://{upstream}"))];
        Worker { name, script, bindings, doors: Doors::None }.start()
    };
    Ok(vec![
        baseline("JavaScript pass-through", "tests/baseline-worker/passthrough.mjs")?,
        baseline("bare Rust pass-through", "tests/baseline-worker/build/index.js")?,
        gateway_worker("serin", upstream, Budget::Unlimited)?,
    ])
}

fn gateway_worker(
    name: &'static str,
    upstream: &str,
    budget: Budget,
) -> anyhow::Result<Contestant> {
    let bindings = vec![
        ("GATEWAY_CONFIG", configuration(upstream, budget)),
        ("UPSTREAM_KEY", "sk-bench-upstream".to_owned()),
        ("CALLER_KEY", CALLER_KEY.to_owned()),
    ];
    let script = "edge-cloudflare/build/index.js";
    let worker = Worker { name, script, bindings, doors: Doors::Serin };
    Ok(Contestant { is_gateway: true, ..worker.start()? })
}

fn components(upstream: &str) -> anyhow::Result<Vec<Contestant>> {
    let arguments = ["build", "--release", "--target", "wasm32-wasip2", "-p", "baseline-component"];
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(arguments))?;
    Ok(vec![
        component("bare component", "baseline_component", &json!({ "upstream": upstream }))?,
        gateway_component("serin", upstream, Budget::Unlimited)?,
    ])
}

fn gateway_component(
    name: &'static str,
    upstream: &str,
    budget: Budget,
) -> anyhow::Result<Contestant> {
    let variables = json!({
        "gateway_config": configuration(upstream, budget),
        "upstream_key": "sk-bench-upstream",
        "caller_key": CALLER_KEY,
    });
    Ok(Contestant { is_gateway: true, ..component(name, "edge_spin", &variables)? })
}

/// Starts the wasmtime host with one component.
fn component(name: &'static str, artifact: &str, variables: &Value) -> anyhow::Result<Contestant> {
    let file = component_file(artifact);
    let mut command = Command::new(std::env::current_exe()?);
    let process = Process::start(command.arg("component").arg(file).arg(variables.to_string()))?;
    let address = process.first_line().and_then(|line| Ok(line.parse()?));
    let address = address.with_context(|| format!("the wasmtime host with {name}"))?;
    Ok(Contestant { name, is_gateway: false, address, process, _storage: None })
}

/// Serves a component, prints where, and then what it logs, until the future is dropped. For the
/// process of a contestant.
pub async fn serve_component(file: &Path, variables: &str) -> anyhow::Result<()> {
    let host = SpinHost::start(file)?;
    let mut app = App::new("bench");
    app.variables = serde_json::from_str(variables)?;
    let mut lines = host.lines(&app.name);
    println!("{}", host.serve(app).await?);
    while let Some(line) = lines.recv().await {
        println!("{line}");
    }
    Ok(())
}

/// Where cargo leaves a component.
pub(super) fn component_file(artifact: &str) -> PathBuf {
    root().join(format!("target/wasm32-wasip2/release/{artifact}.wasm"))
}

fn node() -> anyhow::Result<Command> {
    let node = root().join("node_modules/.bin/node");
    ensure!(node.exists(), "node_modules is missing: run `npm ci`");
    let mut command = Command::new(node);
    command.current_dir(root());
    Ok(command)
}

/// Runs a command to its end. Its output goes to standard error, since standard output is the report's.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdout(std::io::stderr()).status();
    let status =
        status.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    Ok(())
}
