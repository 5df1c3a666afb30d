//! A host for the Spin component: a replacement of `spin up`, for machines without Spin and for
//! tests.
//!
//! It uses the same libraries as Spin 4.1: wasmtime with the pooling allocator, and
//! `wasmtime_wasi_http::handler::ProxyHandler` with Spin's own limits on the reuse of instances
//! (128 requests, 16 at a time, dropped after a second of idleness). Like Spin's SQLite store, its
//! key-value store has one lock, which a listing holds until it is read, and a call that waits for
//! the lock blocks its instance. Sockets are without TCP_NODELAY, and a variable whose name Spin
//! refuses is refused. It has no routes (an app is one component on one port), no TLS for callers,
//! no triggers but HTTP, and of Spin's interfaces only those that the component imports.

mod allowed;
mod app;
mod bindings;
mod engine;
mod handles;
mod instance;
mod keyvalue;
mod outbound;
mod output;
mod redis;
mod server;
mod state;
mod storage;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::allowed::AllowedHosts;
pub use self::app::{SpinApp, Swaps};

use self::engine::Component;
use self::instance::InstanceFactory;
use self::outbound::Upstreams;
use self::output::AppLog;

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

    /// Serves an app until the host is dropped, and returns its address. The runtime must have several
    /// threads, since calls to the store block one.
    pub async fn serve(&self, app: SpinApp) -> anyhow::Result<SocketAddr> {
        if let Some(name) = app.variables.keys().find(|name| !is_variable_name(name)) {
            bail!("Spin refuses the variable {name:?}: each of its words must begin with a letter");
        }
        let listener = TcpListener::bind(("127.0.0.1", app.port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{}", app.port))?;
        let address = listener.local_addr()?;
        let log = self.log(&app.name);
        let factory = InstanceFactory::new(&self.component, self.upstreams.clone(), app, log)?;
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

/// Whether Spin allows a name for a variable: words of lower-case letters and digits, joined by `_`,
/// each of which begins with a letter.
pub fn is_variable_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.split('_').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::is_variable_name;

    #[test]
    fn words_of_a_variable_begin_with_a_letter() {
        assert!(["a", "app_key", "key2", "a1_b2"].into_iter().all(is_variable_name));
        let refused = ["", "openai_api_key_2", "2", "_a", "a_", "a__b", "A", "a-b"];
        assert!(!refused.into_iter().any(is_variable_name));
    }
}
