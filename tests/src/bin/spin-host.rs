//! `serin-spin-host`: serves the Spin component on machines without `spin`.
//!
//! It prints one line of JSON when it listens, `{"listening":{"serin":3000}}`, then the component's
//! own lines, and ends on SIGINT or SIGTERM.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;
use tests::spin::{SpinApp, SpinHost};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
serin-spin-host --component FILE [--name NAME] [--port N] [--variable NAME=VALUE]…
                [--variables-file FILE] [--allow SCHEME://HOST:PORT]… [--state DIR]
                [--max-redis-connections N]

  --component FILE       the component that `cargo build -p edge-spin` builds
  --name NAME            the app's name (default serin)
  --port N               the port on loopback (default 3000; 0: any free port)
  --variable NAME=VALUE  a Spin variable
  --variables-file FILE  Spin variables as one JSON object of strings
  --allow PATTERN        an allowed outbound host (default: every host)
  --state DIR            the directory of the key-value store (default: in memory)
  --max-redis-connections N
                         connections to Redis at most (default: no bound)";

struct Arguments {
    component: PathBuf,
    app: SpinApp,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error:#}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let host = SpinHost::start(&arguments.component)?;
    let name = arguments.app.name.clone();
    let mut lines = host.lines(&name);
    let address = host.serve(arguments.app).await?;
    println!("{}", json!({ "listening": { name: address.port() } }));
    loop {
        tokio::select! {
            Some(line) = lines.recv() => print(&line),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    while let Ok(line) = lines.try_recv() {
        print(&line);
    }
    Ok(())
}

fn print(line: &str) {
    // A closed pipe is no reason to stop serving.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Parses the command line; `None` if it asks for help.
fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Arguments>> {
    let mut component = None;
    let mut app = SpinApp { name: "serin".to_owned(), port: 3000, ..SpinApp::default() };
    let mut variables = BTreeMap::new();
    while let Some(flag) = arguments.next() {
        if matches!(flag.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--component" => component = Some(PathBuf::from(value)),
            "--name" => app.name = value,
            "--port" => app.port = value.parse().context("--port needs a number")?,
            "--allow" => app.allowed_hosts.push(value),
            "--state" => app.state = Some(PathBuf::from(value)),
            "--max-redis-connections" => {
                let number = value.parse().context("--max-redis-connections needs a number")?;
                app.max_redis_connections = Some(number);
            }
            "--variable" => {
                // The value may be a secret: no message repeats it.
                let (name, value) = value.split_once('=').context("--variable needs NAME=VALUE")?;
                variables.insert(name.to_owned(), value.to_owned());
            }
            "--variables-file" => {
                let text = std::fs::read_to_string(&value)
                    .with_context(|| format!("cannot read {value}"))?;
                let more: BTreeMap<String, String> = serde_json::from_str(&text)
                    .map_err(|error| {
                        anyhow::anyhow!("line {} is not an object of strings", error.line())
                    })
                    .with_context(|| format!("cannot use {value}"))?;
                app.variables.extend(more);
            }
            _ => bail!("unknown option {flag}"),
        }
    }
    // The command line takes precedence over the file.
    app.variables.extend(variables);
    if app.allowed_hosts.is_empty() {
        app.allowed_hosts.push("*://*:*".to_owned());
    }
    let component = component.context("--component is missing")?;
    Ok(Some(Arguments { component, app }))
}
