//! Keys of an issuer. The crate fetches none and holds no private key of a pair.

use std::fmt;

use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use secret::Secret;
use serde_json::Value;
use sha2::Sha256;

use super::rsa::RsaKey;
use super::rules::Rejection;
use super::token::{Algorithm, Token, decode_base64url};

/// Maximum length of a key document, in bytes. A key with its certificate chain takes about 6 KiB.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Maximum number of keys that a document may list, of any kind.
const MAX_KEYS: usize = 64;

/// Maximum number of keys that one token is verified with. A caller who omits the `kid` chooses the
/// amount of work; issuers with many keys send a `kid`.
const MAX_KEYS_TRIED: usize = 4;

/// Minimum length of a shared secret, in bytes (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Keys of an issuer, at least one.
///
/// `Debug` prints only their number.
pub struct KeySet(Vec<VerificationKey>);

struct VerificationKey {
    kid: Option<Box<str>>,
    material: KeyMaterial,
}

/// Key material. Its kind decides the algorithm; the token's header cannot.
enum KeyMaterial {
    Secret(Box<Hmac<Sha256>>),
    Rsa(RsaKey),
    P256(Box<VerifyingKey>),
}

impl KeySet {
    /// Parses a JSON Web Key Set or a single JSON Web Key (RFC 7517).
    ///
    /// Keys of another kind, use, or algorithm and broken keys are skipped, since issuers add
    /// kinds. Shared secrets (`oct`) are skipped too: a published secret is none. Fails on a
    /// document above 256 KiB, above 64 keys, of another shape, or without a usable key.
    pub fn from_jwks(document: &[u8]) -> Result<Self, InvalidKeys> {
        if document.len() > MAX_JWKS_BYTES {
            return Err(InvalidKeys::TooLong);
        }
        let document = json::from_bytes(document).map_err(|_| InvalidKeys::NotKeys)?;
        let keys = jwk_list(&document).ok_or(InvalidKeys::NotKeys)?;
        Self::from_keys(keys.len(), keys.iter().filter_map(VerificationKey::from_jwk))
    }

    /// Creates a set of one secret that is shared with the issuer, for HS256: the bytes of its
    /// text, not decoded.
    ///
    /// Fails below 32 bytes (RFC 7518, section 3.2).
    pub fn from_secret(secret: &Secret) -> Result<Self, InvalidKeys> {
        Self::from_bytes(secret.reveal().as_bytes())
    }

    pub(super) fn from_bytes(secret: &[u8]) -> Result<Self, InvalidKeys> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(InvalidKeys::ShortSecret);
        }
        let hmac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        let key = VerificationKey { kid: None, material: KeyMaterial::Secret(Box::new(hmac)) };
        Ok(Self(vec![key]))
    }

    fn from_keys(
        listed: usize,
        usable: impl Iterator<Item = VerificationKey>,
    ) -> Result<Self, InvalidKeys> {
        if listed > MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let keys: Vec<_> = usable.collect();
        if keys.is_empty() { Err(InvalidKeys::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// Verifies the token's signature with the keys that its `kid` and algorithm select.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Rejection> {
        let matching = || self.0.iter().filter(|key| key.matches_kid(token.kid.as_deref()));
        if matching().next().is_none() {
            return Err(Rejection::UnknownKey);
        }
        let mut candidates = matching().filter(|key| key.algorithm() == token.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(Rejection::Algorithm);
        }
        let message = token.signed.as_bytes();
        let signed = |key: &VerificationKey| key.material.verifies(message, &token.signature);
        if candidates.take(MAX_KEYS_TRIED).any(signed) { Ok(()) } else { Err(Rejection::Signature) }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({})", self.0.len())
    }
}

/// Lists the keys of a document. `None` if it is neither a set nor a key.
fn jwk_list(document: &Value) -> Option<&[Value]> {
    let object = document.as_object()?;
    match object.get("keys") {
        Some(keys) => Some(keys.as_array()?),
        None => object.contains_key("kty").then(|| std::slice::from_ref(document)),
    }
}

impl VerificationKey {
    /// Parses a key. `None` if it is not a signature key of a supported algorithm.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        let number = |name| text(name).and_then(decode_base64url);
        let signs = jwk.get("use").is_none_or(|purpose| purpose == "sig");
        let verifies = jwk.get("key_ops").is_none_or(|operations| {
            operations
                .as_array()
                .is_some_and(|operations| operations.iter().any(|it| it == "verify"))
        });
        if !signs || !verifies {
            return None;
        }
        let input = match text("kty")? {
            "RSA" => KeyMaterial::Rsa(RsaKey::new(&number("n")?, &number("e")?)?),
            "EC" if text("crv") == Some("P-256") => {
                KeyMaterial::from_coordinates(&number("x")?, &number("y")?)?
            }
            _ => return None,
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?.into()),
        };
        let key = Self { kid, material: input };
        let agrees = |alg: &Value| {
            alg.as_str()
                .and_then(Algorithm::from_name)
                .is_some_and(|named| named == key.algorithm())
        };
        jwk.get("alg").is_none_or(agrees).then_some(key)
    }

    /// Whether the key may have signed a token with this `kid`. A name on one side only excludes
    /// nothing: shared secrets have none.
    fn matches_kid(&self, kid: Option<&str>) -> bool {
        match (self.kid.as_deref(), kid) {
            (Some(own), Some(named)) => own == named,
            (None, _) | (_, None) => true,
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            KeyMaterial::Secret(_) => Algorithm::Hs256,
            KeyMaterial::Rsa(_) => Algorithm::Rs256,
            KeyMaterial::P256(_) => Algorithm::Es256,
        }
    }
}

impl KeyMaterial {
    /// Creates a P-256 key. `None` if the point is not on the curve. Both coordinates have their
    /// full length (RFC 7518, section 6.2.1).
    fn from_coordinates(x: &[u8], y: &[u8]) -> Option<Self> {
        if x.len() != 32 || y.len() != 32 {
            return None;
        }
        Self::from_sec1(&[&[4], x, y].concat())
    }

    fn from_sec1(point: &[u8]) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(point).ok().map(|key| Self::P256(Box::new(key)))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(hmac) => {
                let mut hmac = Hmac::clone(hmac);
                hmac.update(message);
                hmac.verify_slice(signature).is_ok()
            }
            Self::Rsa(key) => key.verifies(message, signature),
            Self::P256(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

/// Reason to refuse a key document or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKeys {
    /// The document is longer than 256 KiB.
    TooLong,
    /// The document is not JSON, or neither a key set nor a key.
    NotKeys,
    /// The document lists more than 64 keys.
    TooMany,
    /// The document lists no key for RS256 or ES256.
    NoneUsable,
    /// The secret has fewer than 32 bytes.
    ShortSecret,
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 256 KiB",
            Self::NotKeys => "neither a JSON Web Key Set nor a JSON Web Key",
            Self::TooMany => "more than 64 keys",
            Self::NoneUsable => "no key for RS256 (RSA of 2048 to 4096 bits) or ES256 (P-256)",
            Self::ShortSecret => "a secret of fewer than 32 bytes, the minimum of HS256",
        })
    }
}

impl std::error::Error for InvalidKeys {}
