//! Scripted upstreams over TCP on the loopback device: for the suites and benchmarks of both edges and for
//! the demo.
//!
//! HTTP/1.1 is written by hand. A server library cannot reset a connection in the middle of a chunk, send a
//! wrong length, or write single bytes.

mod canned;
mod connection;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

pub use canned::{CannedResponse, STAMP_PREFIX};

use crate::upstream::{Call, DemoProvider, Script, UpstreamRegistry, UpstreamSpec};
use connection::Connection;

/// Interval at which [`Server::settled`] checks the calls.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Server that listens until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    content: Arc<ServedContent>,
    listening: JoinHandle<()>,
}

/// Content of a server.
#[derive(Debug)]
enum ServedContent {
    /// Registered worlds, at `/{world}/{upstream}/v1/…`.
    Worlds(Mutex<BTreeMap<String, ServedWorld>>),
    /// One demo provider, at `/v1/…`.
    Demo {
        provider: DemoProvider,
        models: Vec<String>,
        log: Option<fn(&str)>,
        /// Status of every response, as `POST /outage?status=503` sets it; 0 outside of an outage.
        outage: AtomicU16,
    },
}

#[derive(Debug)]
enum ServedWorld {
    Scripted(UpstreamRegistry),
    Canned(Arc<CannedResponse>),
}

impl Server {
    /// Listens on a free port of the loopback device. Worlds are registered later.
    pub async fn start() -> io::Result<Self> {
        Self::listen(0, ServedContent::Worlds(Mutex::default())).await
    }

    /// Listens as a demo provider. `log` receives one line for each request. Port 0 selects a free port.
    pub async fn start_demo(
        port: u16,
        provider: DemoProvider,
        models: Vec<String>,
        log: Option<fn(&str)>,
    ) -> io::Result<Self> {
        let outage = AtomicU16::new(0);
        Self::listen(port, ServedContent::Demo { provider, models, log, outage }).await
    }

    async fn listen(port: u16, content: ServedContent) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let content = Arc::new(content);
        let listening = tokio::spawn(accept(listener, content.clone()));
        Ok(Self { address, content, listening })
    }

    /// Address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL that replaces `UPSTREAM` in a scenario of this world.
    pub fn base(&self, world: &str) -> String {
        format!("http://{}/{world}", self.address)
    }

    /// Registers a world with scripted upstreams. Replaces a world of the same name.
    pub fn register(&self, world: &str, upstreams: BTreeMap<String, UpstreamSpec>) {
        self.put(world, ServedWorld::Scripted(UpstreamRegistry::new(upstreams)));
    }

    /// Replaces the scripts of an upstream from its next call on. Returns the number of earlier calls; their
    /// list is kept.
    pub fn rewrite(&self, world: &str, upstream: &str, script: Script) -> usize {
        match self.worlds().as_deref_mut().and_then(|worlds| worlds.get_mut(world)) {
            Some(ServedWorld::Scripted(registry)) => registry.rewrite(upstream, script),
            Some(ServedWorld::Canned(_)) | None => 0,
        }
    }

    /// Registers a world that sends the same response to every request and keeps no calls: for benchmarks.
    pub fn register_canned(&self, world: &str, canned: CannedResponse) {
        self.put(world, ServedWorld::Canned(Arc::new(canned)));
    }

    /// Returns all calls to the upstreams of a world, by upstream.
    pub fn calls(&self, world: &str) -> BTreeMap<String, Vec<Call>> {
        match self.worlds().as_deref().and_then(|worlds| worlds.get(world)) {
            Some(ServedWorld::Scripted(registry)) => registry.calls().clone(),
            Some(ServedWorld::Canned(_)) | None => BTreeMap::new(),
        }
    }

    /// Same as [`Server::calls`], once every call has ended or after `timeout`.
    pub async fn settled(&self, world: &str, timeout: Duration) -> BTreeMap<String, Vec<Call>> {
        let until = Instant::now() + timeout;
        loop {
            let is_open = match self.worlds().as_deref().and_then(|worlds| worlds.get(world)) {
                Some(ServedWorld::Scripted(registry)) => registry.open_calls() > 0,
                Some(ServedWorld::Canned(_)) | None => false,
            };
            if !is_open || Instant::now() >= until {
                return self.calls(world);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn put(&self, name: &str, world: ServedWorld) {
        if let Some(mut worlds) = self.worlds() {
            worlds.insert(name.to_owned(), world);
        }
    }

    fn worlds(&self) -> Option<MutexGuard<'_, BTreeMap<String, ServedWorld>>> {
        self.content.worlds()
    }
}

impl ServedContent {
    fn worlds(&self) -> Option<MutexGuard<'_, BTreeMap<String, ServedWorld>>> {
        match self {
            Self::Worlds(worlds) => Some(worlds.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Demo { .. } => None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, content: Arc<ServedContent>) {
    // Dropping this task drops every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without this option, small writes wait for the delayed acknowledgment of the peer.
                    if stream.set_nodelay(true).is_ok() {
                        connections.spawn(Connection::new(stream).serve(content.clone()));
                    }
                }
                // Out of file descriptors: wait until some are closed.
                Err(_) => sleep(POLL_INTERVAL).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
