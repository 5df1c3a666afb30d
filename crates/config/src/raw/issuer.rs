//! `[[auth.jwt]]`

use serde::Deserialize;

use super::{SecretText, Span};

/// An issuer of JSON Web Tokens, which authenticate callers in place of keys.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// The exact value of a token's `iss`.
    pub(crate) issuer: String,
    /// Audiences of which a token's `aud` must contain one. Default: `aud` is not checked.
    pub(crate) audiences: Option<Vec<String>>,
    /// A shared secret of at least 32 bytes (HS256).
    pub(crate) secret: Option<SecretText>,
    /// The issuer's public keys (RS256, ES256), as the text of a JSON Web Key Set.
    pub(crate) jwks: Option<String>,
    /// The https URL of the issuer's JSON Web Key Set.
    pub(crate) jwks_url: Option<String>,
    /// The time for which a set fetched from `jwks_url` is used, from 1m to 24h. Default: 10m.
    pub(crate) keep: Option<Span>,
    /// The claim that names the consumer; a dotted path selects a nested claim. Default: `sub`.
    pub(crate) consumer_claim: Option<String>,
    /// The claim that names the group, likewise. Default: none.
    pub(crate) group_claim: Option<String>,
    /// The greatest accepted clock difference to the issuer, at most 5m. Default: 60s.
    pub(crate) skew: Option<Span>,
}
