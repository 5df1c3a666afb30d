//! Response cache: cache keys, entries, and conversion of an entry to the requested form.
//!
//! Only `lookup` and `single_flight` read a store or a clock; the other modules are pure.

mod canonical;
mod chunks_to_completion;
mod completion_to_chunks;
mod directives;
mod entry;
mod key;
pub mod lookup;
mod replay;
pub mod single_flight;

pub use canonical::CanonicalRequest;
pub use chunks_to_completion::{chunks_to_completion, first_choice_text};
pub use directives::CacheDirectives;
pub use entry::{CacheEntry, CacheEntryHead, MAX_ENTRY_BODY_BYTES, StoredTokens};
pub use key::{CacheKey, CacheKeyScope, CacheSubject, key_part, key_prefix};
pub use replay::{Replay, ReplayOptions, is_complete};
