//! Secrets: a type that cannot be printed, and the only way in which a caller's key is compared.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A value that must never be shown: a provider's key, an admin token.
///
/// It has no `Display`, no `Serialize`, and its `Debug` says only that it is there.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value. Surrounding white space goes: it is what `echo` adds to a secret's file.
    pub fn new(value: &str) -> Self {
        Self(value.trim().into())
    }

    /// The value itself, for the one header that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a caller's key: what is kept and compared in its place.
/// It is ordered for lookups of what was compared before; whether a key is right is said by
/// [`KeyDigest::matches`] alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a key as a caller presents it.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Compares in constant time; the choice can be folded over many keys without an early exit.
    pub fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyDigest, Secret};

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("sk-very-secret\n");
        assert_eq!(
            format!("{secret:?} {:?}", KeyDigest::new(secret.reveal())),
            "Secret(…) KeyDigest(…)"
        );
        assert_eq!(secret.reveal(), "sk-very-secret");
    }

    #[test]
    fn only_the_same_key_matches() {
        let digest = KeyDigest::new("alpha");
        assert!(bool::from(digest.matches(&KeyDigest::new("alpha"))));
        assert!(!bool::from(digest.matches(&KeyDigest::new("alpha "))));
    }
}
