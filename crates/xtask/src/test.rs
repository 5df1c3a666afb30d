//! `test`: runs all test steps in order and prints a summary. Continues after a failure, so that
//! one run shows every problem.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::artifact::{self, COMPONENT_TARGET, WORKER_TARGET, cargo};
use crate::child::Processes;
use crate::root;
use crate::tools::{self, node};
use crate::{fuzz, panics};

/// Limit of one step: longer than the slowest cold build on two cores.
const STEP_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// Maximum compressed size of the Worker's upload.
const WORKER_LIMIT_KIB: f64 = 1408.0;
/// Packages that are compiled for this machine, including `tests`. clippy uses one selection, so
/// that cargo resolves the features of the dependencies once.
const NATIVE: [&str; 5] = ["--workspace", "--exclude", "edge-cloudflare", "--exclude", "edge-spin"];

/// Arguments of `test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    only: Option<Step>,
}

/// Step of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Format,
    Lint,
    LintWorker,
    LintComponent,
    Native,
    Fuzz,
    Worker,
    Component,
    Deploy,
    Console,
    Edges,
}

/// Steps in order: quick steps and likely failures first.
const STEPS: [Step; 11] = [
    Step::Format,
    Step::Lint,
    Step::LintWorker,
    Step::LintComponent,
    Step::Native,
    Step::Fuzz,
    Step::Worker,
    Step::Component,
    Step::Deploy,
    Step::Console,
    Step::Edges,
];

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Lint => "lint",
            Self::LintWorker => "lint-worker",
            Self::LintComponent => "lint-component",
            Self::Native => "native",
            Self::Fuzz => "fuzz",
            Self::Worker => "worker",
            Self::Component => "component",
            Self::Deploy => "deploy",
            Self::Console => "console",
            Self::Edges => "edges",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Format => "checks the format with rustfmt",
            Self::Lint => "clippy on all native packages",
            Self::LintWorker => "clippy on the Worker's shell",
            Self::LintComponent => "clippy on the component's shell",
            Self::Native => "the policies, the gateway in virtual time, the tools",
            Self::Fuzz => "libFuzzer for each reader of untrusted bytes",
            Self::Worker => "builds the Worker for Cloudflare, and counts its panics",
            Self::Component => "builds the component for Spin",
            Self::Console => {
                "the web console in Chromium before both artifacts, and its size limits"
            }
            Self::Deploy => "dry run of wrangler deploy, and the Worker's size limit",
            Self::Edges => "scenarios, contracts and official clients against both artifacts",
        }
    }

    fn run(self, processes: &mut Processes) -> anyhow::Result<()> {
        let mut cargo = cargo();
        match self {
            Self::Format => processes.run_checked(
                "rustfmt",
                cargo.args(["fmt", "--all", "--check"]),
                STEP_TIMEOUT,
            ),
            Self::Lint => {
                let command = cargo.arg("clippy").args(NATIVE).args([
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]);
                processes.run_checked("clippy", command, STEP_TIMEOUT)
            }
            Self::LintWorker => lint(processes, "edge-cloudflare", WORKER_TARGET),
            Self::LintComponent => lint(processes, "edge-spin", COMPONENT_TARGET),
            // A failing crate does not hide the others.
            Self::Native => {
                // Includes the pure parts of the shells. `Edges` has the tests that need an
                // artifact.
                cargo.args(["test", "--no-fail-fast", "--workspace"]);
                for package in ["tests", "baseline-component", "baseline-worker"] {
                    cargo.args(["--exclude", package]);
                }
                processes.run_checked("the native tests", &mut cargo, STEP_TIMEOUT)
            }
            Self::Fuzz => fuzz::run_targets(processes, &fuzz::Options::of_tests()),
            Self::Worker => {
                tools::target(processes, WORKER_TARGET)?;
                tools::packages(processes)?;
                artifact::worker(processes)?;
                panics::check(processes, &artifact::worker_code()?)
            }
            Self::Component => {
                tools::target(processes, COMPONENT_TARGET)?;
                artifact::component(processes).map(drop)
            }
            Self::Deploy => deploy(processes),
            Self::Console => console(processes),
            Self::Edges => {
                tools::packages(processes)?;
                tools::redis(processes)?;
                cargo.env("SERIN_PYTHON", tools::python(processes)?);
                if let Some(programs) = tools::agents(processes) {
                    cargo.env("SERIN_AGENTS", programs);
                }
                let command = cargo.args(["test", "-p", "tests", "--no-fail-fast"]);
                processes.run_checked("the edges' tests", command, STEP_TIMEOUT)
            }
        }
    }
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::Long;
        use lexopt::ValueExt;
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("only") => {
                    let name = arguments.value()?.string()?;
                    let step = STEPS.into_iter().find(|step| step.name() == name);
                    options.only = Some(step.ok_or_else(|| unknown(&name))?);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

fn unknown(name: &str) -> lexopt::Error {
    let mut message = format!("unknown step {name}; the steps are:");
    for step in STEPS {
        write!(message, "\n  {:15}  {}", step.name(), step.about()).ok();
    }
    message.into()
}

/// Result of one step.
struct Outcome {
    step: Step,
    took: Duration,
    failure: Option<String>,
}

/// Runs the selected steps and prints the summary.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut processes = Processes::new()?;
    let mut outcomes = Vec::new();
    for step in STEPS.into_iter().filter(|step| options.only.is_none_or(|only| only == *step)) {
        println!("\n━━ {}: {}", step.name(), step.about());
        let begin = Instant::now();
        let failure = step.run(&mut processes).err().map(|error| format!("{error:#}"));
        if processes.is_interrupted() {
            bail!("stopped during {}", step.name());
        }
        if let Some(failure) = &failure {
            println!("{failure}");
        }
        outcomes.push(Outcome { step, took: begin.elapsed(), failure });
    }
    print!("{}", summary(&outcomes));
    let is_failed = outcomes.iter().any(|outcome| outcome.failure.is_some());
    Ok(if is_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn summary(outcomes: &[Outcome]) -> String {
    let mut text = "\n━━ summary\n".to_owned();
    for Outcome { step, took, failure } in outcomes {
        let result = if failure.is_some() { "failed" } else { "ok" };
        writeln!(text, "{:15} {:7.1} s  {result}", step.name(), took.as_secs_f64()).ok();
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    writeln!(text, "{} passed, {failed} failed", outcomes.len() - failed).ok();
    text
}

fn lint(processes: &mut Processes, package: &str, target: &str) -> anyhow::Result<()> {
    tools::target(processes, target)?;
    let mut command = cargo();
    // The release profile, so that the build of the artifact reuses the dependencies' metadata.
    command.args([
        "clippy",
        "-p",
        package,
        "--target",
        target,
        "--release",
        "--",
        "-D",
        "warnings",
    ]);
    processes.run_checked("clippy", &mut command, STEP_TIMEOUT)
}

/// Builds the console, which checks its types and sizes, and runs its tests in a browser before both artifacts.
fn console(processes: &mut Processes) -> anyhow::Result<()> {
    tools::chromium(processes)?;
    if !tools::runs("node") {
        bail!("Node.js is missing: install it, in any version that is still supported");
    }
    artifact::console(processes)?;
    tools::packages(processes)?;
    artifact::current_worker(processes)?;
    artifact::current_component(processes)?;
    let mut command = cargo();
    command
        .args(["test", "-p", "tests", "--test", "console_browser", "--", "--nocapture"])
        .env("SERIN_CONSOLE_BROWSER", "1");
    processes.run_checked("the console's tests", &mut command, STEP_TIMEOUT)
}

/// Runs `wrangler deploy` without the upload. wrangler prints the size that Cloudflare counts.
fn deploy(processes: &mut Processes) -> anyhow::Result<()> {
    tools::packages(processes)?;
    let report = root().join("target/wrangler.txt");
    let file = std::fs::File::create(&report).context("cannot write target/wrangler.txt")?;
    let mut command: Command = node("wrangler")?;
    command
        .args(["deploy", "--dry-run", "--outdir", "target/wrangler"])
        .env("WRANGLER_SEND_METRICS", "false");
    command.stdout(file.try_clone()?).stderr(Stdio::from(file));
    let is_accepted = processes.run("wrangler", &mut command, STEP_TIMEOUT)?;
    let text = std::fs::read_to_string(&report)?;
    std::io::stdout().write_all(text.as_bytes())?;
    if !is_accepted {
        bail!("wrangler deploy --dry-run failed");
    }
    let size = compressed(&text).context("the output of wrangler contains no upload size")?;
    println!("{size:.1} of {WORKER_LIMIT_KIB:.0} KiB, compressed");
    if size > WORKER_LIMIT_KIB {
        bail!("the Worker is too large: {size:.1} KiB compressed, limit {WORKER_LIMIT_KIB:.0} KiB");
    }
    Ok(())
}

/// Parses the compressed size in `Total Upload: 500.12 KiB / gzip: 180.34 KiB`, in KiB.
fn compressed(report: &str) -> Option<f64> {
    let line = report.lines().find(|line| line.contains("Total Upload:"))?;
    let (_, figure) = line.split_once("gzip:")?;
    let mut words = figure.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    match words.next()? {
        "KiB" => Some(number),
        "MiB" => Some(number * 1024.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Options, Outcome, STEPS, Step, compressed, summary};

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn step_is_selected_by_its_name() {
        for step in STEPS {
            assert_eq!(parse(&["--only", step.name()]).expect("the step exists").only, Some(step));
        }
        assert_eq!(parse(&[]).expect("no argument is required").only, None);
        let error = parse(&["--only", "everything"]).expect_err("the step is unknown").to_string();
        assert!(STEPS.iter().all(|step| error.contains(step.about())), "{error}");
    }

    #[test]
    fn summary_counts_the_steps() {
        let outcome = |step, failure: Option<&str>| Outcome {
            step,
            took: Duration::from_millis(1250),
            failure: failure.map(str::to_owned),
        };
        let outcomes = [outcome(Step::Format, None), outcome(Step::Edges, Some("why"))];
        let text = summary(&outcomes);
        assert!(text.contains("\nformat              1.2 s  ok\n"), "{text}");
        assert!(text.contains("\nedges               1.2 s  failed\n"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn upload_size_is_read_from_the_output_of_wrangler() {
        let report =
            "⛅️ wrangler\nTotal Upload: 480.20 KiB / gzip: 190.46 KiB\n--dry-run: exiting now.";
        assert_eq!(compressed(report), Some(190.46));
        assert_eq!(compressed("Total Upload: 9 MiB / gzip: 1.5 MiB"), Some(1536.0));
        assert_eq!(compressed("nothing"), None);
    }
}
