//! Issued keys: what one looks like, where it is kept, and how it is found again.
//!
//! No key is kept in clear: the store knows its HMAC-SHA-256 under the secret `KEY_PEPPER`. Keys of the
//! configuration are not here, and nothing here decides who may change what: that is [`crate::admin`].

mod format;
mod hashing;
mod lookup;
mod records;
mod store;
#[cfg(test)]
mod tests;

pub use format::{KEY_PREFIX, MAX_ADOPTED_CHARS, MIN_ADOPTED_CHARS};
pub use hashing::{KeyHash, Pepper};
pub use lookup::{KeyCache, KeyOwner};
pub use records::{KeyMetadata, LockReservation, StoredConsumer, StoredKey};
pub use store::KeyStore;

pub(crate) use format::{generate, is_adoptable, random_chars};
pub(crate) use records::is_storable_id;
