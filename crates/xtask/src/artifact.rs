//! Builds of the Worker, the component, and the programs that serve them or simulate providers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::child::Processes;
use crate::freshness::LastBuild;
use crate::root;
use crate::tools::{announce, runs};

/// Limit of one build: longer than the slowest cold build on two cores.
const BUILD_TIMEOUT: Duration = Duration::from_secs(40 * 60);

pub(crate) const WORKER_TARGET: &str = "wasm32-unknown-unknown";
pub(crate) const COMPONENT_TARGET: &str = "wasm32-wasip2";

/// Builds the web console, unless none of its files has changed. Without Node the artifacts have none.
pub(crate) fn console(processes: &mut Processes) -> anyhow::Result<()> {
    if !runs("node") {
        announce("Node.js is missing: the web console is left out");
        return Ok(());
    }
    let mut build = Command::new("node");
    build.current_dir(root()).arg("console/build.mjs");
    processes.run_checked("the console's build", &mut build, BUILD_TIMEOUT)
}

/// Builds the Worker into `edge-cloudflare/build`, as `wrangler deploy` does.
pub(crate) fn worker(processes: &mut Processes) -> anyhow::Result<()> {
    console(processes)?;
    let this = LastBuild::of("worker", &target_directory()?);
    announce("building the Worker (about four minutes the first time)");
    processes.run_checked(
        "the bundler's build",
        locked_build().args(["-p", "worker-bundle"]),
        BUILD_TIMEOUT,
    )?;
    let mut bundle = Command::new(target_directory()?.join("debug/worker-bundle"));
    processes.run_checked(
        "the Worker's build",
        bundle.current_dir(root()).arg("edge-cloudflare"),
        BUILD_TIMEOUT,
    )?;
    this.record()
}

/// Path of the Worker's code as cargo compiles it: with the names of functions, before wasm-opt.
pub(crate) fn worker_code() -> anyhow::Result<PathBuf> {
    Ok(target_directory()?.join(WORKER_TARGET).join("release/edge_cloudflare.wasm"))
}

/// Builds the Worker, unless nothing that it is made of has changed.
pub(crate) fn current_worker(processes: &mut Processes) -> anyhow::Result<()> {
    let last = LastBuild::of("worker", &target_directory()?);
    if last.is_current(&root(), &root().join("edge-cloudflare/build/index.js")) {
        return Ok(());
    }
    worker(processes)
}

/// Builds the Spin component, unless nothing that it is made of has changed, and returns its path.
pub(crate) fn current_component(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    let last = LastBuild::of("component", &target_directory()?);
    let built = component_path()?;
    if last.is_current(&root(), &built) { Ok(built) } else { component(processes) }
}

/// Builds the Spin component and returns its path.
pub(crate) fn component(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    console(processes)?;
    let this = LastBuild::of("component", &target_directory()?);
    announce("building the Spin component (about two minutes the first time)");
    let arguments = ["--release", "--target", COMPONENT_TARGET, "-p", "edge-spin"];
    processes.run_checked(
        "the component's build",
        locked_build().args(arguments),
        BUILD_TIMEOUT,
    )?;
    this.record()?;
    component_path()
}

fn component_path() -> anyhow::Result<PathBuf> {
    Ok(target_directory()?.join(COMPONENT_TARGET).join("release/edge_spin.wasm"))
}

/// Builds the simulated provider and returns its path.
pub(crate) fn demo_provider(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    announce("building the simulated providers (about half a minute the first time)");
    let arguments = ["-p", "sim", "--bin", "serin-upstream"];
    processes.run_checked(
        "the simulated providers' build",
        locked_build().args(arguments),
        BUILD_TIMEOUT,
    )?;
    Ok(target_directory()?.join("debug/serin-upstream"))
}

/// Builds the wasmtime host, which serves the component without Spin, and returns its path.
pub(crate) fn spin_host(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    announce("building the wasmtime host (about six minutes the first time)");
    let arguments = ["-p", "tests", "--bin", "serin-spin-host"];
    processes.run_checked("the host's build", locked_build().args(arguments), BUILD_TIMEOUT)?;
    Ok(target_directory()?.join("debug/serin-spin-host"))
}

/// Build with the versions of Cargo.lock, and no others.
fn locked_build() -> Command {
    let mut command = cargo();
    command.args(["build", "--locked"]);
    command
}

/// Command for the cargo that runs xtask, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Target directory of cargo, which contains this program.
fn target_directory() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.ancestors().nth(2).context("cargo builds into target/PROFILE")?;
    Ok(directory.to_owned())
}
