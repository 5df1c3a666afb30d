//! Demo: three simulated providers and the tour that `up` prints. Each provider is a process that
//! the user can kill; it restarts after `OUTAGE`. Needs no key and sends nothing off the machine.

mod tour;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::child::{Ended, Processes};
use crate::config_file::Document;
use crate::secrets::Secrets;
use crate::{artifact, edge, root};

pub(crate) use tour::curl_command;

/// Caller's key in the tour's commands, valid only in the demo.
const KEY: &str = "demo-key";
/// Token of the demo's admin API, which listens on loopback only.
const ADMIN: &str = "demo-admin";
const DOCUMENT: &str = include_str!("../demo.toml");
/// Simulated providers and their ports in the document.
const PROVIDERS: [(&str, u16); 3] = [("openai", 9101), ("deepseek", 9102), ("local", 9103)];
/// Attempts to start a simulated provider, each on a port that was free before.
const PORT_ATTEMPTS: usize = 5;
/// Maximum time until a simulated provider listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the end of a simulated provider to its restart: longer than step 8 of the tour takes.
const OUTAGE: Duration = Duration::from_secs(30);

/// Simulated providers of this run.
pub(crate) struct Demo {
    providers: Vec<ProviderProcess>,
}

struct ProviderProcess {
    persona: &'static str,
    port: u16,
    program: PathBuf,
    state: State,
}

enum State {
    Runs,
    EndedAt(Instant),
}

/// Secrets that the demo's configuration names, and the gateway's own. A simulated provider never
/// receives a real one.
pub(crate) fn secrets() -> Secrets {
    let simulated = "sk-of-the-demo";
    Secrets::only(&[
        ("APP_KEY", KEY),
        ("OPENAI_API_KEY", simulated),
        ("DEEPSEEK_API_KEY", simulated),
        ("ADMIN_TOKEN", ADMIN),
        ("KEY_PEPPER", "pepper-of-the-demo"),
    ])
}

impl Demo {
    /// Builds and starts the simulated providers. Returns the configuration to serve in front of
    /// them.
    pub(crate) fn start(processes: &mut Processes) -> anyhow::Result<(Self, Document)> {
        let program = artifact::demo_provider(processes)?;
        let mut document = DOCUMENT.to_owned();
        let mut providers = Vec::new();
        for (persona, usual) in PROVIDERS {
            let provider = start_on_free_port(processes, &program, persona, usual)?;
            let port = provider.port;
            document =
                document.replace(&format!("127.0.0.1:{usual}/"), &format!("127.0.0.1:{port}/"));
            providers.push(provider);
        }
        let document =
            Document { path: PathBuf::from("crates/xtask/src/demo.toml"), text: document };
        Ok((Self { providers }, document))
    }

    /// Text of the tour, with commands to paste.
    pub(crate) fn tour(&self, base: &str) -> String {
        let deepseek = self.providers.iter().find(|it| it.persona == "deepseek");
        let port = deepseek.map_or(0, |it| it.port);
        tour::text(base, &self.pid_file_of_openai(), port)
    }

    fn pid_file_of_openai(&self) -> String {
        let openai = self.providers.iter().find(|it| it.persona == "openai");
        openai.map(|it| it.pid_file().display().to_string()).unwrap_or_default()
    }

    /// Records the end of a simulated provider, which is a step of the tour. Returns the message to
    /// print. `None` if another process ended.
    pub(crate) fn note_end(&mut self, ended: &Ended) -> Option<String> {
        let provider = self.providers.iter_mut().find(|it| it.persona == ended.name)?;
        provider.state = State::EndedAt(Instant::now());
        Some(format!(
            "The simulated provider {} has ended ({}). It restarts in {} seconds.",
            provider.persona,
            ended.how,
            OUTAGE.as_secs()
        ))
    }

    /// Restarts the first simulated provider whose outage is over. Returns the message to print.
    /// `None` if no outage is over.
    pub(crate) fn restart_due(&mut self, processes: &mut Processes) -> Option<String> {
        let is_due = |it: &&mut ProviderProcess| match it.state {
            State::Runs => false,
            State::EndedAt(time) => time.elapsed() >= OUTAGE,
        };
        let provider = self.providers.iter_mut().find(is_due)?;
        let persona = provider.persona;
        Some(match provider.start(processes) {
            Ok(id) => format!(
                "The simulated provider {persona} has restarted as process {id}. Its cool-down ends within 10 seconds, or 30 if requests were sent meanwhile."
            ),
            Err(error) => {
                if matches!(provider.state, State::EndedAt(_)) {
                    provider.state = State::EndedAt(Instant::now());
                }
                format!("cannot start the simulated provider {persona}: {error:#}")
            }
        })
    }
}

impl ProviderProcess {
    fn start(&mut self, processes: &mut Processes) -> anyhow::Result<u32> {
        let mut command = Command::new(&self.program);
        command
            .args(["--as", self.persona, "--port", &self.port.to_string(), "--quiet"])
            .stdout(Stdio::null());
        let id = processes.start(self.persona, &mut command, &[], true)?;
        self.state = State::Runs;
        let file = self.pid_file();
        std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
        std::fs::write(&file, format!("{id}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(id)
    }

    /// File with the process id, for the `kill` command of the tour.
    fn pid_file(&self) -> PathBuf {
        root().join(format!(".serin/{}-{}.pid", self.persona, self.port))
    }
}

impl Drop for ProviderProcess {
    fn drop(&mut self) {
        if matches!(self.state, State::Runs) {
            std::fs::remove_file(self.pid_file()).ok();
        }
    }
}

/// Returns the usual port, or any free port if another process uses it.
fn free_port(usual: u16) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(usual).or_else(|_| bind(0))?;
    Ok(listener.local_addr()?.port())
}

/// Starts a provider. Another process may take the port between the check and the start: the provider
/// ends then, and starts again on another port.
fn start_on_free_port(
    processes: &mut Processes,
    program: &Path,
    persona: &'static str,
    usual: u16,
) -> anyhow::Result<ProviderProcess> {
    for _ in 0..PORT_ATTEMPTS {
        let (port, program) = (free_port(usual)?, program.to_owned());
        let state = State::EndedAt(Instant::now());
        let mut provider = ProviderProcess { persona, port, program, state };
        provider.start(processes)?;
        if is_listening(processes, persona, port)? {
            return Ok(provider);
        }
    }
    bail!("the simulated provider {persona} ended {PORT_ATTEMPTS} times before it listened")
}

/// Waits until a provider listens. Returns false if it ended.
fn is_listening(processes: &mut Processes, name: &str, port: u16) -> anyhow::Result<bool> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        let is_open = edge::is_listening(port);
        // The listener is another process if the provider ends now.
        processes.wait_briefly();
        match processes.ended() {
            Some(ended) if ended.name == name => return Ok(false),
            Some(ended) => bail!("the simulated provider {} ended: {}", ended.name, ended.how),
            None if is_open => return Ok(true),
            None => {}
        }
        if processes.is_interrupted() || Instant::now() > until {
            bail!("the simulated provider {name} does not listen on port {port}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::child::Ended;
    use crate::config_file::Document;

    use super::{DOCUMENT, Demo, PROVIDERS, ProviderProcess, State, secrets};

    #[test]
    fn demo_configuration_is_valid_and_stays_on_loopback() {
        let document = Document { path: "demo.toml".into(), text: DOCUMENT.to_owned() };
        let config = document.parse(&secrets()).expect("the demo is valid");
        // Spin passes only the variables that its manifest declares.
        let manifest = include_str!("../../../../spin.toml");
        let is_declared = |name: &String| manifest.contains(&format!("\n{} ", name.to_lowercase()));
        assert!(document.secret_names().iter().all(is_declared), "{:?}", document.secret_names());
        for (provider, (persona, port)) in config.providers.iter().zip(PROVIDERS) {
            assert_eq!(provider.id, persona);
            assert_eq!(provider.base_url, format!("http://127.0.0.1:{port}/v1"));
        }
    }

    #[test]
    fn models_of_the_tour_have_their_routes() {
        let document = Document { path: "demo.toml".into(), text: DOCUMENT.to_owned() };
        let config = document.parse(&secrets()).expect("the demo is valid");
        let route = |model: &str| {
            let index =
                config.models.route(model).unwrap_or_else(|| panic!("{model} has no route"));
            &config.route(index).id
        };
        let models =
            ["gpt-4o", "gpt-4o-fail-503", "gpt-4o-slow", "gpt-4o-mini", "deepseek-chat", "gpt-4.1"];
        assert_eq!(
            models.map(route),
            ["chat", "failing", "failing", "sticky", "limited", "migration"]
        );
    }

    fn demo() -> Demo {
        let provider = |(persona, port)| ProviderProcess {
            persona,
            port,
            program: "upstream".into(),
            state: State::EndedAt(Instant::now()),
        };
        Demo { providers: PROVIDERS.map(provider).into() }
    }

    #[test]
    fn end_of_a_simulated_provider_is_announced_and_of_another_process_is_not() {
        let mut demo = demo();
        let ended = |name: &str| Ended { name: name.to_owned(), how: "signal: 15".to_owned() };
        let message = demo.note_end(&ended("deepseek")).expect("a simulated provider ended");
        assert!(message.contains("deepseek") && message.contains("30 seconds"), "{message}");
        assert_eq!(demo.note_end(&ended("workerd")), None);
    }

    #[test]
    fn tour_names_the_process_file_of_openai() {
        let tour = demo().tour("http://127.0.0.1:8787");
        assert!(tour.contains("/.serin/openai-9101.pid)\n"), "{tour}");
        assert!(tour.contains("http://127.0.0.1:9102/outage"), "{tour}");
    }
}
