//! Response cache: cache keys, entries, and conversion of an entry to the requested form.
//!
//! Only `lookup` and `single_flight` read a store or a clock; the other modules are pure.

mod canonical;
mod directives;
mod entry;
mod key;
pub(crate) mod lookup;
mod replay;
pub(crate) mod single_flight;

pub use canonical::CanonicalRequest;
pub(crate) use directives::CacheDirectives;
pub(crate) use entry::{CacheEntry, CacheEntryHead, MAX_ENTRY_BODY_BYTES, StoredTokens};
pub use key::{CacheKey, CacheKeyScope, CacheSubject};
pub(crate) use key::{key_part, key_prefix};
pub(crate) use replay::{Replay, ReplayOptions, is_complete};
