//! Places of the ledger and of the store.

use secret::Secret;

use super::problem::{Problem, Problems};

/// Places of what outlives an instance. Only the deployed document decides them: a document that is put through
/// the admin API is itself kept there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// The Redis server of the ledger. `None`: the edge's own storage.
    pub ledger: Option<RedisServer>,
    /// The Redis server of the store. `None`: the edge's own storage.
    pub store: Option<RedisServer>,
}

/// A Redis server, and the beginning of the keys in it.
#[derive(Clone, Debug)]
pub struct RedisServer {
    /// The address, with its password: `redis://user:password@host:port/database`, or `rediss://` for TLS.
    pub url: Secret,
    /// The beginning of every key.
    pub prefix: String,
}

impl Storage {
    /// Whether everything is kept in the edge's own storage.
    pub fn is_default(&self) -> bool {
        self.ledger.is_none() && self.store.is_none()
    }

    /// Reports the Redis servers, for an edge that has no connections to them.
    pub fn check_is_default(&self) -> Result<(), Problems> {
        let expected = "no Redis server: this edge has its own storage, which all machines share";
        self.check_servers(&Self::default(), "a Redis server", expected)
    }

    /// Reports places other than those of the deployed document. Sections without a server repeat them.
    pub fn check_is_deployed(&self, deployed: &Self) -> Result<(), Problems> {
        let found = "another place than that of the deployed configuration";
        let expected = "the deployed place: deploy the gateway with a new one to change it";
        self.check_servers(deployed, found, expected)
    }

    /// Reports servers other than the allowed ones.
    fn check_servers(&self, allowed: &Self, found: &str, expected: &str) -> Result<(), Problems> {
        let sections = [
            ("ledger.redis", &self.ledger, &allowed.ledger),
            ("store.redis", &self.store, &allowed.store),
        ];
        let problem = |path: &str| Problem {
            path: path.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        let problems: Vec<Problem> = sections
            .into_iter()
            .filter(|(_, server, allowed)| server.is_some() && server != allowed)
            .map(|(path, ..)| problem(path))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

impl PartialEq for RedisServer {
    fn eq(&self, other: &Self) -> bool {
        self.url.reveal() == other.url.reveal() && self.prefix == other.prefix
    }
}

impl Eq for RedisServer {}
