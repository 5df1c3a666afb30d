//! `bench`: runs the benchmarks, each with its baseline in the same run. No result fails the run.

use std::process::ExitCode;
use std::time::Duration;

use crate::artifact::{self, COMPONENT_TARGET, WORKER_TARGET, cargo};
use crate::child::Processes;
use crate::tools;

const BENCH_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Arguments of `bench`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Core, compiled for this machine.
    Core,
    /// Both artifacts on their hosts, compared with their baselines, and with and without limits.
    Edges,
    /// Part of `Edges`.
    Limits,
    /// Part of `Edges`.
    Streams,
    /// Part of `Edges`.
    Guards,
    /// Part of `Edges`.
    Cache,
    /// Part of `Edges`.
    Recording,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::Long;
        use lexopt::ValueExt;
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("only") => {
                    options.only = Some(match arguments.value()?.string()?.as_str() {
                        "core" => Part::Core,
                        "edges" => Part::Edges,
                        "limits" => Part::Limits,
                        "streams" => Part::Streams,
                        "guards" => Part::Guards,
                        "cache" => Part::Cache,
                        "recording" => Part::Recording,
                        other => {
                            let choice = "--only needs core, edges, limits, streams, guards, cache \
                                          or recording";
                            return Err(format!("{choice}, not {other}").into());
                        }
                    });
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    fn includes_core(self) -> bool {
        match self.only {
            None | Some(Part::Core) => true,
            Some(
                Part::Edges
                | Part::Limits
                | Part::Streams
                | Part::Guards
                | Part::Cache
                | Part::Recording,
            ) => false,
        }
    }

    /// Arguments of the edges' benchmark. `None` if it does not run.
    fn on_edges(self) -> Option<&'static [&'static str]> {
        match self.only {
            None | Some(Part::Edges) => Some(&["--on", "all"]),
            Some(Part::Limits) => Some(&["--on", "all", "--only", "limits"]),
            Some(Part::Streams) => Some(&["--on", "all", "--only", "streams"]),
            Some(Part::Guards) => Some(&["--on", "all", "--only", "guards"]),
            Some(Part::Cache) => Some(&["--on", "all", "--only", "cache"]),
            Some(Part::Recording) => Some(&["--on", "all", "--only", "recording"]),
            Some(Part::Core) => None,
        }
    }
}

/// Runs the benchmarks sequentially: concurrent ones would distort each other's results.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut processes = Processes::new()?;
    if options.includes_core() {
        let mut command = cargo();
        processes.run_checked(
            "the core's benchmark",
            command.args(["bench", "-p", "gateway"]),
            BENCH_TIMEOUT,
        )?;
    }
    if let Some(arguments) = options.on_edges() {
        tools::target(&mut processes, WORKER_TARGET)?;
        tools::target(&mut processes, COMPONENT_TARGET)?;
        tools::packages(&mut processes)?;
        artifact::worker(&mut processes)?;
        artifact::component(&mut processes)?;
        let mut command = cargo();
        // Not the release profile: it is tuned for size, and would build wasmtime again. These
        // packages (host, upstream, load generator) are optimized like the dependencies.
        for package in ["sim", "tests"] {
            command.args(["--config", &format!("profile.dev.package.{package}.opt-level=2")]);
        }
        command.args(["run", "-p", "tests", "--bin", "serin-bench", "--"]).args(arguments);
        processes.run_checked("the edges' benchmark", &mut command, BENCH_TIMEOUT)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn part_is_selected_by_its_name() {
        let parse = |words: &[&str]| Options::parse(&mut lexopt::Parser::from_args(words));
        let all = parse(&[]).expect("no argument is required");
        assert!(all.includes_core() && all.on_edges() == Some(&["--on", "all"]));
        let edges = parse(&["--only", "edges"]).expect("the argument is valid");
        assert!(!edges.includes_core() && edges.on_edges() == all.on_edges());
        for part in ["limits", "streams", "guards", "cache", "recording"] {
            let options = parse(&["--only", part]).expect("the argument is valid");
            let expected = ["--on", "all", "--only", part];
            assert!(!options.includes_core());
            assert_eq!(options.on_edges(), Some(expected.as_slice()));
        }
        let core = parse(&["--only", "core"]).expect("the argument is valid");
        assert!(core.includes_core() && core.on_edges().is_none());
        assert!(parse(&["--only", "spin"]).is_err());
    }
}
