//! `serin-upstream`: simulated model provider for demos and manual tests.

use std::process::ExitCode;

use sim::server::Server;
use sim::upstream::DemoProvider;
use tokio::signal::unix::{SignalKind, signal};

const PROVIDERS: &str = "openai|deepseek|local|aliyun";
const USAGE: &str =
    "usage: serin-upstream --port PORT --as openai|deepseek|local|aliyun [--models a,b,…] [--quiet]

Serves a simulated model provider at http://127.0.0.1:PORT/v1. The suffix of a model's name selects a fault:
…-fail-429, …-fail-500, …-fail-503, …-fail-connect, …-fail-timeout, …-fail-cut, …-slow.
Guard services react to marks in a text: [[high]] or [[phone:139…]] with --as aliyun (no /v1, access key
id testid, secret testsecret), [[violence]] at /v1/moderations.
POST /outage?status=503 makes every request fail; DELETE /outage ends that.";

struct Options {
    port: u16,
    provider: DemoProvider,
    models: Vec<String>,
    quiet: bool,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut port, mut provider, mut models, mut quiet) = (None, None, Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("missing value of {argument}"));
        match argument.as_str() {
            "--port" => {
                let text = value()?;
                port = Some(text.parse().map_err(|_| {
                    format!("invalid --port {text}: expected a number from 0 to 65535")
                })?);
            }
            "--as" => {
                let name = value()?;
                provider = Some(
                    DemoProvider::by_name(&name)
                        .ok_or(format!("invalid --as {name}: expected {PROVIDERS}"))?,
                );
            }
            "--models" => models = value()?.split(',').map(|name| name.trim().to_owned()).collect(),
            "--quiet" => quiet = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    let port = port.ok_or("missing option --port PORT")?;
    let provider = provider.ok_or(format!("missing option --as {PROVIDERS}"))?;
    Ok(Options { port, provider, models, quiet })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Options { port, provider, models, quiet } = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("serin-upstream: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let log: Option<fn(&str)> = (!quiet).then_some(|line: &str| println!("{line}"));
    let served = async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let server = Server::start_demo(port, provider, models, log).await?;
        println!(
            "serin-upstream: simulated provider {} at http://{}/v1",
            provider.title(),
            server.address()
        );
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok::<(), std::io::Error>(())
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serin-upstream: cannot serve on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
