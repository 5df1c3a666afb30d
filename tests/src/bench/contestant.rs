//! Who is measured: the gateway and its baselines on each edge, each in a process of its own.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::process::Process;
use super::subject::{CALLER_KEY, configuration};
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
}

/// One of those that are measured.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// It records its requests, and hides the usage that it asked for.
    pub(super) is_gateway: bool,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

fn workers(upstream: &str) -> anyhow::Result<Vec<Contestant>> {
    run(node()?.args(["edge-cloudflare/build.mjs", "tests/baseline-worker"]))?;
    let upstream_url = format!("http://{upstream}");
    let baseline = [("UPSTREAM", upstream_url)];
    let secrets = [
        ("GATEWAY_CONFIG", configuration(upstream)),
        ("UPSTREAM_KEY", "sk-bench-upstream".to_owned()),
        ("CALLER_KEY", CALLER_KEY.to_owned()),
    ];
    Ok(vec![
        worker("JavaScript pass-through", "tests/baseline-worker/passthrough.mjs", &baseline)?,
        worker("bare Rust pass-through", "tests/baseline-worker/build/index.js", &baseline)?,
        Contestant {
            is_gateway: true,
            ..worker("serin", "edge-cloudflare/build/index.js", &secrets)?
        },
    ])
}

/// Starts workerd with one Worker.
fn worker(
    name: &'static str,
    script: &str,
    bindings: &[(&str, String)],
) -> anyhow::Result<Contestant> {
    let address = free_address()?;
    let directory = scratch()?.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&directory)?;
    // workerd embeds files by paths below its configuration's.
    let script = root().join(script);
    let copy = |from: &Path, to: &str| {
        std::fs::copy(from, directory.join(to)).with_context(|| {
            format!("{} is missing: `cargo xtask bench` builds it", from.display())
        })
    };
    copy(&script, "index.js")?;
    let mut modules = r#"(name = "index.js", esModule = embed "index.js"),"#.to_owned();
    let wasm = script.with_file_name("index_bg.wasm");
    if wasm.exists() {
        copy(&wasm, "index_bg.wasm")?;
        modules.push_str(r#"(name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),"#);
    }
    let mut variables = String::new();
    for (binding, value) in bindings {
        std::fs::write(directory.join(binding), value)?;
        write!(variables, r#"(name = "{binding}", text = embed "{binding}"),"#)?;
    }
    let (date, flags) = deployed()?;
    let configuration = directory.join("config.capnp");
    let text = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "main", worker = (
      modules = [{modules}],
      bindings = [{variables}],
      compatibilityDate = {date},
      compatibilityFlags = {flags},
    )),
  ],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")],
);
"#
    );
    std::fs::write(&configuration, text)?;
    let process = Process::start(Command::new(workerd()?).arg("serve").arg(&configuration))?;
    let process = process.listening(address).with_context(|| format!("workerd with {name}"))?;
    Ok(Contestant { name, is_gateway: false, address, process })
}

fn components(upstream: &str) -> anyhow::Result<Vec<Contestant>> {
    let arguments = ["build", "--release", "--target", "wasm32-wasip2", "-p", "baseline-component"];
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(arguments))?;
    let variables = json!({
        "gateway_config": configuration(upstream),
        "upstream_key": "sk-bench-upstream",
        "caller_key": CALLER_KEY,
    });
    Ok(vec![
        component("bare component", "baseline_component", &json!({ "upstream": upstream }))?,
        Contestant { is_gateway: true, ..component("serin", "edge_spin", &variables)? },
    ])
}

/// Starts the wasmtime host with one component.
fn component(name: &'static str, artifact: &str, variables: &Value) -> anyhow::Result<Contestant> {
    let file = component_file(artifact);
    let mut command = Command::new(std::env::current_exe()?);
    let process = Process::start(command.arg("component").arg(file).arg(variables.to_string()))?;
    let address = process.first_line().and_then(|line| Ok(line.parse()?));
    let address = address.with_context(|| format!("the wasmtime host with {name}"))?;
    Ok(Contestant { name, is_gateway: false, address, process })
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

/// The program that wrangler runs, without the Node script around it.
pub(super) fn workerd() -> anyhow::Result<PathBuf> {
    let packages = root().join("node_modules/@cloudflare");
    let packages = packages.read_dir().context("node_modules is missing: run `npm ci`")?;
    let programs = packages.flatten().map(|package| package.path().join("bin/workerd"));
    programs.filter(|program| program.exists()).last().context("node_modules has no workerd")
}

/// The compatibility date and flags of `wrangler.toml`, as they are written: strings and lists look
/// alike in TOML and in Cap'n Proto.
fn deployed() -> anyhow::Result<(String, String)> {
    let text = std::fs::read_to_string(root().join("wrangler.toml"))?;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once('='))?.1;
        Some(value.trim().to_owned())
    };
    let date = value("compatibility_date").context("wrangler.toml has no compatibility_date")?;
    Ok((date, value("compatibility_flags").unwrap_or_else(|| "[]".to_owned())))
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

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn scratch() -> anyhow::Result<PathBuf> {
    let directory = root().join("target/bench");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
