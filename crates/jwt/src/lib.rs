//! Verification of JSON Web Tokens (RFC 7519) against the keys of their issuer.
//!
//! The crate fetches no keys, keeps none, reads no clock, signs nothing, and decrypts nothing. The
//! algorithms are HS256, RS256, and ES256. The kind of a key decides its algorithm, and a token's
//! header can only agree with it. So a caller can choose neither `none` nor a public key as a
//! shared secret.

#![warn(missing_docs)]

mod claims;
mod jwks;
mod rsa;
mod rules;
#[cfg(test)]
mod tests;
mod token;

use civil_time::Timestamp;

pub use self::claims::Claims;
pub use self::jwks::{InvalidKeys, KeySet};
pub use self::rules::{Rejection, Rules};
pub use self::token::{UnverifiedToken, looks_like_jwt, read_unverified};

use self::token::Token;

/// Verifies the signature, `typ`, `iss`, `aud`, `nbf`, and the required `exp`, in this order, and
/// returns the claims.
///
/// A token without a `kid` is verified with at most 4 keys of its algorithm.
pub fn verify(
    token: &str,
    keys: &KeySet,
    rules: &Rules<'_>,
    now: Timestamp,
) -> Result<Claims, Rejection> {
    let token = Token::parse(token)?;
    keys.verify(&token)?;
    token.check_type(rules)?;
    let claims = token.claims().ok_or(Rejection::Malformed)?;
    claims.check(rules, now)?;
    Ok(claims)
}
