//! `[admin]`

use serde::Deserialize;

use super::SecretText;

/// What `role` may say.
pub(crate) const ROLES: [&str; 3] = ["owner", "editor", "viewer"];

/// Who may use the admin API.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// People and programs with a token of their own, beside the one with `ADMIN_TOKEN`.
    pub(crate) operators: Vec<Operator>,
}

/// Somebody who may use the admin API.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    /// The name in the audit log.
    pub(crate) name: String,
    /// What it presents.
    pub(crate) token: SecretText,
    /// `viewer` looks, `editor` changes consumers, keys and balances too, `owner` may do everything.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ROLES)))]
    pub(crate) role: String,
}
