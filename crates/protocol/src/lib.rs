//! Wire formats of the protocols in which callers and providers speak: OpenAI's Chat Completions and
//! Responses, and Anthropic's Messages.
//!
//! Each protocol has a reader and a writer around one [model], so that a translation is
//! reader → model → writer. The model holds the union of what the protocols can say. It has no place
//! for a protocol's own strings: reasons, formats, roles, and sources are enums. Numbers, schemas,
//! and arguments stay raw JSON: nothing is parsed to a float and printed again.
//!
//! [`request::read_request`] and [`request::write_request`] translate requests. A body that stays in
//! its protocol passes as it is, but for [`request::splice_seals`].
//!
//! The crate is pure. It decides nothing: which target is called, and what a route permits, is the
//! gateway's.

#![warn(missing_docs)]

pub mod answer;
mod answer_outcome;
mod context;
mod custom_calls;
mod echo;
pub mod failure;
mod json_text;
pub mod listing;
mod members;
pub mod model;
pub mod rate_limit;
pub mod request;
mod response_id;
pub mod seal;
mod shed;
mod sse;
pub mod stream;
mod summary;
mod tool_name;
mod usage;

pub use answer_outcome::WrittenAnswer;
pub use context::AnswerContext;
pub use echo::ResponseEcho;
pub use response_id::{StoredReferences, edit_answer_ids, edit_event_ids};
pub use shed::Shed;
pub use sse::KEEP_ALIVE;
pub use summary::{summarize_answer, summarize_event};
pub use tool_name::{ToolName, ToolNames};
