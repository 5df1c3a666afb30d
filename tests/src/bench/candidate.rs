//! Benchmark candidates: the gateway and its baselines on each edge, each in its own process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::component::component_file;
use crate::spin::{SpinApp, SpinHost};
use crate::workerd::root;

use super::process::Process;
use super::worker::{self, Bindings, HostFeatures, ObjectStorage, Worker};
use super::workload::{ADMIN_TOKEN, Budget, CALLER_KEY, configuration};

/// A measured edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchEdge {
    /// workerd with its own configuration, without Miniflare or wrangler around it.
    Cloudflare,
    /// This package's wasmtime host.
    Spin,
}

impl BenchEdge {
    /// Name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cloudflare => "Cloudflare (raw workerd)",
            Self::Spin => "Spin (wasmtime host)",
        }
    }

    /// Builds the artifacts that only the benchmark needs, and starts all candidates; the baseline
    /// of all ratios comes first.
    pub(super) fn candidates(self, upstream: &str) -> anyhow::Result<Vec<Candidate>> {
        match self {
            Self::Cloudflare => workers(upstream),
            Self::Spin => components(upstream),
        }
    }

    /// Builds and starts a pass-through in Rust, which does nothing else.
    pub(super) fn bare(self, upstream: &str) -> anyhow::Result<Candidate> {
        match self {
            Self::Cloudflare => bare_worker(upstream),
            Self::Spin => bare_component(upstream),
        }
    }

    /// Starts gateways that differ in their limits. The first two are identical: the difference
    /// between them is noise.
    pub(super) fn limited_gateways(self, upstream: &str) -> anyhow::Result<Vec<Candidate>> {
        let entries = [
            ("no limit", Budget::Unlimited),
            ("no limit, repeated", Budget::Unlimited),
            ("limit", Budget::Limited),
            ("leased limit", Budget::Leased),
        ];
        let setups = entries.map(|(name, budget)| CandidateSetup::with(name, budget.members()));
        self.gateways(upstream, setups)
    }

    /// Starts one gateway for each setup.
    pub(super) fn gateways(
        self,
        upstream: &str,
        setups: impl IntoIterator<Item = CandidateSetup>,
    ) -> anyhow::Result<Vec<Candidate>> {
        setups.into_iter().map(|setup| self.gateway(upstream, &setup)).collect()
    }

    pub(super) fn gateway(
        self,
        upstream: &str,
        setup: &CandidateSetup,
    ) -> anyhow::Result<Candidate> {
        match self {
            Self::Cloudflare => gateway_worker(upstream, setup),
            Self::Spin => gateway_component(upstream, setup),
        }
    }

    /// Location of the ledger during the measurement.
    pub(super) fn ledger_location(self) -> String {
        match self {
            Self::Cloudflare => format!(
                "The ledger runs in Durable Objects of the same workerd, hence on the same thread, \
                 with SQLite files in `{}`",
                worker::storage().display()
            ),
            Self::Spin => {
                "The ledger is in the host's memory and changes by compare-and-swap".to_owned()
            }
        }
    }
}

/// A running process under measurement.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: &'static str,
    /// Whether it is the gateway, which records its requests and removes the usage that it added to
    /// the request.
    pub(super) is_gateway: bool,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    /// Request style.
    pub(super) style: RequestStyle,
    /// Address at which a Worker's store lists its contents.
    pub(super) store_address: SocketAddr,
    /// Dropped after the process that writes to it.
    pub(super) _storage: Option<ObjectStorage>,
}

/// Differences from the plain gateway.
#[derive(Clone, Debug)]
pub(super) struct CandidateSetup {
    pub(super) name: &'static str,
    /// Additional members of its configuration.
    pub(super) members: Value,
    /// Features that its host offers.
    pub(super) features: HostFeatures,
    pub(super) style: RequestStyle,
}

/// Request style of a candidate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestStyle {
    pub(super) question: QuestionReuse,
    pub(super) cache: ExpectedCache,
    /// Time for deferred work after a turn: it is part of the turn's cost.
    pub(super) deferred: Duration,
}

/// Choice of the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum QuestionReuse {
    /// The same body each time.
    #[default]
    Same,
    /// A body that has not been sent before.
    Fresh,
}

/// Cache status that responses must report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ExpectedCache {
    /// None: there is no cache.
    #[default]
    Nothing,
    Miss,
    Hit,
    /// Either a hit or a miss.
    Either,
}

impl CandidateSetup {
    /// A gateway with these additional members in its configuration.
    pub(super) fn with(name: &'static str, members: Value) -> Self {
        Self { name, members, features: HostFeatures::ALL, style: RequestStyle::default() }
    }
}

fn workers(upstream: &str) -> anyhow::Result<Vec<Candidate>> {
    Ok(vec![
        pass_through("JavaScript pass-through", "tests/baseline-worker/passthrough.mjs", upstream)?,
        pass_through("JavaScript with parsing", "tests/baseline-worker/pieces.mjs", upstream)?,
        bare_worker(upstream)?,
        gateway_worker(upstream, &CandidateSetup::with("serin", json!({})))?,
    ])
}

fn gateway_worker(upstream: &str, setup: &CandidateSetup) -> anyhow::Result<Candidate> {
    let CandidateSetup { name, members, features, style } = setup;
    let bindings = vec![
        ("GATEWAY_CONFIG", configuration(upstream, members)),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("UPSTREAM_KEY", "sk-bench-upstream".to_owned()),
        ("CALLER_KEY", CALLER_KEY.to_owned()),
    ];
    let script = "edge-cloudflare/build/index.js";
    let worker = Worker { name, script, bindings, services: Bindings::Gateway(*features) };
    Ok(Candidate { is_gateway: true, style: *style, ..worker.start()? })
}

fn bare_worker(upstream: &str) -> anyhow::Result<Candidate> {
    run(node()?.args(["edge-cloudflare/build.mjs", "tests/baseline-worker"]))?;
    let script = "tests/baseline-worker/build/index.js";
    pass_through("bare Rust pass-through", script, upstream)
}

fn pass_through(name: &'static str, script: &str, upstream: &str) -> anyhow::Result<Candidate> {
    let bindings = vec![("UPSTREAM", format!("http://{upstream}"))];
    Worker { name, script, bindings, services: Bindings::None }.start()
}

fn components(upstream: &str) -> anyhow::Result<Vec<Candidate>> {
    Ok(vec![
        bare_component(upstream)?,
        gateway_component(upstream, &CandidateSetup::with("serin", json!({})))?,
    ])
}

fn bare_component(upstream: &str) -> anyhow::Result<Candidate> {
    let arguments = ["build", "--release", "--target", "wasm32-wasip2", "-p", "baseline-component"];
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(arguments))?;
    let variables = json!({ "upstream": upstream });
    component("bare component", "baseline_component", &variables, HostFeatures::ALL)
}

fn gateway_component(upstream: &str, setup: &CandidateSetup) -> anyhow::Result<Candidate> {
    let CandidateSetup { name, members, features, style } = setup;
    let variables = json!({
        "gateway_config": configuration(upstream, members),
        "admin_token": ADMIN_TOKEN,
        "upstream_key": "sk-bench-upstream",
        "caller_key": CALLER_KEY,
    });
    let component = component(name, "edge_spin", &variables, *features)?;
    Ok(Candidate { is_gateway: true, style: *style, ..component })
}

/// Starts the wasmtime host with one component.
fn component(
    name: &'static str,
    artifact: &str,
    variables: &Value,
    features: HostFeatures,
) -> anyhow::Result<Candidate> {
    let app = json!({ "variables": variables, "store": features.ledger });
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("component").arg(component_file(artifact)).arg(app.to_string());
    let process = Process::start(&mut command)?;
    let address = process.next_line().and_then(|line| Ok(line.parse()?));
    let address = address.with_context(|| format!("the wasmtime host with {name}"))?;
    Ok(Candidate {
        name,
        is_gateway: false,
        address,
        process,
        style: RequestStyle::default(),
        store_address: address,
        _storage: None,
    })
}

/// Serves a component (`app` is JSON: its `variables`, and whether it has a `store`), prints its
/// address and then its log until the future is dropped. For a candidate's process.
pub async fn serve_component(file: &Path, app: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct ComponentOptions {
        variables: BTreeMap<String, String>,
        store: bool,
    }
    let ComponentOptions { variables, store } = serde_json::from_str(app)?;
    let host = SpinHost::start(file)?;
    let app = SpinApp { variables, no_store: !store, ..SpinApp::new("bench") };
    let mut lines = host.lines(&app.name);
    println!("{}", host.serve(app).await?);
    while let Some(line) = lines.recv().await {
        println!("{line}");
    }
    Ok(())
}

fn node() -> anyhow::Result<Command> {
    let node = root().join("node_modules/.bin/node");
    ensure!(node.exists(), "node_modules is missing: run `npm ci`");
    let mut command = Command::new(node);
    command.current_dir(root());
    Ok(command)
}

/// Runs a command to its end. Its output goes to standard error, since standard output is the
/// report's.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdout(std::io::stderr()).status();
    let status =
        status.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    Ok(())
}
