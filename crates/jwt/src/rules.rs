//! Requirements for a token and reasons to reject it.

use std::fmt;
use std::time::Duration;

/// Requirements for a token besides its signature and times.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Required `iss`, byte for byte; `None` accepts any.
    pub issuer: Option<&'a str>,
    /// Accepted values of `aud`, byte for byte; empty accepts any token, even without `aud`.
    pub audiences: &'a [String],
    /// Required `typ` of the header, such as `at+jwt` (RFC 9068); `None` accepts any.
    pub token_type: Option<&'a str>,
    /// Maximum time until `exp`; `None` for any.
    pub max_lifetime: Option<Duration>,
    /// Accepted difference between the issuer's clock and the gateway's, in both directions.
    pub skew: Duration,
}

/// Reason to reject a token. Each is the caller's fault except `UnknownKey`, which may also be a
/// new key of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Longer than 8 KiB, not three parts of base64url, not JSON, without `exp`, with a claim of
    /// the wrong type, or with a required extension (`crit`).
    Malformed,
    /// Algorithm other than HS256, RS256, and ES256, or other than that of the named key.
    Algorithm,
    /// `kid` of no known key.
    UnknownKey,
    /// Signature of none of the selected keys.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iss` is missing or another one.
    Issuer,
    /// `aud` is missing or lists only others.
    Audience,
    /// `typ` is missing or another one.
    TokenType,
    /// `exp` is too far in the future.
    Lifetime,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "The token is malformed or has no 'exp' claim.",
            Self::Algorithm => "The token has an unsupported algorithm or not that of its key: use HS256, RS256, or ES256.",
            Self::UnknownKey => "The token has an unknown key: no key of the issuer has its 'kid'.",
            Self::Signature => "The token's signature matches no key of the issuer.",
            Self::Expired => "The token has expired.",
            Self::NotYetValid => "The token is not valid yet ('nbf').",
            Self::Issuer => "The token has an issuer ('iss') that is not accepted.",
            Self::Audience => "The token has an audience ('aud') that is not accepted.",
            Self::TokenType => "The token has a type ('typ') that is not accepted.",
            Self::Lifetime => "The token expires too late ('exp').",
        })
    }
}

impl std::error::Error for Rejection {}
