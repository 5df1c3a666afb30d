//! JSON Web Tokens. A placeholder, replaced on merge.

use std::fmt;

use crate::secret::Secret;

/// Keys that an issuer signs with.
#[derive(Debug)]
pub struct KeySet;

impl KeySet {
    /// Reads a JSON Web Key Set.
    pub fn from_jwks(document: &[u8]) -> Result<Self, impl fmt::Display + use<>> {
        let document: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
        document["keys"]
            .as_array()
            .map(|_| Self)
            .ok_or("neither a JSON Web Key Set nor a JSON Web Key")
    }

    /// Takes a shared secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, impl fmt::Display + use<>> {
        let is_long = secret.reveal().len() >= 32;
        is_long.then_some(Self).ok_or("a secret of fewer than 32 bytes, which HS256 requires")
    }
}
