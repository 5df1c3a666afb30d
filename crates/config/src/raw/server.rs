//! `[server]` and `[auth]`.

use serde::Deserialize;

use super::{Addresses, Issuer, Size};

/// Bounds on what a caller may send.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The longest request body, 64MiB at most; larger ones get 413. 4MiB unless said otherwise.
    pub(crate) max_body: Option<Size>,
    /// The header in which a trusted proxy before the gateway tells the caller's address; the host
    /// knows it unless said otherwise.
    pub(crate) address_header: Option<String>,
    /// The origins whose pages may call from a browser: `https://app.example.com`, or `*` for all.
    /// None unless said otherwise.
    pub(crate) cors: Vec<String>,
}

/// Who may call, and where a key is looked for.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// With `false`, anyone may call, as the consumer `anonymous`. True unless said otherwise.
    pub(crate) required: Option<bool>,
    /// Where a key is looked for, in this order: `bearer` or `header:NAME`. Both `bearer` and
    /// `header:x-api-key` unless said otherwise.
    pub(crate) sources: Option<Vec<String>>,
    /// From where anybody may call.
    pub(crate) addresses: Option<Addresses>,
    /// Who else vouches for callers.
    pub(crate) jwt: Vec<Issuer>,
}
