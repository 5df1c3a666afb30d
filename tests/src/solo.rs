//! An edge with one app in a process of its own, so that what it takes can be measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::edge::{App, Edge};
use crate::kind::Kind;
use crate::log::Log;
use crate::memory;
use crate::workerd::{Workerd, root};

/// How long a host may take to listen: it may have to compile first.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process that serves, and its app.
pub struct Solo {
    served: Served,
    app: String,
}

enum Served {
    Cloudflare(Workerd),
    Spin { child: Child, port: u16, log: Log },
}

impl Solo {
    /// Serves an app. `host` is the program `serin-spin-host`, which tests are told by cargo.
    pub fn start(kind: Kind, host: &Path, app: &App) -> anyhow::Result<Self> {
        let served = match kind {
            Kind::Cloudflare => {
                Served::Cloudflare(Workerd::start(std::slice::from_ref(app), None)?)
            }
            Kind::Spin => component(host, app)?,
        };
        Ok(Self { served, app: app.name.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.address(&self.app),
            Served::Spin { port, .. } => (Ipv4Addr::LOCALHOST, *port).into(),
        }
    }

    /// Everything that it has logged.
    pub fn log(&self) -> &Log {
        match &self.served {
            Served::Cloudflare(workerd) => workerd.log(),
            Served::Spin { log, .. } => log,
        }
    }

    /// The memory of workerd, without the script that started it; or that of the wasmtime host.
    pub fn resident(&self) -> anyhow::Result<usize> {
        match &self.served {
            Served::Cloudflare(workerd) => {
                let children = memory::children(workerd.process());
                let [workerd] = children[..] else { bail!("the script has {children:?}") };
                memory::resident(workerd)
            }
            Served::Spin { child, .. } => memory::resident(child.id()),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        match self {
            Self::Cloudflare(_) => {}
            Self::Spin { child, .. } => {
                // It keeps nothing that a polite end would save.
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

fn component(host: &Path, app: &App) -> anyhow::Result<Served> {
    let mut command = Command::new(host);
    command.arg("--component").arg(root().join("target/wasm32-wasip2/release/edge_spin.wasm"));
    command.args(["--name", &app.name, "--port", "0"]);
    command.args(["--variable", &format!("gateway_config={}", app.config)]);
    for (name, value) in &app.secrets {
        command.args(["--variable", &format!("{}={value}", name.to_lowercase())]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let log = Log::default();
    log.follow(child.stdout.take().context("stdout is piped")?);
    let mut served = Served::Spin { child, port: 0, log };
    let Served::Spin { child, port, log } = &mut served else { bail!("it was made here") };
    let until = Instant::now() + PATIENCE;
    while *port == 0 {
        let lines = log.lines();
        let told = lines.iter().find_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(told) = told.as_ref().and_then(|told| told["listening"][&app.name].as_u64()) {
            *port = u16::try_from(told)?;
        } else if let Some(status) = child.try_wait()? {
            bail!("the wasmtime host ended with {status}:\n{}", lines.join("\n"));
        } else if Instant::now() > until {
            bail!("the wasmtime host did not listen in {PATIENCE:?}");
        } else {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(served)
}
