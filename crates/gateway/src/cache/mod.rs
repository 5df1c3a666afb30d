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

pub use assemble::{assemble, said};
pub use canonical::Canonical;
pub use entry::{Entry, Head, LONGEST_BODY, Spent};
pub use key::{Key, Scope, Subject, names, part};
pub use replay::{Replay, Retelling, is_complete};
pub use wish::Wish;
