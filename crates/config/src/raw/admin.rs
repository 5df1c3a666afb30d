//! `[admin]`

use serde::Deserialize;

use super::{Addresses, SecretText, Span};

/// Allowed values of `role`.
pub(crate) const ROLES: [&str; 3] = ["owner", "editor", "viewer"];

/// Access to the admin API.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// People and programs with their own tokens, in addition to the owner of `ADMIN_TOKEN`.
    pub(crate) operators: Vec<Operator>,
    /// How long a sign-in to the console lasts.
    pub(crate) session: AdminSession,
    /// IP addresses from which the admin API may be called. Default: all.
    pub(crate) addresses: Option<Addresses>,
}

/// How long a sign-in to the console lasts.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminSession {
    /// The time without a call after which it ends, from 1m to `total`. Default: `30m`.
    pub(crate) idle: Option<Span>,
    /// The time after which it ends in any case, at most 24h. Default: `12h`.
    pub(crate) total: Option<Span>,
}

/// A person or program with access to the admin API.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    /// The name in the audit log.
    pub(crate) name: String,
    /// Its bearer token.
    pub(crate) token: SecretText,
    /// Its rights: `viewer` reads, `editor` also changes consumers, keys, and balances, `owner` may do everything.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ROLES)))]
    pub(crate) role: String,
}
