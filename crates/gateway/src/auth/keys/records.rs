//! Stored records of keys and consumers, and their names.
//!
//! Each record is an entry of its own, since the store has no transactions: two writers must not
//! rewrite one list. No record holds a key.

use civil_time::Timestamp;
use config::expected_id_format;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hashing::KeyHash;

/// A key's consumer, at `key/<hex of the hash>`. Without this record the key is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredKey {
    /// The key's name in the admin API.
    pub id: String,
    /// The consumer that owns it.
    pub consumer: String,
    /// Time of issue.
    pub created: Timestamp,
    /// Time at which it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A key's metadata for operators, at `keys/<consumer>/<id>`. It holds the hash, so a key can be
/// revoked without knowing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyMetadata {
    /// Hash of the key, in hexadecimal.
    pub hash: String,
    /// Time of issue.
    pub created: Timestamp,
    /// Time at which it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The last four characters, for recognition by people.
    pub hint: String,
    /// The operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The operator who issued it.
    pub by: String,
    /// For an adopted key: the lock that prevented a concurrent adoption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<LockReservation>,
}

/// A consumer of the admin API, at `consumer/<id>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredConsumer {
    /// The document as received; parsed by [`Config::parse_consumer`](config::Config).
    pub document: Value,
    /// Time of creation. Keys issued earlier, to a deleted consumer of this name, do not work.
    pub created: Timestamp,
    /// The operator who created it.
    pub by: String,
    /// Time and operator of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<(Timestamp, String)>,
    /// The lock that prevented a concurrent creation.
    pub claim: LockReservation,
}

/// A deleted consumer of the admin API, at `deleted/<id>`. Tokens of an issuer may still name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletedConsumer {
    /// Time of the deletion.
    pub deleted: Timestamp,
}

impl DeletedConsumer {
    /// Name in the store.
    pub(crate) fn storage_key(id: &str) -> String {
        format!("deleted/{id}")
    }
}

/// A reservation in the ledger that serves as a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockReservation {
    /// Id of the reservation.
    pub id: u64,
    /// Expiry of the reservation.
    pub until: Timestamp,
}

impl StoredKey {
    /// Name in the store.
    pub(crate) fn storage_key(hash: &KeyHash) -> String {
        format!("key/{}", hash.to_hex())
    }
}

impl KeyMetadata {
    /// Prefix of the names of all metadata.
    pub(crate) const STORAGE_KEY_PREFIX: &str = "keys/";

    /// Name in the store.
    pub(crate) fn storage_key(consumer: &str, id: &str) -> String {
        format!("{}{id}", Self::storage_key_prefix(consumer))
    }

    /// Prefix of the names of a consumer's metadata.
    pub(crate) fn storage_key_prefix(consumer: &str) -> String {
        format!("{}{consumer}/", Self::STORAGE_KEY_PREFIX)
    }

    /// The hash; `None` if the record is corrupt.
    pub(crate) fn key_hash(&self) -> Option<KeyHash> {
        KeyHash::from_hex(&self.hash)
    }
}

impl StoredConsumer {
    /// Name in the store.
    pub(crate) fn storage_key(id: &str) -> String {
        format!("consumer/{id}")
    }
}

/// Whether a consumer's id may stand in the names of records and books: a valid id of at most 100
/// bytes.
pub(crate) fn is_storable_id(id: &str) -> bool {
    id.len() <= 100 && expected_id_format(id).is_none()
}
