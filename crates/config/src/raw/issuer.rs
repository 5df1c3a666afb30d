//! `[[auth.jwt]]`

use serde::Deserialize;

use super::{SecretText, Span};

/// An issuer of JSON Web Tokens, who vouches for callers without a key.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// What a token's `iss` must say, to the letter.
    pub(crate) issuer: String,
    /// What a token's `aud` must name, one of these; not looked at unless said otherwise.
    pub(crate) audiences: Option<Vec<String>>,
    /// A secret of 32 bytes or more that is shared with the issuer (HS256).
    pub(crate) secret: Option<SecretText>,
    /// The issuer's public keys (RS256, ES256), as the text of a JSON Web Key Set.
    pub(crate) jwks: Option<String>,
    /// Where the issuer publishes its JSON Web Key Set: an https address.
    pub(crate) jwks_url: Option<String>,
    /// How long the set behind `jwks_url` is kept, 1m to 24h. 10m unless said otherwise.
    pub(crate) keep: Option<Span>,
    /// The claim that names the consumer, a nested one by its path with dots. `sub` unless said
    /// otherwise.
    pub(crate) consumer_claim: Option<String>,
    /// The claim that names the group, likewise; none unless said otherwise.
    pub(crate) group_claim: Option<String>,
    /// How far the issuer's clock may be from the gateway's, 5m at most. 60s unless said otherwise.
    pub(crate) skew: Option<Span>,
}
