//! An application of the host and its options.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Connections to Redis at most: `max_connections` of `[outbound_redis]`.
    pub max_redis_connections: Option<usize>,
    /// Behavior of the store's compare-and-swap.
    pub swaps: Swaps,
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

/// Behavior of compare-and-swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Swaps {
    /// Correct, as that of Spin's SQLite store.
    #[default]
    Sound,
    /// Each writes and is reported as failed, as by Spin's Redis store.
    ReportedAsFailed,
    /// Each writes and is reported as done, as by that store if only its report is mended.
    ReportedAsDone,
}
