//! Authentication as parsed: key sources, issuers of JSON Web Tokens, and operators of the admin API.

use std::time::Duration;

use http::{HeaderName, Uri};
use secret::KeyDigest;

use super::ip_access::IpAccessList;

/// `[auth]`
#[derive(Debug)]
pub struct Auth {
    /// If false, a caller without a key is the consumer `anonymous`.
    pub required: bool,
    /// Places to look for a key, in this order. The first place that holds a known one decides.
    pub sources: Vec<KeySource>,
    /// IP access for every caller.
    pub ip_access: IpAccessList,
    /// Issuers of JSON Web Tokens.
    pub issuers: Vec<Issuer>,
}

/// A place in a request that may hold the caller's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `Authorization: Bearer …`
    Bearer,
    /// A header that holds the key and nothing else.
    Header(HeaderName),
}

/// `[[auth.jwt]]`: an issuer of JSON Web Tokens (RFC 7519).
#[derive(Debug)]
pub struct Issuer {
    /// The required value of `iss`.
    pub issuer: String,
    /// `aud` must contain one of these. Empty if `aud` is not checked.
    pub audiences: Vec<String>,
    /// The required `typ` of a token's header.
    pub token_type: Option<String>,
    /// The longest time until a token's `exp`.
    pub max_lifetime: Option<Duration>,
    /// Keys that verify the issuer's signatures.
    pub keys: IssuerKeys,
    /// The path of the claim that names the consumer.
    pub consumer_claim: String,
    /// The path of the claim that names the group.
    pub group_claim: Option<String>,
    /// The group of a token without the claim. If `None`, such a token is refused.
    pub default_group: Option<String>,
    /// The groups that tokens may name.
    pub groups: TokenGroups,
    /// Treatment of subjects without settings of their own.
    pub unknown: UnknownSubjects,
    /// The prefix of the consumers' names, before a dot.
    pub namespace: Option<String>,
    /// The greatest accepted difference between the issuer's clock and the host's.
    pub skew: Duration,
}

/// The groups that an issuer's tokens may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenGroups {
    /// Any group.
    #[default]
    Any,
    /// Groups of the document.
    Listed,
}

/// Treatment of subjects that are neither consumers of the document nor of the admin API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownSubjects {
    /// They are consumers without settings of their own.
    #[default]
    Admit,
    /// They are refused.
    Refuse,
}

/// Keys that verify an issuer's signatures.
#[derive(Debug)]
pub enum IssuerKeys {
    /// The secret is not set: no token of the issuer can be verified.
    Missing,
    /// Configured: a shared secret (HS256), or public keys (RS256, ES256).
    Inline(jwt::KeySet),
    /// A JWKS document (RFC 7517) behind a URL.
    Url {
        /// The document's address.
        url: Uri,
        /// The time for which a fetched document is used.
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
    /// The operator's rights.
    pub role: Role,
}

/// `[admin] session`: how long a sign-in to the console lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// The time without a call after which it ends.
    pub idle: Duration,
    /// The time after which it ends in any case.
    pub total: Duration,
}

impl Default for SessionTimes {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30 * 60), total: Duration::from_secs(12 * 60 * 60) }
    }
}

/// An operator's rights; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads everything.
    Viewer,
    /// Changes consumers, keys, and balances.
    Editor,
    /// Changes the configuration.
    Owner,
}
