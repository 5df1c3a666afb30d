//! What a person types: `cargo xtask up | check | config | test | bench`.
//!
//! It builds, serves and tests with the ordinary tools of each host. It holds nothing that the
//! products need: both of them deploy without it.

mod artifact;
mod bench;
mod check;
mod child;
mod config;
mod config_file;
mod demo;
mod edge;
mod log;
mod plan;
mod secrets;
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
      --config FILE          what the gateway does (default gateway.toml)
      --port N               another port on loopback
      --secret NAME=VALUE    a secret that the configuration names; may be repeated. Others come from
                             .dev.vars and from environment variables of the same name
      --state DIR            where local storage is kept (default .serin/state)
      --demo                 simulated providers instead of real ones (also when no provider key is set)
      --log short|json       how requests are printed (default: short in a terminal, else json)

  cargo xtask check [FILE]   validates a configuration and prints each route's plan; calls nobody
      --with-secrets         a secret that is not set here is an error too

  cargo xtask config get | put FILE | diff FILE | versions | restore N
                             the configuration of a gateway that runs; FILE is TOML, or JSON by its name
      --url URL              where it is (default http://127.0.0.1:8787)
      --token-env NAME       the variable that holds the admin token (default ADMIN_TOKEN)
      --yes                  puts and restores without asking, after showing what changes
                             exits with 0: done, or no difference; 1: a difference, or it was refused;
                             2: wrong arguments; 3: the gateway could not be asked. It needs curl

  cargo xtask test           every test, in order, with a summary: what CI runs
      --only NAME            one step of it; a wrong name lists them all

  cargo xtask bench          the benchmarks, each beside its baseline
      --only core|edges|limits|streams|guards|cache|recording
                             some of them; what stands behind edges is a part of the edges' benchmarks

Tools that a fresh machine lacks are installed into $SERIN_TOOLS (default ~/.cache/serin).
Ctrl-C ends everything that was started.";

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
    // Help is given wherever it is asked for, so that `up --help` does not start anything.
    if arguments.raw_args()?.as_slice().iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    match command.to_str() {
        Some("up") => up::run(up::Options::parse(arguments)?),
        Some("check") => check::run(&check::Options::parse(arguments)?),
        Some("config") => Ok(config::run(&config::Options::parse(arguments)?)),
        Some("test") => test::run(&test::Options::parse(arguments)?),
        Some("bench") => bench::run(bench::Options::parse(arguments)?),
        Some("help") => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        // Not for people: the process that `child` starts to outlive a hard kill.
        Some("guard") => watchdog::run(),
        _ => Err(lexopt::Error::from(format!("there is no command {command:?}")).into()),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crates.ancestors().nth(2).map_or_else(|| crates.clone(), PathBuf::from)
}
