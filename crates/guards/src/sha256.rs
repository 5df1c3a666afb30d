//! SHA-256 as text.

use sha2::{Digest, Sha256};

/// Returns the digest in lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}
