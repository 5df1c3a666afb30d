//! The keys that an issuer signs with. Nothing here fetches them, or holds a private key of a pair.

use std::fmt;

use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use secret::Secret;
use serde_json::Value;
use sha2::Sha256;

use super::Rejection;
use super::rsa::RsaKey;
use super::token::{Algorithm, Token, decode_base64url};

/// The longest document that is read, in bytes. A key with its chain of certificates takes about 6 KiB.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// The most keys that a document may list, of any kind.
const MAX_KEYS: usize = 64;

/// The most keys that one token is tried with: a caller who leaves out the `kid` chooses how much
/// work that is. Issuers with more keys than a few name them.
const MAX_KEYS_TRIED: usize = 16;

/// The shortest shared secret, in bytes. RFC 7518, section 3.2.
const MIN_SECRET_BYTES: usize = 32;

/// The keys that an issuer signs with: at least one.
///
/// `Debug` shows how many, and nothing else.
pub struct KeySet(Vec<VerificationKey>);

struct VerificationKey {
    kid: Option<Box<str>>,
    material: KeyMaterial,
}

/// What a key is decides its algorithm, whatever a token's header says.
enum KeyMaterial {
    Secret(Box<Hmac<Sha256>>),
    Rsa(RsaKey),
    P256(Box<VerifyingKey>),
}

impl KeySet {
    /// Reads a JSON Web Key Set, or a single JSON Web Key (RFC 7517).
    ///
    /// Keys of another kind, use or algorithm, and broken ones, are skipped: issuers add kinds. So
    /// are shared secrets (`oct`), since what is published is not one. An error: more than 256 KiB,
    /// more than 64 keys, not such a document, or no usable key.
    pub fn from_jwks(document: &[u8]) -> Result<Self, InvalidKeys> {
        if document.len() > MAX_JWKS_BYTES {
            return Err(InvalidKeys::TooLong);
        }
        let document = json::from_bytes(document).map_err(|_| InvalidKeys::NotKeys)?;
        let keys = jwk_list(&document).ok_or(InvalidKeys::NotKeys)?;
        Self::from_keys(keys.len(), keys.iter().filter_map(VerificationKey::from_jwk))
    }

    /// Takes a secret that is shared with the issuer, for HS256: the bytes of its text, not decoded.
    ///
    /// An error: fewer than 32 bytes (RFC 7518, section 3.2).
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

    /// Whether one of the keys that the token may mean has signed it.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Rejection> {
        let meant = || self.0.iter().filter(|key| key.matches_kid(token.kid.as_deref()));
        if meant().next().is_none() {
            return Err(Rejection::UnknownKey);
        }
        let mut candidates = meant().filter(|key| key.algorithm() == token.algorithm).peekable();
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

/// `None`: neither a set nor a key.
fn jwk_list(document: &Value) -> Option<&[Value]> {
    let object = document.as_object()?;
    match object.get("keys") {
        Some(keys) => Some(keys.as_array()?),
        None => object.contains_key("kty").then(|| std::slice::from_ref(document)),
    }
}

impl VerificationKey {
    /// `None`: a key that is not for us.
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

    /// Whether a token that names `kid` may mean this key. A name that only one of the two has
    /// excludes nothing: secrets and PEM have no place for one.
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
    /// A point of P-256; `None` where it is not on the curve. RFC 7518, section 6.2.1: both
    /// coordinates have their full length.
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

/// Why there is no set of keys in what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKeys {
    /// The text is longer than 256 KiB.
    TooLong,
    /// It is not JSON, or neither a set of keys nor a key.
    NotKeys,
    /// It lists more than 64 keys.
    TooMany,
    /// It lists no key for RS256 or ES256.
    NoneUsable,
    /// The shared secret has fewer than 32 bytes.
    ShortSecret,
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 256 KiB",
            Self::NotKeys => "neither a JSON Web Key Set nor a JSON Web Key",
            Self::TooMany => "more than 64 keys",
            Self::NoneUsable => "no key for RS256 (RSA of 2048 to 4096 bits) or ES256 (P-256)",
            Self::ShortSecret => "a secret of fewer than 32 bytes, which HS256 requires",
        })
    }
}

impl std::error::Error for InvalidKeys {}
