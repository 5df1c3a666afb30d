//! An edge with one app in its own process, so that its resource use can be measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::component::gateway_component;
use crate::edge::{App, Edge};
use crate::edge_kind::EdgeKind;
use crate::log::Log;
use crate::memory;
use crate::workerd::Workerd;

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
    /// Serves an app. Its state is in a directory, or in memory if `None`. `program` is the path of
    /// `serin-spin-host`, which cargo passes to tests.
    pub async fn start(
        edge_kind: EdgeKind,
        program: &str,
        app: App,
        state: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let (program, state) = (PathBuf::from(program), state.map(Path::to_owned));
        // Starting blocks.
        let start = move || {
            let served = match edge_kind {
                EdgeKind::Cloudflare => {
                    let apps = std::slice::from_ref(&app);
                    Served::Cloudflare(Workerd::start(apps, state.as_deref())?)
                }
                EdgeKind::Spin => Served::Spin(component(&program, &app, state.as_deref())?),
            };
            Ok(Self { served, app: app.name })
        };
        let started: anyhow::Result<Self> = tokio::task::spawn_blocking(start).await?;
        started.context("build both artifacts first: `cargo xtask test`")
    }

    /// Ends the process by SIGKILL.
    pub fn kill(self) {
        match self.served {
            Served::Cloudflare(workerd) => Box::new(workerd).kill(),
            Served::Spin(host) => drop(host),
        }
    }

    /// The app's address.
    pub fn address(&self) -> SocketAddr {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.address(&self.app),
            Served::Spin(host) => (Ipv4Addr::LOCALHOST, host.port).into(),
        }
    }

    /// Every line that it has logged.
    pub fn log(&self) -> &Log {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.log(),
            Served::Spin(host) => &host.log,
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
            Served::Spin(host) => memory::resident(host.child.id()),
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

fn component(program: &Path, app: &App, state: Option<&Path>) -> anyhow::Result<HostProcess> {
    let mut command = Command::new(program);
    command.arg("--component").arg(gateway_component());
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
    let mut host = HostProcess { child, port: 0, log };
    let HostProcess { child, port, log } = &mut host;
    let ports =
        log.await_ports(child, LISTEN_TIMEOUT).context("the wasmtime host does not listen")?;
    *port = *ports.get(&app.name).context("the wasmtime host has no port for the app")?;
    Ok(host)
}
