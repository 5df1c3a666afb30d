//! Answers that are served again: what makes two requests the same, what is kept of an answer, and how
//! it is told once more, in either form.
//!
//! Pure: it reads no store and no clock, and does not know whether an answer may be kept. The rooms do.

mod assemble;
mod canonical;
mod entry;
mod key;
mod replay;
mod unfold;
mod wish;

pub use assemble::{chunks_to_completion, first_choice_text};
pub use canonical::CanonicalRequest;
pub use entry::{CacheEntry, CacheEntryHead, MAX_ENTRY_BODY_BYTES, StoredTokens};
pub use key::{CacheKey, CacheKeyScope, CacheSubject, key_part, key_prefix};
pub use replay::{Replay, ReplayOptions, is_complete};
pub use wish::CacheDirectives;
