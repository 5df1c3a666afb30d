//! A host for the Spin component: a replacement of `spin up`, for machines without Spin and for
//! tests.
//!
//! It uses the same libraries as Spin 4.1: wasmtime with the pooling allocator, and
//! `wasmtime_wasi_http::handler::ProxyHandler` with Spin's own limits on the reuse of instances
//! (128 requests, 16 at a time, dropped after a second of idleness). It differs in favor of tests
//! and benchmarks: it sets TCP_NODELAY. It has no routes (an app is one component on one port), no
//! TLS for callers, no triggers but HTTP, and of Spin's interfaces only those that the component
//! imports.

mod allowed;
mod engine;
mod instance;
mod keyvalue;
mod outbound;
mod output;
mod server;
mod storage;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::allowed::AllowedHosts;

use self::engine::Component;
use self::outbound::Upstreams;
use self::output::AppLog;

/// An application: one component under a name, with its own variables, on its own port.
#[derive(Clone, Debug, Default)]
pub struct SpinApp {
    /// Its name in tests.
    pub name: String,
    /// The port on loopback; 0 lets the system choose.
    pub port: u16,
    /// Spin variables. Any other variable is undefined.
    pub variables: BTreeMap<String, String>,
    /// Patterns as in `allowed_outbound_hosts`: `scheme://host:port`, each part may be `*`.
    pub allowed_hosts: Vec<String>,
    /// Directory of its key-value store. `None`: in memory, until the host is dropped.
    pub state: Option<PathBuf>,
    /// Whether the app has no store, as if `key_value_stores` were empty.
    pub no_store: bool,
}

impl SpinApp {
    /// An app on a port of the system's choice that may call every host.
    pub fn new(name: &str) -> Self {
        let allowed_hosts = vec!["*://*:*".to_owned()];
        Self { name: name.to_owned(), allowed_hosts, ..Self::default() }
    }

    /// Adds a variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }
}

/// The host: one component, and any number of apps made of it. Dropping it closes their ports.
pub struct SpinHost {
    component: Component,
    upstreams: Upstreams,
    logs: Mutex<HashMap<String, Arc<AppLog>>>,
    servers: Mutex<JoinSet<()>>,
}

impl SpinHost {
    /// Compiles a component, or loads its code from the cache.
    pub fn start(component: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            component: Component::load(component)?,
            upstreams: Upstreams::new(),
            logs: Mutex::default(),
            servers: Mutex::default(),
        })
    }

    /// Serves an app until the host is dropped, and returns its address.
    pub async fn serve(&self, app: SpinApp) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", app.port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{}", app.port))?;
        let address = listener.local_addr()?;
        let log = self.log(&app.name);
        let factory =
            instance::InstanceFactory::new(&self.component, self.upstreams.clone(), app, log)?;
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.spawn(server::serve(listener, factory));
        Ok(address)
    }

    /// Lines that an app writes from now on, to either of its outputs.
    pub fn lines(&self, name: &str) -> mpsc::UnboundedReceiver<String> {
        self.log(name).subscribe()
    }

    fn log(&self, name: &str) -> Arc<AppLog> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(name.to_owned()).or_default())
    }
}
