//! The configuration: from a document to types that cannot be wrong.
//!
//! `raw` mirrors the document. `parse` turns it into a [`Config`], or returns every problem. Edges read
//! JSON. TOML, the schema, and positions in a text are for tools (feature `author`). Only the build helper
//! of that feature reads a file, and nothing reads an environment.

#![warn(missing_docs)]

mod auth;
#[cfg(feature = "author")]
pub mod author;
mod cache;
mod consumer;
mod guard;
mod hint;
mod history;
mod index;
mod ip_access;
mod json_shape;
mod limit;
mod model;
mod model_index;
mod observe;
mod parse;
mod permission;
mod price;
mod problem;
mod provider;
mod provider_kind;
mod raw;
mod rollout;
mod route;
mod server;
mod storage;
#[cfg(all(test, feature = "author"))]
mod tests;

pub use self::rollout::{Metric, RolloutRules};
pub use auth::{
    Auth, Issuer, IssuerKeys, KeySource, Operator, Role, SessionTimes, TokenGroups, UnknownSubjects,
};
pub use cache::{Cache, CacheScope};
pub use consumer::{Consumer, Group};
pub use guard::{
    BlockFormat, Guard, GuardKind, GuardScope, Judge, Moderation, OnBlock, Override, Words,
};
pub use history::{History, SessionSource};
pub use index::{ConsumerIndex, ProviderIndex, RouteIndex};
pub use ip_access::{CidrBlock, IpAccessList, to_canonical};
pub use limit::{By, Limit, Measure, OnError, Period, Quota, ValuePattern};
pub use model::Config;
pub use model_index::{ModelIndex, ModelPattern};
pub use observe::{Observe, Otlp, RequestLog};
pub use parse::{MIN_TOKEN_BYTES, expected_id_format};
pub use permission::{Parameter, ParameterRule, Permissions};
pub use price::{ModelPrice, Price, PriceTier, Prices};
pub use problem::{Problem, Problems, Warning};
pub use provider::{Authentication, ChatExtensions, Paths, Provider};
pub use provider_kind::{KindSummary, provider_kinds};
pub use raw::is_vault_name;
pub use route::{
    Balance, FallbackOn, Health, Hedge, LossPolicy, Retries, Route, Sticky, Target, Targets,
    Timeouts, WeightedTarget,
};
pub use server::{Origins, Server};
pub use storage::{RedisServer, Storage};

use std::time::Duration;

use parse::MissingSecrets;
use secret::Secret;
use sha2::{Digest, Sha256};

/// The secret under which issued keys are hashed.
pub const KEY_PEPPER: &str = "KEY_PEPPER";
/// The secret token of the admin API's owner.
pub const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
/// The secret under which keys of providers are encrypted in the vault.
pub const VAULT_KEY: &str = "VAULT_KEY";
/// The gateway's own secrets, which no document may name.
pub const RESERVED_SECRETS: [&str; 3] = [KEY_PEPPER, ADMIN_TOKEN, VAULT_KEY];

/// Begins a reference to a key in the vault.
pub const VAULT_PREFIX: &str = "vault:";

/// The names of the reserved secrets and of those that a JSON document mentions, since hosts fetch secrets
/// by name. The list may be too long: any text that looks like a reference counts.
pub fn secret_names(document: &str) -> Vec<String> {
    let mut names: Vec<String> = RESERVED_SECRETS.map(str::to_owned).into();
    add_references(document, "\"secret:", &mut names);
    names
}

/// The names of keys in the vault that a JSON document mentions; any text that looks like a reference counts.
pub fn vault_names(document: &str) -> Vec<String> {
    let mut names = Vec::new();
    add_references(document, "\"vault:", &mut names);
    names
}

fn add_references(document: &str, prefix: &str, names: &mut Vec<String>) {
    for rest in document.split(prefix).skip(1) {
        if let Some((name, _)) = rest.split_once('"')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
}

/// Parses a duration as documents write it: a whole number and `ms`, `s`, `m`, or `h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    raw::Span(text.to_owned()).duration()
}

/// Finds a secret by its name in a document, or a key in the vault by its whole reference: `vault:NAME`.
pub type SecretLookup<'a> = dyn Fn(&str) -> Option<Secret> + 'a;

impl Config {
    /// Parses a consumer of the admin API, a JSON object without `keys`, against the routes of this
    /// configuration. Paths of problems begin at the consumer: `params.temperature`.
    pub fn parse_consumer(&self, document: &[u8]) -> Result<Consumer, Problems> {
        let raw: raw::Consumer = json::from_bytes(document).map_err(Problems::from_json)?;
        parse::parse_consumer(&raw, self)
    }

    /// Parses a JSON document, and returns a whole configuration or all problems.
    pub fn from_json(document: &str, secrets: &SecretLookup<'_>) -> Result<Self, Problems> {
        Self::parse_json(document, secrets, MissingSecrets::Refuse)
    }

    /// Parses a JSON document to serve it. A secret that is not set is a warning, and disables only what
    /// needs it: the keys of a provider or a consumer, an issuer, an operator.
    pub fn from_json_to_serve(
        document: &str,
        secrets: &SecretLookup<'_>,
    ) -> Result<Self, Problems> {
        Self::parse_json(document, secrets, MissingSecrets::Disable)
    }

    fn parse_json(
        document: &str,
        secrets: &SecretLookup<'_>,
        missing_secrets: MissingSecrets,
    ) -> Result<Self, Problems> {
        let raw: raw::Document =
            json::from_text(document).map_err(|error| json_shape::problems(document, error))?;
        let config = parse::parse_document(&raw, secrets, missing_secrets)?;
        Ok(Self { digest: Sha256::digest(document).into(), ..config })
    }
}

impl Storage {
    /// The names of the secrets in the sections that name places. Empty if the document is malformed.
    pub fn secret_names(document: &str) -> Vec<String> {
        let raw: raw::StorageSections = json::from_text(document).unwrap_or_default();
        let texts = [raw.ledger.redis, raw.store.redis].into_iter().flatten();
        texts.filter_map(|text| text.name().ok().map(str::to_owned)).collect()
    }

    /// The places that a JSON document names. The rest of the document is not checked.
    pub fn from_json(document: &str, secrets: &SecretLookup<'_>) -> Result<Self, Problems> {
        let raw: raw::StorageSections = json::from_text(document).map_err(Problems::from_json)?;
        parse::parse_storage(&raw, secrets)
    }
}
