//! What is known of a version beside its document.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Names count down from here, so that the newest version is the first of a listing.
const MAX_VERSION: u64 = 9_999_999_999;

/// How many hexadecimal digits of the hash stand in an ETag.
const ETAG_HASH_DIGITS: usize = 16;

/// Which version it is, of which document, since when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its number, from 1. 0 is the document that was deployed with the gateway.
    pub version: u64,
    /// The SHA-256 of its document, in hexadecimal digits.
    pub hash: String,
    /// Since when.
    pub at: Timestamp,
    /// The operator who put it.
    pub by: String,
    /// Where it is from, if from another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What sets it apart from another attempt at the same number.
    pub nonce: String,
    /// The nonce of the version before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
}

impl VersionInfo {
    /// That of the document which was deployed.
    pub fn deployed(document: &str) -> Self {
        Self {
            version: 0,
            hash: document_hash(document),
            at: Timestamp::default(),
            by: String::new(),
            note: None,
            nonce: String::new(),
            previous: String::new(),
        }
    }

    /// Its name in `ETag` and `If-Match`, without quotes: the number and the document's beginning.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.version, &self.hash[..ETAG_HASH_DIGITS.min(self.hash.len())])
    }

    /// Where the store has its document.
    pub(super) fn document_key(&self) -> String {
        format!("config/document/{}", self.hash)
    }

    /// Where the store has it.
    pub(super) fn entry_key(&self) -> String {
        attempt_key(self.version, &self.nonce)
    }
}

/// The name of the entry for an attempt at a version.
pub(super) fn attempt_key(version: u64, nonce: &str) -> String {
    format!("{}{nonce}", attempts_prefix(version))
}

/// How the names of all attempts at a version begin.
pub(super) fn attempts_prefix(version: u64) -> String {
    format!("config/version/{:010}-", MAX_VERSION.saturating_sub(version))
}

/// The SHA-256 of a document, in hexadecimal digits.
pub(crate) fn document_hash(document: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(document.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{VersionInfo, attempt_key};

    #[test]
    fn a_tag_names_the_number_and_the_document() {
        let version = VersionInfo::deployed("abc");
        assert_eq!(version.etag(), "0-ba7816bf8f01cfea");
        assert_eq!(VersionInfo { version: 12, ..version }.etag(), "12-ba7816bf8f01cfea");
    }

    #[test]
    fn the_newest_is_the_first_of_a_listing() {
        assert_eq!(attempt_key(1, "x"), "config/version/9999999998-x");
        assert!(
            attempt_key(10, "x") < attempt_key(9, "x")
                && attempt_key(100, "a") < attempt_key(99, "z")
        );
    }
}
