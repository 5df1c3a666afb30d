//! Wire formats of the protocols in which callers and providers speak: OpenAI's Chat Completions and
//! Responses, and Anthropic's Messages.
//!
//! Each protocol has a reader and a writer around one [model](model), so that a translation is
//! reader → model → writer. The model holds the union of what the protocols can say. It has no place
//! for a protocol's own strings: reasons, formats, roles, and sources are enums. Numbers, schemas,
//! and arguments stay raw JSON: nothing is parsed to a float and printed again.
//!
//! The crate is pure. It decides nothing: which target is called, and what a route permits, is the
//! gateway's.

#![warn(missing_docs)]

pub mod model;

pub mod answer;
mod answer_outcome;
mod context;
mod custom_calls;
mod echo;
pub mod failure;
mod json_text;
pub mod listing;
mod members;
pub mod rate_limit;
mod shed;
mod sse;
pub mod stream;
mod usage;

pub use answer_outcome::WrittenAnswer;
pub use context::{AnswerContext, ToolName, ToolNames};
pub use echo::ResponseEcho;
pub use shed::Shed;
pub use sse::KEEP_ALIVE;
