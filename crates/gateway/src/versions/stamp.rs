//! What is known of a version beside its document.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Names count down from here, so that the newest version is the first of a listing.
const LAST: u64 = 9_999_999_999;

/// How many hexadecimal digits of the hash stand in an ETag.
const SHOWN: usize = 16;

/// Which version it is, of which document, since when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
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

impl Stamp {
    /// That of the document which was deployed.
    pub fn of_deployed(document: &str) -> Self {
        Self {
            version: 0,
            hash: hash(document),
            at: Timestamp::default(),
            by: String::new(),
            note: None,
            nonce: String::new(),
            previous: String::new(),
        }
    }

    /// Its name in `ETag` and `If-Match`, without quotes: the number and the document's beginning.
    pub fn tag(&self) -> String {
        format!("{}-{}", self.version, &self.hash[..SHOWN.min(self.hash.len())])
    }

    /// Where the store has its document.
    pub(super) fn document(&self) -> String {
        format!("config/document/{}", self.hash)
    }

    /// Where the store has it.
    pub(super) fn entry(&self) -> String {
        entry(self.version, &self.nonce)
    }
}

/// The name of the entry for an attempt at a version.
pub(super) fn entry(version: u64, nonce: &str) -> String {
    format!("{}{nonce}", entries(version))
}

/// How the names of all attempts at a version begin.
pub(super) fn entries(version: u64) -> String {
    format!("config/version/{:010}-", LAST.saturating_sub(version))
}

/// The SHA-256 of a document, in hexadecimal digits.
pub(crate) fn hash(document: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(document.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{Stamp, entry};

    #[test]
    fn a_tag_names_the_number_and_the_document() {
        let stamp = Stamp::of_deployed("abc");
        assert_eq!(stamp.tag(), "0-ba7816bf8f01cfea");
        assert_eq!(Stamp { version: 12, ..stamp }.tag(), "12-ba7816bf8f01cfea");
    }

    #[test]
    fn the_newest_is_the_first_of_a_listing() {
        assert_eq!(entry(1, "x"), "config/version/9999999998-x");
        assert!(entry(10, "x") < entry(9, "x") && entry(100, "a") < entry(99, "z"));
    }
}
