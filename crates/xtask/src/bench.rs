//! `bench`: the benchmarks, each beside its baseline in the same run. They measure; they decide
//! nothing.

use std::process::ExitCode;
use std::time::Duration;

use crate::artifact::{self, COMPONENT_TARGET, WORKER_TARGET, cargo};
use crate::child::Processes;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(60 * 60);

/// What `bench` was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    only: Option<Half>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// The core, compiled for this machine.
    Core,
    /// Both artifacts on their hosts.
    Edges,
}

impl Options {
    /// Reads the arguments after `bench`.
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::Long;
        use lexopt::ValueExt;
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("only") => {
                    options.only = Some(match arguments.value()?.string()?.as_str() {
                        "core" => Half::Core,
                        "edges" => Half::Edges,
                        other => {
                            return Err(format!("--only needs core or edges, not {other}").into());
                        }
                    });
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    fn includes(self, half: Half) -> bool {
        self.only.is_none_or(|only| only == half)
    }
}

/// Runs the benchmarks one after another: two at once would measure each other.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut processes = Processes::new()?;
    if options.includes(Half::Core) {
        let mut command = cargo();
        processes.must("the core's benchmark", command.args(["bench", "-p", "gateway"]), LIMIT)?;
    }
    if options.includes(Half::Edges) {
        tools::target(&mut processes, WORKER_TARGET)?;
        tools::target(&mut processes, COMPONENT_TARGET)?;
        tools::packages(&mut processes)?;
        artifact::worker(&mut processes)?;
        artifact::component(&mut processes)?;
        let mut command = cargo();
        // Not in release: that profile is tuned for size, and would build wasmtime once more. What is
        // ours in the host, the upstream and the load is optimised here like the rest.
        for package in ["sim", "tests"] {
            command.args(["--config", &format!("profile.dev.package.{package}.opt-level=2")]);
        }
        command.args(["run", "-p", "tests", "--bin", "serin-bench", "--", "--on", "all"]);
        processes.must("the edges' benchmark", &mut command, LIMIT)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::{Half, Options};

    #[test]
    fn a_half_can_be_chosen() {
        let parse = |words: &[&str]| Options::parse(&mut lexopt::Parser::from_args(words));
        let all = parse(&[]).expect("nothing is needed");
        assert!(all.includes(Half::Core) && all.includes(Half::Edges));
        let edges = parse(&["--only", "edges"]).expect("it is known");
        assert!(!edges.includes(Half::Core) && edges.includes(Half::Edges));
        assert!(parse(&["--only", "spin"]).is_err());
    }
}
