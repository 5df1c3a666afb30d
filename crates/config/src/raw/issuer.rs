//! `[[auth.jwt]]`

use serde::Deserialize;

use super::{SecretText, Span};

/// Allowed values of `groups`.
pub(crate) const TOKEN_GROUPS: [&str; 2] = ["any", "listed"];

/// Allowed values of `unknown`.
pub(crate) const UNKNOWN_SUBJECTS: [&str; 2] = ["admit", "refuse"];

/// An issuer of JSON Web Tokens, which authenticate callers in place of keys.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// The exact value of a token's `iss`.
    pub(crate) issuer: String,
    /// Audiences of which a token's `aud` must contain one. Default: `aud` is not checked.
    pub(crate) audiences: Option<Vec<String>>,
    /// The type that the header of a token must have (`typ`), such as `at+jwt`: tokens for other purposes are
    /// refused. Default: any.
    pub(crate) token_type: Option<String>,
    /// The longest time until a token's `exp`; a token that expires later is refused. Default: any.
    pub(crate) max_lifetime: Option<Span>,
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
    /// The claim that names the group, likewise. A token without the claim is refused, unless `default_group`
    /// is set. Default: none.
    pub(crate) group_claim: Option<String>,
    /// The group of a token without the claim of `group_claim`. Default: none.
    pub(crate) default_group: Option<String>,
    /// The groups that tokens may name: `any`, or those of `[[groups]]` (`listed`). Default: `any`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = TOKEN_GROUPS)))]
    pub(crate) groups: Option<String>,
    /// Subjects that are neither consumers of the document nor of the admin API: `admit` or `refuse`. Default:
    /// `admit`.
    #[cfg_attr(feature = "author", schemars(extend("enum" = UNKNOWN_SUBJECTS)))]
    pub(crate) unknown: Option<String>,
    /// A prefix of the consumers' names, before a dot: tokens of this issuer name no other consumers. Default:
    /// none.
    pub(crate) namespace: Option<String>,
    /// The greatest accepted clock difference to the issuer, at most 5m. Default: 60s.
    pub(crate) skew: Option<Span>,
}
