//! `[[consumers]]` and `[[groups]]`

use serde::Deserialize;

use super::{Addresses, Parameters, SecretText};

/// Somebody who calls.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// Its name in records and limits.
    pub(crate) id: String,
    /// The group it belongs to.
    pub(crate) group: Option<String>,
    /// Keys that it already has; new ones come from the admin API.
    #[serde(default)]
    pub(crate) keys: Vec<SecretText>,
    /// The ids of the routes it may use; every route unless said otherwise.
    pub(crate) routes: Option<Vec<String>>,
    /// What its requests may ask for.
    pub(crate) params: Option<Parameters>,
    /// From where it may call.
    pub(crate) addresses: Option<Addresses>,
}

/// What every consumer of a group may do; what is said of the consumer must hold as well.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name, as consumers have it for `group`.
    pub(crate) id: String,
    /// The ids of the routes its members may use; every route unless said otherwise.
    pub(crate) routes: Option<Vec<String>>,
    /// What its members' requests may ask for.
    pub(crate) params: Option<Parameters>,
    /// From where its members may call.
    pub(crate) addresses: Option<Addresses>,
}
