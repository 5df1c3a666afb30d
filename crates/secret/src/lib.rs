//! Secrets that cannot be printed, and constant-time comparison of callers' keys.

#![warn(missing_docs)]

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A value that must not appear in output: a provider's key, an admin token.
///
/// It has no `Display` and no `Serialize`, and its `Debug` omits the value.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a value. Trims white space, such as the newline that `echo` adds to a secret's file.
    pub fn new(value: &str) -> Self {
        Self(value.trim().into())
    }

    /// The value itself, for the one header that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a caller's key, stored and compared in its place.
///
/// The order serves caches of verified digests only. Authentication must use [`KeyDigest::matches`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a key as the caller sends it.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// The bytes, for a keyed hash of them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time. The choices for many keys can be combined without an early exit.
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
    fn secret_debug_omits_value() {
        let secret = Secret::new("sk-very-secret\n");
        assert_eq!(
            format!("{secret:?} {:?}", KeyDigest::new(secret.reveal())),
            "Secret(…) KeyDigest(…)"
        );
        assert_eq!(secret.reveal(), "sk-very-secret");
    }

    #[test]
    fn key_digest_of_another_key_does_not_match() {
        let digest = KeyDigest::new("alpha");
        assert!(bool::from(digest.matches(&KeyDigest::new("alpha"))));
        assert!(!bool::from(digest.matches(&KeyDigest::new("alpha "))));
    }
}
