//! Issued keys: format, storage, and lookup.
//!
//! No key is stored in clear: the store holds its HMAC-SHA-256 under the secret `KEY_PEPPER`. Keys
//! of the configuration are not stored here. Permission to change keys is checked in
//! [`crate::admin`].

mod format;
mod hashing;
mod lookup;
mod records;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use format::{MAX_ADOPTED_CHARS, MIN_ADOPTED_CHARS};
pub(crate) use hashing::{KeyHash, Pepper};
pub(crate) use lookup::{KeyCache, KeyOwner};
pub(crate) use records::{KeyMetadata, LockReservation, StoredConsumer, StoredKey};
pub(crate) use store::KeyStore;

pub(crate) use format::{generate, is_adoptable, random_chars};
pub(crate) use records::is_storable_id;
