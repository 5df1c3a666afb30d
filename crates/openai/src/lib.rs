//! OpenAI's wire formats: requests, chunks, answers, usage, errors, and server-sent events.
//!
//! The crate makes no decisions. It borrows from the bytes that it reads and leaves unknown members
//! alone, so that a field that OpenAI adds later passes through.

#![warn(missing_docs)]

mod answer;
mod choices;
mod chunk;
mod chunk_rewrite;
mod delta;
mod duration;
mod endpoint;
mod error;
mod invalid;
mod request;
mod sse;
mod steering_fields;
mod stream_event;
mod text_size;
mod texts;
pub mod token_estimate;
mod tokens;
mod usage;
mod usage_dialects;
mod usage_scanner;

pub use answer::{AnswerSummary, InvalidAnswer};
pub use choices::ChoiceSet;
pub use chunk::Chunk;
pub use delta::Delta;
pub use duration::format_duration;
pub use endpoint::Endpoint;
pub use error::{ErrorBody, ErrorObject, ErrorReport};
pub use invalid::Invalid;
pub use request::{Changes, OutputField, Request, is_model_name, with_model};
pub use sse::{Event, Framer, Oversized};
pub use steering_fields::field_aliases;
pub use stream_event::{
    ChunkContent, ContentParts, EventContent, EventSummary, StreamEvent, usage_member,
};
pub use text_size::TextSize;
pub use texts::{
    AnswerTexts, Image, MAX_TEXTS, MessageRole, Prompt, TextField, Unreadable, UnreadablePrompt,
    answer_texts, texts_in_answer, texts_in_error,
};
pub use tokens::{AnswerSize, OutputBounds, TokenSource, Tokens, UsageDoubt};
pub use usage::Usage;
pub use usage_dialects::is_usage_container;
pub use usage_scanner::UsageScanner;
