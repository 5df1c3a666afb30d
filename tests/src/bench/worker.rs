//! Workers under measurement: workerd with its own configuration, without Miniflare or wrangler
//! around it.
//!
//! The bindings of `wrangler.toml` exist here too, backed by a store in memory and by Durable
//! Objects with rows in memory: on the simulated network, no request waits for this machine's
//! disk.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::workerd::root;

use super::candidate::{Candidate, RequestStyle};
use super::process::Process;

/// Memory-backed directory, on Linux.
const MEMORY_DIRECTORY: &str = "/dev/shm";
const STORE_SCRIPT: &str = "tests/baseline-worker/store.mjs";
const DRIVER_SCRIPT: &str = "tests/baseline-worker/driver.mjs";
/// Names of the sockets in the configuration: the Worker's and the store's.
const HTTP_SOCKET: &str = "http";
const STORE_SOCKET: &str = "store";
/// Address of each socket: the system selects its port, and workerd reports it.
const ANY_PORT: &str = "127.0.0.1:0";

/// A Worker to start.
pub(super) struct Worker<'a> {
    /// Name in tables.
    pub(super) name: &'static str,
    /// Path of its module below the root; the WebAssembly next to it belongs to it.
    pub(super) script: &'a str,
    /// Its variables.
    pub(super) bindings: Vec<(&'a str, String)>,
    /// Its other bindings.
    pub(super) services: Bindings,
}

/// Bindings of a Worker besides its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bindings {
    None,
    /// The store and the ledger of `wrangler.toml`, as far as the features include them.
    Gateway(HostFeatures),
    /// The same, except that a driver in front of the Worker calls its Durable Objects directly.
    Driven,
}

/// Features that the host offers to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostFeatures {
    /// Whether there is a ledger. On Spin the ledger is the store.
    pub(super) ledger: bool,
    /// Latency of a read from the store, in milliseconds; Workers only.
    pub(super) delay: u32,
}

impl HostFeatures {
    /// All features, without latency.
    pub(super) const ALL: Self = Self { ledger: true, delay: 0 };
}

/// Directory for the rows of Durable Objects; dropping it removes them.
#[derive(Debug)]
pub(super) struct ObjectStorage(PathBuf);

/// Path of the directory for Durable Objects.
pub(super) fn storage() -> PathBuf {
    let memory = PathBuf::from(MEMORY_DIRECTORY);
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

impl ObjectStorage {
    fn make(name: &str) -> anyhow::Result<Self> {
        let directory = storage().join(format!("serin-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for ObjectStorage {
    fn drop(&mut self) {
        // Best effort: the remainder is in memory, and small.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Worker<'_> {
    /// Starts workerd with this Worker.
    pub(super) fn start(self) -> anyhow::Result<Candidate> {
        let name = self.name;
        let file_name = name.replace([' ', ','], "-");
        let directory = root().join("target/bench").join(&file_name);
        fs::create_dir_all(&directory)?;
        let storage = match self.services {
            Bindings::None => None,
            Bindings::Gateway(_) | Bindings::Driven => Some(ObjectStorage::make(&file_name)?),
        };
        let text = self.configuration(&directory, storage.as_ref())?;
        let configuration = directory.join("config.capnp");
        fs::write(&configuration, text)?;
        let mut command = Command::new(workerd()?);
        // workerd writes the port of each socket to standard output, before any log of a Worker.
        command.args(["serve", "--control-fd=1"]).arg(&configuration);
        let process = Process::start(&mut command)?;
        let ports = ports(&process, 1 + usize::from(storage.is_some()))
            .with_context(|| format!("workerd with {name}"))?;
        let address = socket_address(&ports, HTTP_SOCKET)?;
        let store_address = socket_address(&ports, STORE_SOCKET).unwrap_or(address);
        Ok(Candidate {
            name,
            is_gateway: false,
            address,
            process,
            style: RequestStyle::default(),
            store_address,
            _storage: storage,
        })
    }

    /// workerd's configuration. It embeds files by paths below its own.
    fn configuration(
        &self,
        directory: &Path,
        storage: Option<&ObjectStorage>,
    ) -> anyhow::Result<String> {
        let script = root().join(self.script);
        copy(&script, directory, "index.js")?;
        let mut modules = r#"(name = "index.js", esModule = embed "index.js"),"#.to_owned();
        let wasm = script.with_file_name("index_bg.wasm");
        if wasm.exists() {
            copy(&wasm, directory, "index_bg.wasm")?;
            modules.push_str(r#"(name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),"#);
        }
        let mut bindings = String::new();
        for (binding, value) in &self.bindings {
            fs::write(directory.join(binding), value)?;
            write!(bindings, r#"(name = "{binding}", text = embed "{binding}"),"#)?;
        }
        let (date, flags) = deployed()?;
        let compatibility = format!("compatibilityDate = {date}, compatibilityFlags = {flags},");
        let mut services = String::new();
        let mut objects = String::new();
        let mut sockets = String::new();
        let HostFeatures { ledger, delay } = match self.services {
            Bindings::Gateway(features) => features,
            Bindings::None | Bindings::Driven => HostFeatures::ALL,
        };
        if let Some(ObjectStorage(rows)) = storage {
            copy(&root().join(STORE_SCRIPT), directory, "store.mjs")?;
            let rows = rows.display();
            write!(
                services,
                r#"(name = "disk", disk = (path = "{rows}", writable = true)),
    (name = "store", worker = (
      modules = [(name = "store.mjs", esModule = embed "store.mjs")],
      bindings = [(name = "DELAY", text = "{delay}")],
      {compatibility}
    )),"#
            )?;
            bindings.push_str(r#"(name = "SERIN_KV", kvNamespace = "store"),"#);
            write!(
                sockets,
                r#"(name = "{STORE_SOCKET}", address = "{ANY_PORT}", http = (), service = "store"),"#
            )?;
            if ledger {
                let object = r#"(name = "SERIN_LEDGER", durableObjectNamespace = "SerinLedger"),"#;
                bindings.push_str(object);
            }
            objects = objects_of("SerinLedger");
        }
        let entry = match self.services {
            Bindings::None | Bindings::Gateway(_) => "main",
            Bindings::Driven => {
                copy(&root().join(DRIVER_SCRIPT), directory, "driver.mjs")?;
                let objects = objects_of("Counter");
                write!(
                    services,
                    r#"(name = "driver", worker = (
      modules = [(name = "driver.mjs", esModule = embed "driver.mjs")],
      bindings = [
        (name = "COUNTER", durableObjectNamespace = "Counter"),
        (name = "LEDGER", durableObjectNamespace = (className = "SerinLedger", serviceName = "main")),
      ],
      {compatibility}
      {objects}
    )),"#
                )?;
                "driver"
            }
        };
        Ok(format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "main", worker = (
      modules = [{modules}],
      bindings = [{bindings}],
      {compatibility}
      {objects}
    )),
    {services}
  ],
  sockets = [(name = "{HTTP_SOCKET}", address = "{ANY_PORT}", http = (), service = "{entry}"), {sockets}],
);
"#
        ))
    }
}

/// Durable Object bindings of a Worker with a single class of them.
fn objects_of(class: &str) -> String {
    format!(
        r#"durableObjectNamespaces = [
        (className = "{class}", uniqueKey = "{class}", enableSql = true),
      ],
      durableObjectStorage = (localDisk = "disk"),"#
    )
}

/// Path of the program that wrangler runs, without the Node script around it.
pub(super) fn workerd() -> anyhow::Result<PathBuf> {
    let packages = root().join("node_modules/@cloudflare");
    let packages = packages.read_dir().context("node_modules is missing: run `npm ci`")?;
    let programs = packages.flatten().map(|package| package.path().join("bin/workerd"));
    programs.filter(|program| program.exists()).last().context("node_modules has no workerd")
}

fn copy(from: &Path, directory: &Path, name: &str) -> anyhow::Result<()> {
    fs::copy(from, directory.join(name))
        .with_context(|| format!("{} is missing: `cargo xtask bench` builds it", from.display()))?;
    Ok(())
}

/// Compatibility date and flags of `wrangler.toml`, in their source form: strings and lists have
/// the same syntax in TOML and in Cap'n Proto.
fn deployed() -> anyhow::Result<(String, String)> {
    let text = fs::read_to_string(root().join("wrangler.toml"))?;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once('='))?.1;
        Some(value.trim().to_owned())
    };
    let date = value("compatibility_date").context("wrangler.toml has no compatibility_date")?;
    Ok((date, value("compatibility_flags").unwrap_or_else(|| "[]".to_owned())))
}

/// Waits until workerd listens on this number of sockets; returns their ports by name.
fn ports(process: &Process, sockets: usize) -> anyhow::Result<BTreeMap<String, u16>> {
    #[derive(Deserialize)]
    struct Listening {
        socket: String,
        port: u16,
    }
    let mut ports = BTreeMap::new();
    while ports.len() < sockets {
        let line = process.next_line()?;
        if let Ok(Listening { socket, port }) = serde_json::from_str(&line) {
            ports.insert(socket, port);
        }
    }
    Ok(ports)
}

fn socket_address(ports: &BTreeMap<String, u16>, socket: &str) -> anyhow::Result<SocketAddr> {
    let port = ports.get(socket).with_context(|| format!("no socket {socket}"))?;
    Ok((Ipv4Addr::LOCALHOST, *port).into())
}
