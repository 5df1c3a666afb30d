//! The built Spin component in wasmtime, with real WASI HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::edge::{App, Edge};
use crate::log::Log;
use crate::spin::{self, SpinHost};
use crate::workerd::root;

/// Path to which `cargo build --target wasm32-wasip2 --release` writes a component.
pub fn component_file(artifact: &str) -> PathBuf {
    root().join(format!("target/wasm32-wasip2/release/{artifact}.wasm"))
}

/// Path of the Spin component.
pub fn gateway_component() -> PathBuf {
    component_file("edge_spin")
}

/// A running wasmtime with one app for each configuration.
pub struct Wasmtime {
    addresses: BTreeMap<String, SocketAddr>,
    log: Log,
    _host: SpinHost,
    runtime: Option<Runtime>,
}

impl Wasmtime {
    /// Serves apps from the built component. Their state is in a directory, or in memory if `None`.
    pub fn start(apps: &[App], state: Option<&Path>) -> anyhow::Result<Self> {
        Self::start_with(apps, state, |_| {})
    }

    /// The same, with other options of the host for each app.
    pub fn start_with(
        apps: &[App],
        state: Option<&Path>,
        adjust: impl Fn(&mut spin::SpinApp),
    ) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let host = SpinHost::start(&gateway_component())
            .context("build the component first: `cargo xtask test`")?;
        let log = Log::default();
        let mut addresses = BTreeMap::new();
        for app in apps {
            let mut lines = host.lines(&app.name);
            let into = log.clone();
            runtime.spawn(async move {
                while let Some(line) = lines.recv().await {
                    into.push(line);
                }
            });
            let secrets =
                app.secrets.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
            let mut served =
                spin::SpinApp::new(&app.name).variable("gateway_config", app.config.as_str());
            served.variables.extend(secrets);
            served.state = state.map(Path::to_owned);
            served.no_store = !app.ledger;
            adjust(&mut served);
            addresses.insert(app.name.clone(), runtime.block_on(host.serve(served))?);
        }
        Ok(Self { addresses, log, _host: host, runtime: Some(runtime) })
    }
}

impl Edge for Wasmtime {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn address(&self, app: &str) -> SocketAddr {
        self.addresses[app]
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn kill(self: Box<Self>) {
        // The host runs in this process, which must go on: its instances end in the middle of their
        // work, and write nothing more.
        drop(self);
    }
}

impl Drop for Wasmtime {
    fn drop(&mut self) {
        // A runtime that waits for its tasks must not end inside another runtime, and tests may
        // drop this value there.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
