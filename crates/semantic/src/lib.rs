//! Decisions of the semantic cache: whether an answer to one question may stand in for that to another one.
//!
//! Everything here is pure. A caller embeds a question, keeps answers, asks a judge, and stores the rows of an
//! [`Index`]. The exact setting of a request (tenant, route, target, instructions, earlier turns, tools,
//! parameters) is a digest; only the last question is compared by meaning.
//!
//! Text checks come before any score: embeddings place "3 days" beside "7 days" and "enable" beside "disable".
//! [`compare`] refuses other numbers, opposites, names, directions, and kinds of answers, in English and
//! Chinese. Hits that pass fall into a [`Band`]; a judge's labels decide which bands are served ([`Trust`]).
//!
//! Invariants, each with a test:
//! - A look-up returns no entry of another setting, another dimension, or past its expiry.
//! - No input panics, and the work is linear in a question's length but for its at most 200 words of content.
//! - The index holds at most as many entries as an insertion names.
//! - A band opens by chance with a probability of 5 % at most, over all bands and all time.
//! - An entry with a wrong label no longer stands in at that score or below.
//! - Rows that are stored and read again give the same index.

#![warn(missing_docs)]

mod index;
mod operation;
mod payoff;
mod row;
#[cfg(test)]
mod tests;
mod text;
mod trust;
mod vector;

pub use index::Index;
pub use operation::{Found, Hit, LookUpRules, MAX_ANSWER_NAME, Mode, Operation, Setting};
pub use payoff::Payoff;
pub use row::BadRow;
pub use text::comparison::{Check, Wording, compare};
pub use text::question::{MAX_CHARACTERS, Question, Unsuitable};
pub use trust::{Band, BandEvidence, Trust};
pub use vector::{MAX_DIMENSIONS, Vector, VectorError, VectorTable};
