//! Builds the Worker of a directory into its `build` directory: `worker-bundle DIRECTORY`.
//!
//! cargo compiles the crate, wasm-bindgen generates the JavaScript around it, wasm-opt shrinks the
//! WebAssembly, and esbuild bundles the JavaScript. wasm-bindgen is linked into this program, at
//! the version of the library in the Worker; `npm ci` installs the other tools.
//!
//! cargo always runs. If its output and the few other inputs are those of an earlier build, the
//! other tools do not run.

mod bindings;
mod lock;
mod output;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::lock::BuildLock;
use crate::output::Output;

/// Directory of the gateway's Worker, which contains a configuration.
const EDGE: &str = "edge-cloudflare";
const TARGET: &str = "wasm32-unknown-unknown";
/// Features that the compiler and wasm-bindgen require of the host. The explicit list keeps
/// wasm-opt from using newer ones.
const WASM_FEATURES: [&str; 7] = [
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-reference-types",
    "--enable-exception-handling",
];

fn main() -> ExitCode {
    match std::env::args_os().nth(1).map(|directory| Worker::open(Path::new(&directory))) {
        None => {
            eprintln!("usage: worker-bundle DIRECTORY");
            ExitCode::from(2)
        }
        Some(worker) => match worker.and_then(|worker| worker.build()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Checks the configuration that the gateway's Worker contains, before anything is built. cargo would print the
/// same problems after some minutes, between other lines.
fn check_configuration() -> anyhow::Result<()> {
    let name = std::env::var_os("GATEWAY_TOML").unwrap_or_else(|| "gateway.toml".into());
    let source = root().join(&name);
    let checked =
        config::author::check_file(&source, &Path::new(&name).display().to_string(), false);
    checked.map(|_| ()).map_err(anyhow::Error::msg)
}

/// Size and modification time of this program. Read at the start, because cargo may replace the
/// file while the program runs.
fn program_stamp() -> anyhow::Result<String> {
    let program = std::env::current_exe()?.metadata()?;
    let modified = program.modified()?.duration_since(UNIX_EPOCH)?;
    Ok(format!("{} {}", program.len(), modified.as_nanos()))
}

/// Crate of a Worker, and its build tools.
struct Worker {
    directory: PathBuf,
    node_modules: PathBuf,
    /// Identifies this program, which is an input too.
    program: String,
}

impl Worker {
    fn open(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory
            .canonicalize()
            .with_context(|| format!("cannot find {}", directory.display()))?;
        if directory == root().join(EDGE).canonicalize().unwrap_or_default() {
            check_configuration()?;
        }
        let node_modules = root().join("node_modules");
        // Checked before the compilation, which takes minutes.
        for package in ["node", "binaryen", "esbuild"] {
            let package = node_modules.join(package);
            ensure!(package.exists(), "{} is missing: run `npm ci` first", package.display());
        }
        Ok(Self { directory, node_modules, program: program_stamp()? })
    }

    fn build(&self) -> anyhow::Result<()> {
        let output = Output::open(&self.directory)?;
        let _lock = BuildLock::acquire(&output.lock_file())?;
        let wasm = std::fs::read(self.compile()?)?;
        let version = self.fingerprint(&wasm)?;
        if !output.contains(&version) {
            let staging = output.staging()?;
            let built = self.bundle(wasm, &staging)?;
            output.add(&version, &built)?;
        }
        output.select(&version)
    }

    /// Compiles the crate and returns the path of the WebAssembly.
    fn compile(&self) -> anyhow::Result<PathBuf> {
        let manifest = self.directory.join("Cargo.toml");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args([
                "build",
                "--locked",
                "--release",
                "--lib",
                "--target",
                TARGET,
                "--manifest-path",
            ])
            .arg(&manifest)
            .arg("--message-format=json-render-diagnostics")
            // Read by wasm-bindgen's macro: js-sys provides the futures that the glue code needs.
            .env("WASM_BINDGEN_USE_JS_SYS", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().context("cannot start cargo")?;
        if !output.status.success() {
            // cargo has printed the reason.
            std::process::exit(output.status.code().unwrap_or(1));
        }
        compiled_file(&String::from_utf8_lossy(&output.stdout), &manifest)
            .with_context(|| format!("cargo made no WebAssembly from {}", manifest.display()))
    }

    /// Hash of all inputs of the bundle, in hexadecimal.
    fn fingerprint(&self, wasm: &[u8]) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{} {} ", self.program, wasm.len()));
        hash.update(wasm);
        for package in ["binaryen", "esbuild"] {
            hash.update(std::fs::read(self.package_manifest(package))?);
        }
        if let Some(module) = self.own_module() {
            hash.update(std::fs::read(module)?);
        }
        Ok(format!("{:x}", hash.finalize())[..16].to_owned())
    }

    /// Builds the bundle and returns its directory.
    fn bundle(&self, wasm: Vec<u8>, staging: &Path) -> anyhow::Result<PathBuf> {
        let built = staging.join("bundle");
        std::fs::create_dir(&built)?;
        step("wasm-bindgen", || bindings::generate(wasm, staging))?;
        step("wasm-opt", || {
            let mut command = self.tool("node");
            command.arg(self.node_modules.join("binaryen/bin/wasm-opt")).args(["-Os", "-g"]);
            command.args(WASM_FEATURES).arg(staging.join("bindings/index_bg.wasm"));
            // Neighbors by name are compiled from the same source: together they compress by 3 % more.
            command.arg("--reorder-functions-by-name");
            // Drops the names of functions. target/wasm32-unknown-unknown/release has them.
            command.arg("--strip-debug");
            run(command.arg("--output").arg(built.join("index_bg.wasm")))
        })?;
        step("esbuild", || {
            let mut entry = staging.join("build/index.js");
            if let Some(module) = self.own_module() {
                // This module imports `../build/index.js`, the generated entry module.
                entry = staging.join("src/worker.js");
                std::fs::create_dir(staging.join("src"))?;
                std::fs::copy(module, &entry)?;
            }
            let mut outfile = OsString::from("--outfile=");
            outfile.push(built.join("index.js"));
            let mut command = self.tool("esbuild");
            command.args(["--bundle", "--minify", "--format=esm", "--log-level=warning"]);
            command.args(["--external:*.wasm", "--external:cloudflare:*"]);
            run(command.arg(outfile).arg(entry))
        })?;
        Ok(built)
    }

    /// JavaScript module of the Worker. `None` if the Worker exports only event handlers.
    fn own_module(&self) -> Option<PathBuf> {
        let module = self.directory.join("src/worker.js");
        module.exists().then_some(module)
    }

    fn package_manifest(&self, package: &str) -> PathBuf {
        self.node_modules.join(package).join("package.json")
    }

    /// Command for a program that `npm ci` installed. Some are scripts that need the Node installed
    /// with them.
    fn tool(&self, program: &str) -> Command {
        let binaries = self.node_modules.join(".bin");
        let mut path = OsString::from(&binaries);
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut command = Command::new(binaries.join(program));
        command.env("PATH", path);
        command
    }
}

/// Finds the path of the WebAssembly in cargo's messages, which are lines of JSON.
fn compiled_file(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let artifact = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .rfind(|message| message["manifest_path"].as_str().map(Path::new) == Some(manifest))?;
    let files = artifact["filenames"].as_array()?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Runs a step and prints its duration.
fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let begin = Instant::now();
    eprint!("{name:>12} ");
    std::io::stderr().flush()?;
    let done = work();
    match &done {
        Ok(()) => eprintln!("{:.1} s", begin.elapsed().as_secs_f64()),
        Err(_) => eprintln!("failed"),
    }
    done
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("{} failed: {status}", program.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{compiled_file, root};

    #[test]
    fn compiled_file_is_the_one_of_the_worker() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/r/dep/Cargo.toml","filenames":["/t/libdep.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/r/worker/Cargo.toml","filenames":["/t/build-script"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/r/worker/Cargo.toml","filenames":["/t/worker.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = |manifest| compiled_file(messages, Path::new(manifest));
        assert_eq!(found("/r/worker/Cargo.toml"), Some(PathBuf::from("/t/worker.wasm")));
        assert_eq!(found("/r/dep/Cargo.toml"), None);
        assert_eq!(found("/r/other/Cargo.toml"), None);
    }

    /// wasm-bindgen rejects WebAssembly that another version of its library produced.
    #[test]
    fn wasm_bindgen_is_of_the_version_of_the_library() {
        let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("it is there");
        let lock: toml::Table = lock.parse().expect("it is TOML");
        let versions = |name: &str| -> Vec<String> {
            let packages = lock["package"].as_array().expect("it lists packages");
            let named = packages.iter().filter(|package| package["name"].as_str() == Some(name));
            named.map(|package| package["version"].to_string()).collect()
        };
        assert_eq!(versions("wasm-bindgen").len(), 1);
        assert_eq!(versions("wasm-bindgen"), versions("wasm-bindgen-cli-support"));
    }
}
