//! Metadata of a configuration version.

use civil_time::{Timestamp, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::host::newest_first::newest_first_number;

/// Digits of a version in the names of its entries.
const VERSION_DIGITS: usize = 10;

/// Hexadecimal digits of the document's hash in an ETag.
const ETAG_HASH_DIGITS: usize = 16;

/// Metadata of one version: its number, document hash, time, and author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Number of the version, from 1. 0 is the document that was deployed with the gateway.
    pub version: u64,
    /// SHA-256 of the document, in lower-case hexadecimal digits.
    pub hash: String,
    /// Time of the commit.
    pub at: Timestamp,
    /// Name of the operator who committed it.
    pub by: String,
    /// The operator's note; a restored version's names its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether the deployed document of each build is in force, in place of the stored one. `hash` is then
    /// that of the document at the time of the commit; in the version in force, of the present one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
    /// Random text that separates concurrent attempts at one number.
    pub nonce: String,
    /// Nonce of the previous version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
}

impl VersionInfo {
    /// Returns the metadata of the deployed document, version 0.
    pub fn deployed(document: &str) -> Self {
        Self {
            version: 0,
            hash: document_hash(document),
            at: Timestamp::default(),
            by: String::new(),
            note: None,
            follows: false,
            nonce: String::new(),
            previous: String::new(),
        }
    }

    /// Whether the deployed document is in force, not one that was put.
    pub fn is_deployed(&self) -> bool {
        self.version == 0 || self.follows
    }

    /// The event at the start of an instance: the configuration that counts. `deployed` is that of the build.
    pub(super) fn start_event(&self, now: Timestamp) -> String {
        let source = if self.is_deployed() { "deployed" } else { "version" };
        let (at, by) = match self.version {
            0 => (None, None),
            _ => (Some(rfc3339::format_timestamp(self.at)), Some(&self.by)),
        };
        json!({
            "event": "configuration",
            "at_ms": now.as_millis(),
            "source": source,
            "version": self.version,
            "created_at": at,
            "created_by": by,
        })
        .to_string()
    }

    /// The value of `ETag` and `If-Match` without quotes: the number and the first digits of the hash.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.version, &self.hash[..ETAG_HASH_DIGITS.min(self.hash.len())])
    }

    /// Store key of the document.
    pub(super) fn document_key(&self) -> String {
        format!("config/document/{}", self.hash)
    }

    /// Store key of this metadata.
    pub(super) fn entry_key(&self) -> String {
        attempt_key(self.version, &self.nonce)
    }
}

/// Store key of one attempt at a version.
pub(super) fn attempt_key(version: u64, nonce: &str) -> String {
    format!("{}{nonce}", attempts_prefix(version))
}

/// Prefix of the store keys of all attempts at a version.
pub(super) fn attempts_prefix(version: u64) -> String {
    format!("config/version/{}-", newest_first_number(version, VERSION_DIGITS))
}

/// The SHA-256 of a document, in hexadecimal digits.
pub(crate) fn document_hash(document: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(document.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{VersionInfo, attempt_key};

    #[test]
    fn etag_holds_number_and_hash_prefix() {
        let info = VersionInfo::deployed("abc");
        assert_eq!(info.etag(), "0-ba7816bf8f01cfea");
        assert_eq!(VersionInfo { version: 12, ..info }.etag(), "12-ba7816bf8f01cfea");
    }

    #[test]
    fn attempt_keys_sort_newest_first() {
        assert_eq!(attempt_key(1, "x"), "config/version/9999999998-x");
        assert_eq!(attempt_key(9_999_999_990, "x"), "config/version/0000000009-x");
        assert_eq!(attempt_key(u64::MAX, "x"), "config/version/0000000000-x");
        assert!(
            attempt_key(10, "x") < attempt_key(9, "x")
                && attempt_key(100, "a") < attempt_key(99, "z")
        );
    }
}
