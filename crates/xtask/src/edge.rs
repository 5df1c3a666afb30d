//! Prepares and starts the two hosts on the local machine, and waits for their health checks.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use secret::Secret;
use serde_json::json;

use crate::artifact::{self, COMPONENT_TARGET, WORKER_TARGET};
use crate::child::Processes;
use crate::tools::{self, announce};
use crate::{log, root, spin_names};

/// Maximum time until a host responds: wasmtime compiles the component first.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(120);

/// Host of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The Workers runtime.
    #[default]
    Cloudflare,
    /// Spin, or the wasmtime host in its place.
    Spin,
}

/// Gateway to serve.
pub(crate) struct Service {
    /// Configuration as JSON.
    pub(crate) document: String,
    /// Secrets that the configuration names.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Port on loopback.
    pub(crate) port: u16,
    /// Directory of local storage.
    pub(crate) state: PathBuf,
    pub(crate) log: log::Format,
}

impl Service {
    /// Pipes the host's output if its records and warnings are to be shortened.
    fn pipe_log(&self, command: &mut Command) {
        match self.log {
            log::Format::Short => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
            log::Format::Json => command,
        };
    }
}

/// Built artifact, ready to start.
#[derive(Clone)]
pub(crate) enum Ready {
    Worker,
    /// Component for the Spin CLI.
    Spin,
    /// Component for the wasmtime host.
    Host {
        program: PathBuf,
        component: PathBuf,
    },
}

impl Edge {
    /// Finds an edge by the value of `--on`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "cloudflare" => Some(Self::Cloudflare),
            "spin" => Some(Self::Spin),
            _ => None,
        }
    }

    /// Default port of the host's own tools.
    pub(crate) fn usual_port(self) -> u16 {
        match self {
            Self::Cloudflare => 8787,
            Self::Spin => 3000,
        }
    }

    /// Installs missing tools and builds the artifact.
    pub(crate) fn prepare(
        self,
        processes: &mut Processes,
        service: &Service,
    ) -> anyhow::Result<Ready> {
        match self {
            Self::Cloudflare => {
                tools::target(processes, WORKER_TARGET)?;
                tools::packages(processes)?;
                artifact::current_worker(processes)?;
                Ok(Ready::Worker)
            }
            Self::Spin => {
                let refused = spin_names::refused(service.secrets.keys().map(String::as_str));
                if !refused.is_empty() {
                    bail!("{}", spin_names::explain(&refused));
                }
                tools::target(processes, COMPONENT_TARGET)?;
                if let Some(version) = tools::spin() {
                    announce(&format!(
                        "Spin {version} is installed: `spin up` serves the component"
                    ));
                    require_declared(service)?;
                    artifact::current_component(processes)?;
                    return Ok(Ready::Spin);
                }
                announce(
                    "the Spin CLI (4.1 or newer) is missing: using the wasmtime host in tests/",
                );
                let program = artifact::spin_host(processes)?;
                Ok(Ready::Host { program, component: artifact::current_component(processes)? })
            }
        }
    }
}

impl Ready {
    /// Starts the host and returns its process. Command lines contain no secrets: every user of the machine can
    /// read them.
    pub(crate) fn start(self, processes: &mut Processes, service: &Service) -> anyhow::Result<u32> {
        let port = service.port.to_string();
        match self {
            Self::Worker => {
                let options = json!({
                    "state": service.state,
                    "workers": [{ "name": "serin", "port": service.port, "bindings": bindings(service) }],
                });
                let mut command = tools::node("node")?;
                command.arg("edge-cloudflare/serve.mjs");
                service.pipe_log(&mut command);
                let input = format!("{options}\n");
                processes.start("the Workers runtime", &mut command, input.as_bytes(), true)
            }
            Self::Spin => {
                let mut command = Command::new("spin");
                command.args([
                    "up",
                    "--from",
                    "spin.toml",
                    "--listen",
                    &format!("127.0.0.1:{port}"),
                ]);
                command.arg("--state-dir").arg(&service.state).current_dir(root());
                for (name, value) in variables(service) {
                    command.env(format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()), value);
                }
                service.pipe_log(&mut command);
                processes.start("spin", &mut command, &[], true)
            }
            Self::Host { program, component } => {
                let mut command = Command::new(program);
                command.arg("--component").arg(component).args(["--port", &port]);
                // The host reads the variables until the end of its input.
                command.args(["--variables-file", "/dev/stdin"]).current_dir(root());
                command.arg("--state").arg(&service.state);
                service.pipe_log(&mut command);
                let input = json!(variables(service)).to_string();
                processes.start("the wasmtime host", &mut command, input.as_bytes(), false)
            }
        }
    }
}

/// Fails if the port is in use, before anything is built.
pub(crate) fn require_free(port: u16) -> anyhow::Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            bail!("port {port} of 127.0.0.1 cannot be used ({error}): choose another with --port N")
        }
    }
}

/// Waits until the gateway answers `/healthz`.
pub(crate) fn await_health(processes: &mut Processes, port: u16) -> anyhow::Result<()> {
    let until = Instant::now() + HEALTH_TIMEOUT;
    loop {
        match health(port) {
            Some(200) => return Ok(()),
            Some(status) => {
                bail!("the gateway answers /healthz with {status}: see its log above")
            }
            None => {}
        }
        if let Some(ended) = processes.ended() {
            bail!("{} ended before it listened: {}", ended.name, ended.how);
        }
        if processes.is_interrupted() {
            bail!("stopped while waiting for the gateway");
        }
        if Instant::now() > until {
            bail!(
                "no response from http://127.0.0.1:{port}/healthz after {} seconds",
                HEALTH_TIMEOUT.as_secs()
            );
        }
        processes.wait_briefly();
    }
}

/// Whether a process listens on the port.
pub(crate) fn is_listening(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
}

/// Status of one `GET /healthz`. `None` if there is no HTTP response.
fn health(port: u16) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request =
        format!("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// Bindings of the Worker by name.
fn bindings(service: &Service) -> BTreeMap<String, String> {
    let secrets = service.secrets.iter();
    let mut bindings: BTreeMap<String, String> =
        secrets.map(|(name, secret)| (name.clone(), secret.reveal().to_owned())).collect();
    bindings.insert("GATEWAY_CONFIG".to_owned(), service.document.clone());
    bindings
}

/// Bindings as Spin variables, whose names are lower case.
fn variables(service: &Service) -> BTreeMap<String, String> {
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    bindings(service).into_iter().map(lower).collect()
}

/// Fails if `spin.toml` does not declare a secret: Spin passes only declared variables.
fn require_declared(service: &Service) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(root().join("spin.toml")).context("cannot read spin.toml")?;
    let missing = undeclared(&text.parse().context("spin.toml is broken")?, service);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing
        .iter()
        .map(|name| format!("  [variables]                      {name} = {{ default = \"\", secret = true }}\n  [component.serin.variables]      {name} = \"{{{{ {name} }}}}\""))
        .collect();
    bail!(
        "spin.toml does not declare secrets that the configuration names; add\n{}",
        lines.join("\n")
    )
}

fn undeclared(manifest: &toml::Table, service: &Service) -> Vec<String> {
    let declared = manifest.get("variables").and_then(toml::Value::as_table);
    let is_declared = |name: &String| declared.is_some_and(|declared| declared.contains_key(name));
    service
        .secrets
        .keys()
        .map(|name| name.to_ascii_lowercase())
        .filter(|name| !is_declared(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, TcpListener};

    use secret::Secret;

    use super::{Edge, Service, bindings, is_listening, require_free, undeclared, variables};

    fn service() -> Service {
        Service {
            document: "{}".to_owned(),
            secrets: [("APP_KEY".to_owned(), Secret::new("k"))].into(),
            port: 1,
            state: ".serin/state".into(),
            log: crate::log::Format::Json,
        }
    }

    #[test]
    fn bindings_and_variables_have_the_names_of_their_host() {
        let names = |map: BTreeMap<String, String>| map.into_keys().collect::<Vec<_>>();
        assert_eq!(names(bindings(&service())), ["APP_KEY", "GATEWAY_CONFIG"]);
        assert_eq!(names(variables(&service())), ["app_key", "gateway_config"]);
    }

    #[test]
    fn undeclared_secrets_are_listed() {
        let manifest = |text: &str| text.parse().expect("the manifest is TOML");
        assert_eq!(undeclared(&manifest(""), &service()), ["app_key"]);
        let declared = manifest("[variables]\napp_key = { default = '' }");
        assert_eq!(undeclared(&declared, &service()), Vec::<String>::new());
    }

    #[test]
    fn port_in_use_is_refused() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("the listener is bound").port();
        let message = require_free(port).expect_err("the port is in use").to_string();
        assert!(
            message.starts_with(&format!("port {port} ")) && message.contains("--port"),
            "{message}"
        );
        assert!(is_listening(port));
        // The system selects a free port for port 0.
        require_free(0).expect("a free port");
    }

    #[test]
    fn edges_have_names_and_ports() {
        let ports =
            ["cloudflare", "spin", "fly"].map(|name| Edge::named(name).map(Edge::usual_port));
        assert_eq!(ports, [Some(8787), Some(3000), None]);
    }
}
