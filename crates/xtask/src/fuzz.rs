//! `fuzz`: runs the targets of `crates/fuzz` with libFuzzer, which coverage guides. The stable compiler
//! instruments the code; only sanitizers would need another one, and the code has no `unsafe`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::artifact::cargo;
use crate::child::Processes;
use crate::root;

/// The targets, as in `crates/fuzz/libfuzzer/Cargo.toml`.
const TARGETS: [&str; 10] = [
    "admission",
    "answers",
    "configuration",
    "events",
    "keys",
    "reports",
    "streams",
    "texts",
    "tokens",
    "translations",
];
/// Flags of the instrumentation that libFuzzer reads (LLVM, SanitizerCoverage).
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions";
/// Time of each target in seconds, unless another one is given.
const DEFAULT_SECONDS: u64 = 60;
/// Time of each target in the tests, in seconds: enough for the committed corpus and its neighbors.
const SECONDS_IN_TESTS: u64 = 20;
/// Limit of a build.
const BUILD_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Time beyond its own after which a target counts as hanging.
const OVERTIME: Duration = Duration::from_secs(60);
/// The longest input, in bytes.
const MAX_INPUT_BYTES: usize = 64 << 10;

/// Arguments of `fuzz`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u64,
    only: Option<&'static str>,
    /// Seed of the fuzzer, which then starts from the committed corpus alone; `None` for another seed in
    /// each run. Runs with equal seeds differ nevertheless.
    seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: DEFAULT_SECONDS, only: None, seed: None }
    }
}

impl Options {
    /// The run of the tests: from the committed corpus alone.
    pub(crate) fn of_tests() -> Self {
        Self { seconds: SECONDS_IN_TESTS, seed: Some(1), ..Self::default() }
    }

    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::Long;
        use lexopt::ValueExt;
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("seconds") => options.seconds = arguments.value()?.parse()?,
                Long("only") => {
                    let name = arguments.value()?.string()?;
                    let target = TARGETS.into_iter().find(|target| *target == name);
                    let known = || {
                        format!("unknown target {name}; the targets are: {}", TARGETS.join(", "))
                    };
                    options.only = Some(target.ok_or_else(known)?);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// Runs the selected targets.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    run_targets(&mut Processes::new()?, options)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the targets, and runs two of them at a time.
pub(crate) fn run_targets(processes: &mut Processes, options: &Options) -> anyhow::Result<()> {
    let binaries = build(processes)?;
    let is_selected = |target: &&str| options.only.is_none_or(|only| only == *target);
    let targets: Vec<&str> = TARGETS.into_iter().filter(is_selected).collect();
    let limit = Duration::from_secs(options.seconds) + OVERTIME;
    let mut failed = Vec::new();
    for pair in targets.chunks(2) {
        let commands =
            pair.iter().map(|target| Ok((*target, command(&binaries, target, options)?)));
        let mut commands = commands.collect::<anyhow::Result<Vec<_>>>()?;
        println!("→ {} ({} s)", pair.join(", "), options.seconds);
        let succeeded = processes.run_together(&mut commands, limit)?;
        failed.extend(
            pair.iter().zip(succeeded).filter(|(_, is_ok)| !is_ok).map(|(target, _)| *target),
        );
    }
    if let Some(first) = failed.first() {
        let logs = root().join("target/fuzz").join(first);
        bail!("{} failed; the input and the log are in {}", failed.join(", "), logs.display());
    }
    Ok(())
}

/// Builds all targets with instrumentation. Returns the folder of the binaries.
fn build(processes: &mut Processes) -> anyhow::Result<PathBuf> {
    let triple = host_triple()?;
    let mut command = cargo();
    command
        .current_dir(root().join("crates/fuzz/libfuzzer"))
        // With a target, build scripts and macros are compiled without the flags.
        .args(["build", "--release", "--target", &triple, "--target-dir"])
        .arg(root().join("target"))
        .env("RUSTFLAGS", INSTRUMENTATION);
    processes.run_checked("the build of the fuzz targets", &mut command, BUILD_TIMEOUT)?;
    Ok(root().join("target").join(triple).join("release"))
}

/// A target's command: it adds new inputs to a folder of its own and leaves the committed corpus alone.
fn command(binaries: &Path, target: &str, options: &Options) -> anyhow::Result<Command> {
    let folder = root().join("target/fuzz").join(target);
    let corpus = folder.join("corpus");
    if options.seed.is_some() && corpus.exists() {
        std::fs::remove_dir_all(&corpus)
            .with_context(|| format!("cannot remove {}", corpus.display()))?;
    }
    std::fs::create_dir_all(&corpus)
        .with_context(|| format!("cannot create {}", corpus.display()))?;
    let log = folder.join("log.txt");
    let log =
        std::fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut command = Command::new(binaries.join(target));
    command
        .arg(corpus)
        .arg(root().join("crates/fuzz/corpus").join(target))
        .arg(format!("-max_total_time={}", options.seconds))
        // 0 is another seed in each run.
        .arg(format!("-seed={}", options.seed.unwrap_or(0)))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/", folder.display()))
        .stderr(log);
    Ok(command)
}

fn host_triple() -> anyhow::Result<String> {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    let triple = String::from_utf8(output.stdout)?.trim().to_owned();
    if triple.is_empty() {
        bail!("rustc --print host-tuple printed nothing");
    }
    Ok(triple)
}

#[cfg(test)]
mod tests {
    use super::{Options, TARGETS};
    use crate::root;

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn options_select_time_and_target() {
        assert_eq!(parse(&[]).expect("no argument is required"), Options::default());
        let one = parse(&["--seconds", "3600", "--only", "events"]).expect("both are known");
        assert_eq!(one, Options { seconds: 3600, only: Some("events"), seed: None });
        let error = parse(&["--only", "all"]).expect_err("it is unknown").to_string();
        assert!(TARGETS.iter().all(|target| error.contains(target)), "{error}");
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let fuzz = root().join("crates/fuzz");
        let manifest =
            std::fs::read_to_string(fuzz.join("libfuzzer/Cargo.toml")).expect("it is there");
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            assert!(fuzz.join("corpus").join(target).is_dir(), "{target}");
        }
    }
}
