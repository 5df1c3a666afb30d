//! Measured artifacts and the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::component::component_file;
use crate::workerd::root;

use super::worker::workerd;

/// Facts to publish with the numbers.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) rust: String,
    pub(super) workerd: String,
    pub(super) wasmtime: String,
    pub(super) artifacts: Vec<Artifact>,
}

/// A deployed artifact.
#[derive(Clone, Debug)]
pub(super) struct Artifact {
    pub(super) name: &'static str,
    pub(super) raw: u64,
    /// Size after `gzip -9`, file by file.
    pub(super) compressed: u64,
}

impl Environment {
    /// Detects the environment.
    pub(super) fn detect() -> anyhow::Result<Self> {
        let worker = root().join("edge-cloudflare/build");
        let worker = [worker.join("index.js"), worker.join("index_bg.wasm")];
        Ok(Self {
            processor: processor(),
            cores: std::thread::available_parallelism()?.get(),
            rust: output_of(Command::new("rustc").arg("--version"))?,
            workerd: output_of(Command::new(workerd()?).arg("--version"))?,
            wasmtime: format!("wasmtime {}", locked_version("wasmtime")?),
            artifacts: vec![
                Artifact::measure("Worker", &worker)?,
                Artifact::measure("Spin component", &[component_file("edge_spin")])?,
            ],
        })
    }

    /// JSON form of the machine and the versions.
    pub(super) fn machine_to_json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "rust": self.rust,
            "workerd": self.workerd,
            "wasmtime": self.wasmtime,
        })
    }

    /// JSON form of the artifacts' sizes.
    pub(super) fn artifacts_to_json(&self) -> Vec<Value> {
        let to_json = |Artifact { name, raw, compressed }: &Artifact| json!({ "name": name, "bytes": raw, "gzipped": compressed });
        self.artifacts.iter().map(to_json).collect()
    }
}

impl Artifact {
    fn measure(name: &'static str, files: &[PathBuf]) -> anyhow::Result<Self> {
        let (mut raw, mut compressed) = (0, 0);
        for file in files {
            raw += file.metadata().with_context(|| format!("{} is missing", file.display()))?.len();
            compressed += gzipped(file)?;
        }
        Ok(Self { name, raw, compressed })
    }
}

fn gzipped(file: &Path) -> anyhow::Result<u64> {
    let output = Command::new("gzip").arg("-9c").arg(file).output().context("cannot run gzip")?;
    ensure!(output.status.success(), "gzip failed on {}", file.display());
    Ok(output.stdout.len() as u64)
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot start {}", name.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn locked_version(package: &str) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let begin = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&begin).and_then(|(_, rest)| rest.split_once('"'));
    Ok(version.context("package not in Cargo.lock")?.0.to_owned())
}
