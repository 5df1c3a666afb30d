//! The same scripts over real TCP, on loopback: for the suites and benchmarks of both edges, and for
//! the demo.
//!
//! HTTP/1.1 is written by hand, since a proper server library would not let us reset a connection in
//! the middle of a chunk, lie about a length or drip single bytes.

mod canned;
mod connection;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

pub use canned::{CannedResponse, STAMP_PREFIX};

use crate::upstream::{Call, DemoProvider, Script, UpstreamRegistry, UpstreamSpec};
use connection::Connection;

/// How often [`Server::settled`] looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A server that listens until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    repertoire: Arc<ServedContent>,
    listening: JoinHandle<()>,
}

/// What a server plays.
#[derive(Debug)]
enum ServedContent {
    /// `/{world}/{upstream}/v1/…` leads to a registered world.
    Worlds(Mutex<BTreeMap<String, ServedWorld>>),
    /// `/v1/…` leads to one persona.
    Persona { persona: DemoProvider, models: Vec<String>, log: Option<fn(&str)> },
}

#[derive(Debug)]
enum ServedWorld {
    Scripted(UpstreamRegistry),
    Canned(Arc<CannedResponse>),
}

impl Server {
    /// Listens on a free port of the loopback device; worlds are registered later.
    pub async fn start() -> io::Result<Self> {
        Self::listen(0, ServedContent::Worlds(Mutex::default())).await
    }

    /// Listens as one persona; `log` gets a line for every request. Port 0 takes a free one.
    pub async fn start_persona(
        port: u16,
        provider: DemoProvider,
        models: Vec<String>,
        log: Option<fn(&str)>,
    ) -> io::Result<Self> {
        Self::listen(port, ServedContent::Persona { persona: provider, models, log }).await
    }

    async fn listen(port: u16, content: ServedContent) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let content = Arc::new(content);
        let listening = tokio::spawn(accept(listener, content.clone()));
        Ok(Self { address, repertoire: content, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `UPSTREAM` stands for in a scenario that is played in this world.
    pub fn base(&self, world: &str) -> String {
        format!("http://{}/{world}", self.address)
    }

    /// Sets up a world with scripted upstreams, in place of one that had its name.
    pub fn register(&self, world: &str, upstreams: BTreeMap<String, UpstreamSpec>) {
        self.put(world, ServedWorld::Scripted(UpstreamRegistry::new(upstreams)));
    }

    /// Has an upstream play this and nothing else from its next call on, and says how many calls it had
    /// before. The world's books go on.
    pub fn rewrite(&self, world: &str, upstream: &str, script: Script) -> usize {
        match self.worlds().as_deref_mut().and_then(|worlds| worlds.get_mut(world)) {
            Some(ServedWorld::Scripted(stage)) => stage.rewrite(upstream, script),
            Some(ServedWorld::Canned(_)) | None => 0,
        }
    }

    /// Sets up a world that answers every request alike and notes nothing: for benchmarks.
    pub fn register_canned(&self, world: &str, canned: CannedResponse) {
        self.put(world, ServedWorld::Canned(Arc::new(canned)));
    }

    /// Every call that a world's upstreams saw, by upstream.
    pub fn seen(&self, world: &str) -> BTreeMap<String, Vec<Call>> {
        match self.worlds().as_deref().and_then(|worlds| worlds.get(world)) {
            Some(ServedWorld::Scripted(stage)) => stage.calls().clone(),
            Some(ServedWorld::Canned(_)) | None => BTreeMap::new(),
        }
    }

    /// The same, once every call has ended, or when `patience` is over.
    pub async fn settled(&self, world: &str, timeout: Duration) -> BTreeMap<String, Vec<Call>> {
        let until = Instant::now() + timeout;
        loop {
            let is_open = match self.worlds().as_deref().and_then(|worlds| worlds.get(world)) {
                Some(ServedWorld::Scripted(stage)) => stage.open_calls() > 0,
                Some(ServedWorld::Canned(_)) | None => false,
            };
            if !is_open || Instant::now() >= until {
                return self.seen(world);
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
        self.repertoire.worlds()
    }
}

impl ServedContent {
    fn worlds(&self) -> Option<MutexGuard<'_, BTreeMap<String, ServedWorld>>> {
        match self {
            Self::Worlds(worlds) => Some(worlds.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Persona { .. } => None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, content: Arc<ServedContent>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it, small writes wait for the other side's delayed acknowledgement.
                    if stream.set_nodelay(true).is_ok() {
                        connections.spawn(Connection::new(stream).serve(content.clone()));
                    }
                }
                // Out of file descriptors: wait for some to be closed.
                Err(_) => sleep(POLL_INTERVAL).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
