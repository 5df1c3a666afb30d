//! `serin-upstream`: a model provider of straw for demos and trials by hand.

use std::process::ExitCode;

use sim::server::Server;
use sim::upstream::DemoProvider;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: serin-upstream --port PORT --as openai|deepseek|local|aliyun [--models a,b,…] [--quiet]

A stand-in for a model provider at http://127.0.0.1:PORT/v1. A model's name can ask for trouble:
…-fail-429, …-fail-500, …-fail-503, …-fail-connect, …-fail-timeout, …-fail-cut, …-slow.
What judges texts finds marks in them: [[high]] or [[phone:139…]] as aliyun (without /v1, key testid,
secret testsecret), [[violence]] at /v1/moderations.";

struct Options {
    port: u16,
    persona: DemoProvider,
    models: Vec<String>,
    quiet: bool,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut port, mut provider, mut models, mut quiet) = (None, None, Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--port" => {
                let text = value()?;
                port = Some(text.parse().map_err(|_| format!("{text} is not a port"))?);
            }
            "--as" => {
                let name = value()?;
                provider = Some(
                    DemoProvider::by_name(&name)
                        .ok_or(format!("there is no stand-in for {name}"))?,
                );
            }
            "--models" => models = value()?.split(',').map(|name| name.trim().to_owned()).collect(),
            "--quiet" => quiet = true,
            other => return Err(format!("{other} is not an option")),
        }
    }
    let port = port.ok_or("--port is missing")?;
    let provider = provider.ok_or("--as is missing")?;
    Ok(Options { port, persona: provider, models, quiet })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Options { port, persona: provider, models, quiet } = match options(std::env::args().skip(1))
    {
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
        let server = Server::start_persona(port, provider, models, log).await?;
        println!(
            "serin-upstream: stand-in for {} at http://{}/v1",
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
            eprintln!("serin-upstream: cannot listen on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
