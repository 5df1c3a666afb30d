//! JSON Web Tokens (RFC 7519) that an issuer signed: who calls, in the issuer's words.
//!
//! Nothing here fetches or keeps an issuer's keys, reads a clock, signs, or decrypts. The algorithms
//! are HS256, RS256 and ES256. A key has one algorithm by its kind and a token's header can only
//! agree with it, so that neither `none` nor a public key used as a shared secret can be asked for.

mod claims;
mod jwks;
mod rsa;
mod token;

use std::fmt;
use std::time::Duration;

use civil_time::Timestamp;

pub use self::claims::Claims;
pub use self::jwks::{InvalidKeys, KeySet};
pub use self::token::{UnverifiedToken, looks_like_jwt, read_unverified};

use self::token::Token;

/// What a token must say, beside being signed and in time.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The `iss` that it must have, byte for byte; `None` takes any.
    pub issuer: Option<&'a str>,
    /// Of these, `aud` must hold one, byte for byte; empty takes any, and a token without.
    pub audiences: &'a [String],
    /// How far the issuer's clock may be from ours, either way.
    pub skew: Duration,
}

/// Verifies the signature, `iss`, `aud`, `nbf` and `exp` (which must be there), in this order, and
/// returns the claims.
///
/// Without a `kid` in the token every key of its algorithm is tried, at most 16 of them.
pub fn verify(
    token: &str,
    keys: &KeySet,
    rules: &Rules<'_>,
    now: Timestamp,
) -> Result<Claims, Rejection> {
    let token = Token::parse(token)?;
    keys.verify(&token)?;
    let claims = token.claims().ok_or(Rejection::Malformed)?;
    claims.check(rules, now)?;
    Ok(claims)
}

/// Why a token is not accepted. All of it is the caller's fault but for `UnknownKey`, which may mean
/// that the issuer has a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is longer than 8 KiB, not three parts of base64url, not JSON, lacks `exp`, has a claim of
    /// the wrong type, or its header requires an extension (`crit`).
    Malformed,
    /// Its algorithm is not HS256, RS256 or ES256, or not that of the key which it names.
    Algorithm,
    /// No key has the `kid` that it names.
    UnknownKey,
    /// No key that it may be signed with has signed it.
    Signature,
    /// Its `exp` has passed.
    Expired,
    /// Its `nbf` has not come.
    NotYetValid,
    /// Its `iss` is another, or missing.
    Issuer,
    /// Its `aud` names others only, or is missing.
    Audience,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "The token is malformed or has no expiry.",
            Self::Algorithm => "The token is not signed with an algorithm that is accepted here.",
            Self::UnknownKey => "The token is signed with a key that is not known here.",
            Self::Signature => "The token's signature is wrong.",
            Self::Expired => "The token has expired.",
            Self::NotYetValid => "The token is not valid yet.",
            Self::Issuer => "The token is from an issuer that is not accepted here.",
            Self::Audience => "The token is meant for another audience.",
        })
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests;
