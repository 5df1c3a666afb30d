//! Issued keys: what one looks like, where it is kept, and how it is found again.
//!
//! No key is kept in clear: the store knows its HMAC-SHA-256 under the secret `KEY_PEPPER`. Keys of the
//! configuration are not here, and nothing here decides who may change what: that is [`crate::admin`].

mod directory;
#[cfg(test)]
pub(crate) mod fake;
mod form;
mod kept;
mod pepper;
mod shelf;
#[cfg(test)]
mod tests;

pub use directory::{KeyCache, KeyOwner};
pub use form::{KEY_PREFIX, MAX_ADOPTED_CHARS, MIN_ADOPTED_CHARS};
pub use kept::{KeyMetadata, LockReservation, StoredConsumer, StoredKey};
pub use pepper::{KeyHash, Pepper};
pub use shelf::KeyStore;

pub(crate) use form::{generate, is_adoptable, random_chars};
pub(crate) use kept::is_storable_id;
