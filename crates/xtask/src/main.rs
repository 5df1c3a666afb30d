//! Developer commands: `cargo xtask up | check | config | consumers | test | eval | bench`.
//!
//! Builds, serves and tests with the ordinary tools of each host. The products do not depend on it:
//! both of them deploy without it.

mod artifact;
mod bench;
mod check;
mod child;
mod config;
mod config_file;
mod demo;
mod edge;
mod eval;
mod freshness;
mod fuzz;
mod log;
mod panics;
mod plan;
mod secrets;
mod spin_names;
mod state_lock;
mod test;
mod tools;
mod up;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
serin, an AI gateway that runs at the edge.

  cargo xtask up             builds the gateway and serves it here
      --on cloudflare|spin   the host (default cloudflare: the Workers runtime at http://127.0.0.1:8787;
                             spin: the Spin component at http://127.0.0.1:3000)
      --config FILE          the configuration (default gateway.toml)
      --port N               another port on loopback
      --secret NAME=VALUE    a secret that the configuration names; may be repeated. Others come from
                             .dev.vars and from environment variables of the same name
      --state DIR            the directory of local storage (default .serin/state, for the demo .serin/demo)
      --demo                 simulated providers instead of real ones (also when no provider key is set)
      --watch                serves a changed configuration file at once; an invalid one is reported
      --log short|json       the format of request records (default: short in a terminal, else json)

  cargo xtask check [FILE]   validates a configuration and prints each route's plan, offline
      --with-secrets         reports secrets that are not set here as errors

  cargo xtask config get | put FILE | diff FILE | versions | restore N | follow
                             the configuration of a running gateway; FILE is TOML, or *.json
      --url URL              the gateway's URL (default http://127.0.0.1:8787)
      --token-env NAME       the variable that holds the admin token (default ADMIN_TOKEN)
      --yes                  applies a put or restore without a prompt, after printing the changes
                             exit codes: 0 done, or no difference; 1 a difference, or rejected;
                             2 wrong arguments; 3 any other failure. Requires curl

  cargo xtask consumers apply FILE
                             makes the consumers that the admin API keeps equal to [[consumers]] of a
                             TOML or JSON file (without keys), after printing the changes
      --dry-run              only prints the changes; exit code 1 if there are any
      --prune                also deletes consumers that the file does not have, with their keys
      --url, --token-env, --yes, exit codes: as for config

  cargo xtask test           every test, in order, with a summary, as in CI
      --only NAME            one step; an unknown name lists all steps

  cargo xtask fuzz           libFuzzer on the readers of untrusted bytes; new inputs stay in target/fuzz
      --seconds N            time of each target (default 60)
      --only TARGET          one target; an unknown name lists all targets

  cargo xtask bench          the benchmarks, each with its baseline
      --only core|edges|limits|streams|guards|cache|recording
                             one part; the names after edges are parts of the edges' benchmarks

  cargo xtask eval cache     the semantic cache: served and wrong answers on labeled pairs, the bound, the
                             time of a look-up; prints the tables of docs/semantic-cache.md
      --questions FILE       also a stream of natural questions: a CSV file with the columns text, category

Missing tools are installed into $SERIN_TOOLS (default ~/.cache/serin).
Ctrl-C ends all processes that were started.";

fn main() -> ExitCode {
    let mut arguments = lexopt::Parser::from_env();
    match dispatch(&mut arguments) {
        Ok(code) => code,
        Err(error) if error.is::<lexopt::Error>() => {
            eprintln!("{error}\n\n`cargo xtask --help` lists the commands and their options.");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &mut lexopt::Parser) -> anyhow::Result<ExitCode> {
    use lexopt::Arg::{Long, Short, Value};
    let command = match arguments.next()? {
        None | Some(Long("help") | Short('h')) => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(Value(command)) => command,
        Some(other) => return Err(other.unexpected().into()),
    };
    // `--help` is valid at any position, so that `up --help` does not start anything.
    if arguments.raw_args()?.as_slice().iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    match command.to_str() {
        Some("up") => up::run(up::Options::parse(arguments)?),
        Some("check") => check::run(&check::Options::parse(arguments)?),
        Some("config") => Ok(config::run(&config::Options::parse(arguments)?)),
        Some("consumers") => {
            Ok(config::consumers::run(&config::consumers::Options::parse(arguments)?))
        }
        Some("test") => test::run(&test::Options::parse(arguments)?),
        Some("fuzz") => fuzz::run(&fuzz::Options::parse(arguments)?),
        Some("eval") => eval::run(&eval::Options::parse(arguments)?),
        Some("bench") => bench::run(bench::Options::parse(arguments)?),
        Some("help") => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        // Internal: `child` starts this process, which outlives a SIGKILL of xtask.
        Some("watchdog") => watchdog::run(),
        _ => Err(lexopt::Error::from(format!("unknown command {command:?}")).into()),
    }
}

/// Root of the repository.
fn root() -> PathBuf {
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crates.ancestors().nth(2).map_or_else(|| crates.clone(), PathBuf::from)
}
