//! Answers that are served again: what makes two requests the same, what is kept of an answer, and how
//! it is told once more, in either form.
//!
//! Pure: it reads no store and no clock, and does not know whether an answer may be kept. The rooms do.

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
