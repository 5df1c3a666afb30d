//! `[[consumers]]` and `[[groups]]`

use serde::Deserialize;

use super::{Addresses, Parameters, SecretText};

/// Somebody who calls.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Consumer {
    /// Its name in records and limits.
    pub(in crate::config) id: String,
    /// The group it belongs to.
    pub(in crate::config) group: Option<String>,
    /// Keys that it already has; new ones come from the admin API.
    #[serde(default)]
    pub(in crate::config) keys: Vec<SecretText>,
    /// The ids of the routes it may use; every route unless said otherwise.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// What its requests may ask for.
    pub(in crate::config) params: Option<Parameters>,
    /// From where it may call.
    pub(in crate::config) addresses: Option<Addresses>,
}

/// What every consumer of a group may do; what is said of the consumer must hold as well.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Group {
    /// Its name, as consumers have it for `group`.
    pub(in crate::config) id: String,
    /// The ids of the routes its members may use; every route unless said otherwise.
    pub(in crate::config) routes: Option<Vec<String>>,
    /// What its members' requests may ask for.
    pub(in crate::config) params: Option<Parameters>,
    /// From where its members may call.
    pub(in crate::config) addresses: Option<Addresses>,
}
