//! Builds of the Worker, the component, and the programs that serve them or simulate providers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::child::Processes;
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
    announce("building the Worker (about four minutes the first time)");
    processes.run_checked(
        "the bundler's build",
        cargo().args(["build", "-p", "worker-bundle"]),
        BUILD_TIMEOUT,
    )?;
    let mut bundle = Command::new(target_directory()?.join("debug/worker-bundle"));
    processes.run_checked(
        "the Worker's build",
        bundle.current_dir(root()).arg("edge-cloudflare"),
        BUILD_TIMEOUT,
    )
}

/// Builds the Spin component and returns its path.
pub(crate) fn component(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    console(processes)?;
    announce("building the Spin component (about two minutes the first time)");
    let arguments = ["build", "--release", "--target", COMPONENT_TARGET, "-p", "edge-spin"];
    processes.run_checked("the component's build", cargo().args(arguments), BUILD_TIMEOUT)?;
    Ok(target_directory()?.join(COMPONENT_TARGET).join("release/edge_spin.wasm"))
}

/// Builds the simulated provider and returns its path.
pub(crate) fn demo_provider(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    announce("building the simulated providers (about half a minute the first time)");
    let arguments = ["build", "-p", "sim", "--bin", "serin-upstream"];
    processes.run_checked(
        "the simulated providers' build",
        cargo().args(arguments),
        BUILD_TIMEOUT,
    )?;
    Ok(target_directory()?.join("debug/serin-upstream"))
}

/// Builds the wasmtime host, which serves the component without Spin, and returns its path.
pub(crate) fn spin_host(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    announce("building the wasmtime host (about six minutes the first time)");
    let arguments = ["build", "-p", "tests", "--bin", "serin-spin-host"];
    processes.run_checked("the host's build", cargo().args(arguments), BUILD_TIMEOUT)?;
    Ok(target_directory()?.join("debug/serin-spin-host"))
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
