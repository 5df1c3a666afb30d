//! Installs missing tools: compiler targets, Node packages, and for the tests a Python environment, a
//! Redis server, and a browser.
//!
//! Each step prints its download, the reason and the expected time. Existing tools stay unchanged.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use crate::child::Processes;
use crate::root;

const INSTALL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Python packages of the edge tests: the official clients, agent frameworks, parsers for metrics and spans,
/// a reader of OpenAPI documents that sends what they allow, and a check of answers against such documents.
const PYTHON_PACKAGES: [&str; 8] = [
    "openai==3.57.0",
    "anthropic==2.14.0",
    "openai-agents==0.24.0",
    "pydantic-ai-slim[openai,anthropic]==2.66.0",
    "prometheus-client==0.26.0",
    "opentelemetry-proto==1.45.2",
    "schemathesis==4.32.5",
    "llm-comply==0.5.0",
];

/// Coding agents of the edge tests. They are large, and installed beside the repository.
const AGENT_PACKAGES: [&str; 3] =
    ["@anthropic-ai/claude-code@2.1.332", "@openai/codex@0.171.0", "node@24.21.0"];

/// Directory of the installed tools, shared by all clones.
pub(crate) fn cache() -> PathBuf {
    let chosen = std::env::var_os("SERIN_TOOLS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/serin");
    chosen.unwrap_or_else(home)
}

/// Installs a compiler target unless it is present.
pub(crate) fn target(processes: &mut Processes, name: &str) -> anyhow::Result<()> {
    let output =
        Command::new("rustc").args(["--print", "target-libdir", "--target", name]).output();
    let directory = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if directory.is_ok_and(|directory| !directory.is_empty() && Path::new(&directory).is_dir()) {
        return Ok(());
    }
    announce(&format!(
        "Rust's standard library for {name}, which the gateway is compiled for (seconds)"
    ));
    let mut command = Command::new("rustup");
    processes.run_checked(
        "rustup",
        command.current_dir(root()).args(["target", "add", name]),
        INSTALL_TIMEOUT,
    )
}

/// Installs the packages of `package-lock.json` unless `node_modules` is up to date.
pub(crate) fn packages(processes: &mut Processes) -> anyhow::Result<()> {
    let root = root();
    // npm writes this file last, so it marks a complete installation.
    let installed = modified(&root.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(&root.join("package-lock.json")) {
        return Ok(());
    }
    announce(
        "Node packages into node_modules: the Workers runtime (workerd), wrangler, esbuild, wasm-opt, \
         and a Node that is new enough for them (about a minute)",
    );
    if !runs("npm") {
        bail!("npm is missing: install Node.js, in any version that is still supported");
    }
    processes.run_checked("npm", Command::new("npm").current_dir(&root).arg("ci"), INSTALL_TIMEOUT)
}

/// Installs the Redis server of the tests, from Debian's packages, unless one is present.
pub(crate) fn redis(processes: &mut Processes) -> anyhow::Result<()> {
    if runs("redis-server") {
        return Ok(());
    }
    announce("a Redis server, for the tests of a ledger that several machines share (seconds)");
    debian_package(processes, "redis-server").context(
        "redis-server is missing: install Redis 6 or newer, so that `redis-server` starts it",
    )
}

/// Installs the browser of the console's tests, from Debian's packages, unless one is present.
pub(crate) fn chromium(processes: &mut Processes) -> anyhow::Result<()> {
    if std::env::var_os("SERIN_CHROMIUM").is_some() || runs("chromium") {
        return Ok(());
    }
    announce("Chromium, for the tests of the web console (about a minute)");
    debian_package(processes, "chromium")
        .context("chromium is missing: install it, or set SERIN_CHROMIUM to the path of a Chromium")
}

/// Whether a program starts and ends well with `--version`.
pub(crate) fn runs(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn debian_package(processes: &mut Processes, name: &str) -> anyhow::Result<()> {
    let mut update = Command::new("apt-get");
    // A stale list is no obstacle as long as the package can still be fetched.
    let _ = processes.run("apt-get", update.args(["update", "--quiet"]), INSTALL_TIMEOUT);
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--quiet", "--no-install-recommends", name])
        .env("DEBIAN_FRONTEND", "noninteractive");
    processes.run_checked("apt-get", &mut install, INSTALL_TIMEOUT)
}

/// Installs the Python environment of the tests unless it is present. Returns its program.
pub(crate) fn python(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    python_with(processes, &PYTHON_PACKAGES, "the tests")
}

/// Installs a Python environment with these packages unless it is present. Returns its program.
pub(crate) fn python_with(
    processes: &mut Processes,
    packages: &[&str],
    purpose: &str,
) -> anyhow::Result<PathBuf> {
    let directory = cache().join(format!("python-{:016x}", digest(packages)));
    let python = directory.join("bin/python");
    // Written last, so that an interrupted installation is repeated.
    let complete = directory.join("complete");
    if python.exists() && complete.exists() {
        return Ok(python);
    }
    announce(&format!(
        "a Python environment with {}, for {purpose} (about a minute)",
        packages.join(", ")
    ));
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&directory);
    processes.run_checked("python3", &mut create, INSTALL_TIMEOUT)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(packages);
    processes.run_checked("pip", &mut install, INSTALL_TIMEOUT)?;
    std::fs::write(&complete, packages.join(" "))
        .with_context(|| format!("cannot write {} ($SERIN_TOOLS)", complete.display()))?;
    Ok(python)
}

/// Installs the coding agents unless they are present. Returns the directory of their programs; `None` if they
/// cannot be installed here, which the tests say.
pub(crate) fn agents(processes: &mut Processes) -> Option<PathBuf> {
    let directory = cache().join(format!("agents-{:016x}", digest(&AGENT_PACKAGES)));
    let programs = directory.join("node_modules/.bin");
    let complete = directory.join("complete");
    if complete.exists() {
        return Some(programs);
    }
    announce(&format!("{}, for the tests (1 GB, about a minute)", AGENT_PACKAGES.join(", ")));
    std::fs::create_dir_all(&directory).ok()?;
    std::fs::write(directory.join("package.json"), "{\"private\":true}").ok()?;
    let mut install = Command::new("npm");
    install.current_dir(&directory).args([
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    install.args(AGENT_PACKAGES);
    let installed = processes.run_checked("npm", &mut install, INSTALL_TIMEOUT);
    if let Err(error) = installed {
        println!("the coding agents are not tested: {error:#}");
        return None;
    }
    std::fs::write(&complete, AGENT_PACKAGES.join(" ")).ok()?;
    Some(programs)
}

/// Digest of a list of packages: another list is another environment.
fn digest(packages: &[&str]) -> u64 {
    let mut list = DefaultHasher::new();
    packages.hash(&mut list);
    list.finish()
}

/// Command for a program in `node_modules`, with the Node packages of this repository first in
/// `PATH`.
pub(crate) fn node(program: &str) -> anyhow::Result<Command> {
    let binaries = root().join("node_modules/.bin");
    let program = binaries.join(program);
    if !program.exists() {
        bail!("{} is missing: remove node_modules and try again", program.display());
    }
    let mut path = OsString::from(&binaries);
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", path);
    Ok(command)
}

/// Version of the Spin CLI. `None` if it is missing or too old for WASI 0.3.
pub(crate) fn spin() -> Option<String> {
    let output = Command::new("spin").arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1)?;
    is_new_enough(version).then(|| version.to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    major.zip(minor) >= Some((4, 1))
}

pub(crate) fn announce(what: &str) {
    println!("→ {what}");
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn spin_older_than_4_1_is_refused() {
        for version in ["4.1.0", "4.2.0-pre0", "5.0.0", "4.10.1"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["4.0.3", "3.9.9", "canary", ""] {
            assert!(!is_new_enough(version), "{version}");
        }
    }
}
