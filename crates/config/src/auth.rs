//! Who else may vouch for a caller: issuers of JSON Web Tokens, and operators of the admin plane.

use std::time::Duration;

use http::Uri;
use secret::KeyDigest;

/// `[[auth.jwt]]`: an issuer of JSON Web Tokens (RFC 7519).
#[derive(Debug)]
pub struct Issuer {
    /// What `iss` must say.
    pub issuer: String,
    /// What `aud` must name, one of these; empty: not looked at.
    pub audiences: Vec<String>,
    /// What it signs with.
    pub keys: IssuerKeys,
    /// The path of the claim that names the consumer.
    pub consumer_claim: String,
    /// The path of the claim that names the group.
    pub group_claim: Option<String>,
    /// How far apart the clocks may be.
    pub skew: Duration,
}

/// What an issuer signs with.
#[derive(Debug)]
pub enum IssuerKeys {
    /// Known beforehand: a shared secret (HS256), or public keys (RS256, ES256).
    Inline(jwt::KeySet),
    /// A JWKS document (RFC 7517) behind a URL, kept for a while.
    Url {
        /// Where it is.
        url: Uri,
        /// For how long it is kept.
        keep: Duration,
    },
}

/// `[[admin.operators]]`
#[derive(Debug)]
pub struct Operator {
    /// The name in the audit log.
    pub name: String,
    /// The digest of the token.
    pub token: KeyDigest,
    /// What it may do.
    pub role: Role,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Change consumers, keys and balances too.
    Editor,
    /// Change the configuration too.
    Owner,
}
