//! `[admin]`

use serde::Deserialize;

use super::SecretText;

/// What `role` may say.
pub(in crate::config) const ROLES: [&str; 3] = ["owner", "editor", "viewer"];

/// Who may use the admin API.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Admin {
    /// People and programs with a token of their own, beside the one with `ADMIN_TOKEN`.
    pub(in crate::config) operators: Vec<Operator>,
}

/// Somebody who may use the admin API.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Operator {
    /// The name in the audit log.
    pub(in crate::config) name: String,
    /// What it presents.
    pub(in crate::config) token: SecretText,
    /// `viewer` looks, `editor` changes consumers, keys and balances too, `owner` may do everything.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ROLES)))]
    pub(in crate::config) role: String,
}
