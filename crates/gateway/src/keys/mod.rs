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

pub use directory::{Directory, Found};
pub use form::{LONGEST, PREFIX, SHORTEST};
pub use kept::{Claimed, KeptConsumer, KeyCard, KeyEntry};
pub use pepper::{KeyHash, Pepper};
pub use shelf::Shelf;

pub(crate) use form::{is_adoptable, make, random};
pub(crate) use kept::is_name;
