//! The entries of the store that keys are made of, and their names.
//!
//! Each thing is an entry of its own, since a store knows no transactions: nothing is a list that two
//! could rewrite at once. None of them holds a key.

use civil_time::Timestamp;
use config::expected_id_format;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hashing::KeyHash;

/// What leads from a key to its consumer, at `key/<hex of the hash>`. Without it the key is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The key's name in the admin API.
    pub id: String,
    /// Whose it is.
    pub consumer: String,
    /// When it was issued.
    pub created: Timestamp,
    /// From when on it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What an operator sees of a key, at `keys/<consumer>/<id>`. It leads to the other entry, so that a
/// key can be revoked by somebody who does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMetadata {
    /// The hash of the key, in hexadecimal digits.
    pub hash: String,
    /// When it was issued.
    pub created: Timestamp,
    /// From when on it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The last four characters, by which a person knows it again.
    pub hint: String,
    /// What an operator wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The operator who issued it.
    pub by: String,
    /// For a key that was made elsewhere: the claim that kept others from taking it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<LockReservation>,
}

/// A consumer of the admin API, at `consumer/<id>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredConsumer {
    /// The document as it was given, which [`Config::parse_consumer`](crate::config::Config) reads.
    pub document: Value,
    /// When it was created. Keys that were issued before, to another one of this name, do not work.
    pub created: Timestamp,
    /// The operator who created it.
    pub by: String,
    /// When it was changed last, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<(Timestamp, String)>,
    /// The claim that kept others from creating it at once.
    pub claim: LockReservation,
}

/// A reservation in the ledger by which something was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockReservation {
    /// The reservation's.
    pub id: u64,
    /// The reservation's.
    pub until: Timestamp,
}

impl StoredKey {
    /// Its name in the store.
    pub fn storage_key(hash: &KeyHash) -> String {
        format!("key/{}", hash.to_hex())
    }
}

impl KeyMetadata {
    /// Its name in the store.
    pub fn storage_key(consumer: &str, id: &str) -> String {
        format!("keys/{consumer}/{id}")
    }

    /// How the names of all cards of a consumer begin.
    pub fn storage_key_prefix(consumer: &str) -> String {
        format!("keys/{consumer}/")
    }

    /// The hash, unless the entry is broken.
    pub fn key_hash(&self) -> Option<KeyHash> {
        KeyHash::from_hex(&self.hash)
    }
}

impl StoredConsumer {
    /// How the names of all consumers begin.
    pub const STORAGE_KEY_PREFIX: &str = "consumer/";

    /// Its name in the store.
    pub fn storage_key(id: &str) -> String {
        format!("{}{id}", Self::STORAGE_KEY_PREFIX)
    }
}

/// Whether a consumer's id can stand in the names of entries and places. The configuration's rule for
/// ids, and a length that leaves room.
pub(crate) fn is_storable_id(id: &str) -> bool {
    id.len() <= 100 && expected_id_format(id).is_none()
}
