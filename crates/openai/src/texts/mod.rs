//! Finds texts in requests, answers, and chunks, with their ranges in the bytes.
//!
//! It reads every string of a message under any member name, so that text in a new member (as
//! `reasoning_content` once was) is found too. It skips strings that are no text by name and form:
//! roles, ids, types, and embedded files. Names are apart, since they must stay as they are.

mod answer;
mod field;
mod other_json;
mod request;
mod walk;

pub use answer::{AnswerTexts, answer_texts, texts_in_answer, texts_in_error};
pub(crate) use answer::{TextCollector, texts_in_other_json};
pub use field::{Image, MessageRole, TextField, Unreadable, UnreadablePrompt};
pub use request::Prompt;
pub use walk::MAX_TEXTS;
