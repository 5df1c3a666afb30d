//! `[[consumers]]` and `[[groups]]`

use serde::Deserialize;

use super::{Addresses, Parameters, SecretText};

/// A named caller.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// Its name in records and limits.
    pub(crate) id: String,
    /// The group it belongs to.
    pub(crate) group: Option<String>,
    /// Whether its keys and tokens are refused. Default: false.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// Keys from the deployed secrets. The admin API issues further keys.
    #[serde(default)]
    pub(crate) keys: Vec<SecretText>,
    /// The ids of the routes that it may use. Default: every route.
    pub(crate) routes: Option<Vec<String>>,
    /// Bounds on the parameters of its requests.
    pub(crate) params: Option<Parameters>,
    /// IP addresses that it may call from. Default: all.
    pub(crate) addresses: Option<Addresses>,
}

/// Permissions of every consumer of a group. The consumer's own permissions must hold as well.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name, as in the field `group` of consumers.
    pub(crate) id: String,
    /// The ids of the routes that its members may use. Default: every route.
    pub(crate) routes: Option<Vec<String>>,
    /// Bounds on the parameters of its members' requests.
    pub(crate) params: Option<Parameters>,
    /// IP addresses that its members may call from. Default: all.
    pub(crate) addresses: Option<Addresses>,
}
