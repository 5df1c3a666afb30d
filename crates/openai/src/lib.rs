//! OpenAI's wire formats: requests, chunks, answers, usage, errors and server-sent events.
//!
//! Nothing here decides anything. Everything borrows from the bytes it reads, and what it does not
//! know it leaves alone: a field that OpenAI adds tomorrow passes through.

mod answer;
mod chunk;
mod delta;
mod endpoint;
mod error;
mod fields;
mod invalid;
mod members;
mod name;
mod request;
mod said;
mod sse;
mod text;
mod usage;

pub use answer::{AnswerSummary, InvalidAnswer, usage_at_end};
pub use chunk::{ChoiceSet, Chunk};
pub use delta::Delta;
pub use endpoint::{Endpoint, percent_encode};
pub use error::{ErrorBody, ErrorObject};
pub use invalid::Invalid;
pub use name::is_same_name;
pub use request::{Changes, OutputField, Request};
pub use said::{
    AnswerTexts, Image, MessageRole, Prompt, TextField, Unreadable, answer_texts, texts_in_answer,
    texts_in_error,
};
pub use sse::{Event, Framer, Oversized};
pub use text::TextSize;
pub use usage::Usage;
