//! Insight: what people ask for, whether it worked, and for which target it did not.
//!
//! A model judges a sample of the conversations. Everything here is pure: which requests are in the
//! sample, what the judge is asked, what of its answer counts, and the totals. The caller passes
//! texts that are masked already, hashes and chance, and makes the calls.
//!
//! Invariants, each with a test:
//! - A label is one of a fixed set, or of the operator's topics: no text of a conversation, and none that a
//!   judge invents, becomes a name of a series.
//! - The conversation stands between two marks that it cannot contain.
//! - A request is judged with the probability that its weight is the inverse of, so totals over strata
//!   are unbiased. Totals do not depend on the order of their parts.
//! - A topic with fewer than [`MIN_CONVERSATIONS`] judged conversations is not listed.

#![warn(missing_docs)]

mod agreement;
mod interval;
mod judgement;
mod labels;
mod prompt;
mod sampling;
#[cfg(test)]
mod tests;
mod topics;
mod totals;

pub use agreement::{Agreement, agreement};
pub use interval::Estimate;
pub use judgement::{Unreadable, read_judgement};
pub use labels::{Intent, Labels, Language, Problem, Problems, Quality, Resolved, Sentiment};
pub use prompt::{Conversation, JudgePrompt, Nonce, answer_schema};
pub use sampling::{Sample, Strata, Stratum};
pub use topics::{InvalidTopics, MAX_TOPICS, OTHER_TOPIC, Topics};
pub use totals::{Group, MIN_CONVERSATIONS, Totals, listed};
