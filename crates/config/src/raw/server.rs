//! `[server]` and `[auth]`.

use serde::Deserialize;

#[cfg(feature = "author")]
use super::ON_ERROR;
use super::{Addresses, Issuer, Size};

/// Bounds on what a caller may send.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The longest request body, at most 64MiB. A longer one is refused with 413. Default: 16MiB.
    pub(crate) max_body: Option<Size>,
    /// The header in which a trusted proxy in front of the gateway sends the caller's IP address. Default: the
    /// address that the host reports.
    pub(crate) address_header: Option<String>,
    /// Origins whose pages may call from a browser: `https://app.example.com`, or `*` for all. Default: none.
    pub(crate) cors: Vec<String>,
    /// A new instance that cannot read the store does not know which version of the configuration is in force:
    /// `open` serves the deployed document, `closed` refuses every request until the store answers. Default:
    /// `open`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = ON_ERROR)))]
    pub(crate) on_store_error: Option<String>,
}

/// Authentication of callers.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// Whether a caller must authenticate. If false, a caller without a key is the consumer `anonymous`.
    /// Default: true.
    pub(crate) required: Option<bool>,
    /// Places to look for a key, in this order: `bearer` or `header:NAME`. The first place with a known key
    /// decides. Default: `bearer`, `header:x-api-key`, `header:api-key`.
    pub(crate) sources: Option<Vec<String>>,
    /// IP addresses that may call; this applies to every caller. Default: all.
    pub(crate) addresses: Option<Addresses>,
    /// Issuers of JSON Web Tokens, which authenticate callers in place of keys.
    pub(crate) jwt: Vec<Issuer>,
}
