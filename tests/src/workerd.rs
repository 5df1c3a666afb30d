//! The built Worker on the real Workers runtime: workerd, through Miniflare.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::edge::{App, Edge};
use crate::log::Log;
use crate::memory;

/// Longest start of workerd.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(120);

/// A running workerd with one Worker for each app.
#[derive(Debug)]
pub struct Workerd {
    child: Child,
    ports: BTreeMap<String, u16>,
    log: Log,
}

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Workerd {
    /// Serves apps from the built Worker. Their state is in a directory, or in memory if `None`.
    pub fn start(apps: &[App], state: Option<&Path>) -> anyhow::Result<Self> {
        let workers = apps.iter().map(|app| {
            let mut bindings: Map<String, Value> =
                app.secrets.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            bindings.insert("GATEWAY_CONFIG".to_owned(), json!(app.config));
            json!({ "name": app.name, "bindings": bindings, "ledger": app.ledger })
        });
        Self::serve(workers.collect(), state)
    }

    /// Serves Workers as `serve.mjs` describes them; each gets a free port.
    pub fn serve(workers: Vec<Value>, state: Option<&Path>) -> anyhow::Result<Self> {
        let root = root();
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("edge-cloudflare/serve.mjs"))
            .current_dir(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("node is missing: run `cargo xtask test`, which installs it")?;
        let log = Log::default();
        log.follow(child.stdout.take().context("stdout is piped")?);
        log.follow(child.stderr.take().context("stderr is piped")?);
        // The script ends when its standard input does, so that no process remains if this one is
        // killed.
        let input = child.stdin.as_mut().context("stdin is piped")?;
        writeln!(input, "{}", json!({ "state": state, "workers": workers }))?;
        input.flush()?;
        let mut workerd = Self { child, ports: BTreeMap::new(), log };
        workerd.ports = workerd
            .log
            .await_ports(&mut workerd.child, LISTEN_TIMEOUT)
            .context("workerd does not listen")?;
        Ok(workerd)
    }

    /// Id of the process that serves, for measurements.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Edge for Workerd {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn address(&self, app: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[app]).into()
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn kill(mut self: Box<Self>) {
        // workerd first: it must not end in good order, and it would if the script ended first.
        for workerd in memory::children(self.child.id()) {
            Command::new("sh").args(["-c", &format!("kill -KILL {workerd}")]).status().ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        // Closing its input makes the script end workerd and itself; SIGKILL would orphan workerd.
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                self.child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
