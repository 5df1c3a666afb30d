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

pub use answer::{Answer, NotAnAnswer, usage_at_end};
pub use chunk::{ChoiceSet, Chunk};
pub use delta::Delta;
pub use endpoint::{Endpoint, percent_encode};
pub use error::{ErrorBody, ErrorObject};
pub use invalid::Invalid;
pub use name::is_same_name;
pub use request::{Changes, OutputField, Request};
pub use said::{
    Picture, Prompt, Said, Sayings, Speaker, Unreadable, said_in_answer, said_in_error,
    sayings_in_answer,
};
pub use sse::{Event, Framer, Oversized};
pub use text::Weight;
pub use usage::Usage;
