//! An edge with one app in its own process, so that its resource use can be measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::edge::{App, Edge};
use crate::edge_kind::EdgeKind;
use crate::log::Log;
use crate::memory;
use crate::workerd::{Workerd, root};

/// Longest start of a host: it may have to compile first.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that serves one app.
pub struct IsolatedEdge {
    served: Served,
    app: String,
}

enum Served {
    Cloudflare(Workerd),
    Spin(HostProcess),
}

/// The wasmtime host.
struct HostProcess {
    child: Child,
    port: u16,
    log: Log,
}

impl IsolatedEdge {
    /// Serves an app. `host` is the path of `serin-spin-host`, which cargo passes to tests.
    pub fn start(edge_kind: EdgeKind, host: &Path, app: &App) -> anyhow::Result<Self> {
        Self::start_with_state(edge_kind, host, app, None)
    }

    /// Serves an app with its state in a directory.
    pub fn start_with_state(
        edge_kind: EdgeKind,
        host: &Path,
        app: &App,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let served = match edge_kind {
            EdgeKind::Cloudflare => {
                Served::Cloudflare(Workerd::start(std::slice::from_ref(app), state)?)
            }
            EdgeKind::Spin => Served::Spin(component(host, app, state)?),
        };
        Ok(Self { served, app: app.name.clone() })
    }

    /// Ends the process by SIGKILL.
    pub fn kill(self) {
        match self.served {
            Served::Cloudflare(workerd) => Box::new(workerd).kill(),
            Served::Spin(program) => drop(program),
        }
    }

    /// The app's address.
    pub fn address(&self) -> SocketAddr {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.address(&self.app),
            Served::Spin(program) => (Ipv4Addr::LOCALHOST, program.port).into(),
        }
    }

    /// Every line that it has logged.
    pub fn log(&self) -> &Log {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.log(),
            Served::Spin(program) => &program.log,
        }
    }

    /// Resident memory in bytes: of workerd, without the script that started it; or of the wasmtime
    /// host.
    pub fn resident(&self) -> anyhow::Result<usize> {
        match &self.served {
            Served::Cloudflare(workerd) => {
                let children = memory::children(workerd.process());
                let [workerd] = children[..] else { bail!("not one child: {children:?}") };
                memory::resident(workerd)
            }
            Served::Spin(program) => memory::resident(program.child.id()),
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // The process has no state that an orderly end would save.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn component(host: &Path, app: &App, state: Option<&Path>) -> anyhow::Result<HostProcess> {
    let mut command = Command::new(host);
    command.arg("--component").arg(root().join("target/wasm32-wasip2/release/edge_spin.wasm"));
    command.args(["--name", &app.name, "--port", "0"]);
    command.args(["--variable", &format!("gateway_config={}", app.config)]);
    if let Some(state) = state {
        command.arg("--state").arg(state);
    }
    for (name, value) in &app.secrets {
        command.args(["--variable", &format!("{}={value}", name.to_lowercase())]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let log = Log::default();
    log.follow(child.stdout.take().context("stdout is piped")?);
    let mut program = HostProcess { child, port: 0, log };
    let HostProcess { child, port, log } = &mut program;
    let until = Instant::now() + LISTEN_TIMEOUT;
    while *port == 0 {
        let lines = log.lines();
        let told = lines.iter().find_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(told) = told.as_ref().and_then(|told| told["listening"][&app.name].as_u64()) {
            *port = u16::try_from(told)?;
        } else if let Some(status) = child.try_wait()? {
            bail!("the wasmtime host ended with {status}:\n{}", lines.join("\n"));
        } else if Instant::now() > until {
            bail!("the wasmtime host did not listen in {LISTEN_TIMEOUT:?}");
        } else {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(program)
}
