//! `[ledger]` and `[store]`.

use serde::Deserialize;

use super::SecretText;

/// The place of exact values: balances, usage totals, and the number of the configuration in force. Only the
/// deployed document decides it.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    /// The address of a Redis server that several machines share, such as `redis://:password@host:6379/0`
    /// (Spin only). Default: the edge's own storage.
    pub(crate) redis: Option<SecretText>,
    /// The beginning of every key in Redis. Default: `serin`.
    pub(crate) prefix: Option<String>,
}

/// The place of consumers, keys, configuration versions, cached answers, and conversations. Only the deployed
/// document decides it.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// The address of a Redis server that several machines share (Spin only). Default: the edge's own
    /// storage.
    pub(crate) redis: Option<SecretText>,
    /// The beginning of every key in Redis. Default: `serin`.
    pub(crate) prefix: Option<String>,
}

/// The sections of a document that name places, without the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StorageSections {
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
}
