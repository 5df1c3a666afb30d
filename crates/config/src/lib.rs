//! The configuration: from a document to types that cannot be wrong.
//!
//! `raw` mirrors the document, `parse` turns it into the types of `parsed` or says everything that
//! is wrong with it. Edges read JSON; TOML, the schema and positions in a text belong to people's
//! machines (feature `author`). Nothing here reads a file or an environment.

mod auth;
#[cfg(feature = "author")]
pub mod author;
mod cache;
mod guard;
mod ip_access;
mod limit;
mod model;
mod parse;
mod permission;
mod problem;
mod provider;
mod raw;
#[cfg(all(test, feature = "author"))]
mod tests;

pub use auth::{Issuer, IssuerKeys, Operator, Role};
pub use cache::{Cache, CacheScope, History, Observe, Otlp, SessionSource};
pub use guard::{
    BlockFormat, Guard, GuardKind, GuardScope, Judge, Moderation, OnBlock, Override, Words,
};
pub use ip_access::{CidrBlock, IpAccessList, to_canonical};
pub use limit::{By, Limit, Measure, OnError, Period, Price, Quota, ValuePattern};
pub use model::{
    Auth, Balance, Config, Consumer, ConsumerIndex, FallbackOn, Group, Health, Hedge, KeySource,
    ModelIndex, ModelPattern, Origins, Prices, Provider, ProviderIndex, Retries, Route, RouteIndex,
    Server, Sticky, Target, Targets, Timeouts, WeightedTarget,
};
pub use parse::expected_id_format;
pub use permission::{Parameter, ParameterRule, Permissions};
pub use problem::{Problem, Problems};
pub use provider::{Authentication, Paths};

use secret::Secret;
use sha2::{Digest, Sha256};

/// The secret under which issued keys are hashed.
pub const KEY_PEPPER: &str = "KEY_PEPPER";
/// The secret that the owner of the admin API presents.
pub const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
/// The secrets that no document may name.
pub const RESERVED_SECRETS: [&str; 2] = [KEY_PEPPER, ADMIN_TOKEN];

/// The names of the secrets that a document in JSON mentions and of those that no document names, since
/// hosts fetch them by name. It may name too many, when text merely looks like a reference.
pub fn secret_names(document: &str) -> Vec<String> {
    let mut names: Vec<String> = RESERVED_SECRETS.map(str::to_owned).into();
    for rest in document.split("\"secret:").skip(1) {
        if let Some((name, _)) = rest.split_once('"')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Finds a secret by the name that a document gives it.
pub type SecretLookup<'a> = dyn Fn(&str) -> Option<Secret> + 'a;

impl Config {
    /// Reads a consumer as the admin API takes it, a JSON object without `keys`, by the routes of
    /// this configuration. Paths of problems begin at the consumer: `params.temperature`.
    pub fn parse_consumer(&self, document: &[u8]) -> Result<Consumer, Problems> {
        let raw: raw::Consumer = json::from_bytes(document).map_err(Problems::from_json)?;
        parse::parse_consumer(&raw, self)
    }

    /// Reads a JSON document. What does not validate changes nothing: all problems or a whole
    /// configuration.
    pub fn from_json(document: &str, secrets: &SecretLookup<'_>) -> Result<Self, Problems> {
        let raw: raw::Document = json::from_text(document).map_err(Problems::from_json)?;
        let config = parse::parse_document(&raw, secrets)?;
        Ok(Self { digest: Sha256::digest(document).into(), ..config })
    }
}
