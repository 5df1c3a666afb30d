//! Keyed hashing of keys: the store holds hashes only.

use std::fmt;

use hmac::{Hmac, Mac};
use secret::Secret;
use sha2::Sha256;

/// The secret `KEY_PEPPER`, ready for use. If it changes, no issued key works any more.
#[derive(Clone)]
pub(crate) struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// `None` if the secret is empty.
    pub(crate) fn new(secret: &Secret) -> Option<Self> {
        let keyed = || {
            let bytes = secret.reveal().as_bytes();
            Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length (RFC 2104)")
        };
        (!secret.is_empty()).then(|| Self(keyed()))
    }

    /// Another key for another purpose, which neither reveals this one nor has its digests.
    pub(crate) fn derive(&self, purpose: &str) -> Self {
        let key = self.mac(&[purpose.as_bytes()]);
        Self(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length (RFC 2104)"))
    }

    /// Whether a text has this digest. Compared in constant time.
    pub(crate) fn matches(&self, text: &str, digest: &KeyHash) -> bool {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        mac.verify_slice(&digest.0).is_ok()
    }

    /// The hash that is stored in place of a key.
    pub(crate) fn digest(&self, key: &str) -> KeyHash {
        KeyHash(self.mac(&[key.as_bytes()]))
    }

    /// A number that only the pepper's owner can compute from a text. It is independent of the
    /// text's digest: no key contains the byte between the two parts.
    pub(super) fn checksum(&self, text: &str) -> u64 {
        let mac = self.mac(&[b"check\0", text.as_bytes()]);
        u64::from_be_bytes(*mac.first_chunk().expect("a digest is longer than eight bytes"))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// HMAC-SHA-256 of a key under the pepper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits, for the names of entries.
    pub(crate) fn to_hex(self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    /// Parses the output of [`KeyHash::to_hex`].
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use secret::Secret;

    use super::{KeyHash, Pepper};

    #[test]
    fn digest_is_hmac_sha_256() {
        // RFC 4231, test case 2.
        let pepper = Pepper::new(&Secret::new("Jefe")).expect("it is not empty");
        let hash = pepper.digest("what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hash.to_hex(), expected);
        assert_eq!(KeyHash::from_hex(expected), Some(hash));
        for wrong in ["", &expected[1..], &expected.replace('5', "x"), &"é".repeat(32)] {
            assert_eq!(KeyHash::from_hex(wrong), None);
        }
    }

    #[test]
    fn pepper_and_hash_cannot_be_printed() {
        let pepper = Pepper::new(&Secret::new("Jefe")).expect("it is not empty");
        assert_eq!(format!("{pepper:?} {:?}", pepper.digest("a")), "Pepper(…) KeyHash(…)");
        assert!(Pepper::new(&Secret::new(" \n")).is_none());
    }
}
