//! Finds texts in requests, answers, and chunks, with their ranges in the bytes.
//!
//! It reads every string of a message under any member name, so that text in a new member (as
//! `reasoning_content` once was) is found too. It skips strings that are no text: roles, ids,
//! types, names of functions, and embedded files.

mod answer;
mod field;
mod request;
mod walk;

pub(crate) use answer::TextCollector;
pub use answer::{AnswerTexts, answer_texts, texts_in_answer, texts_in_error};
pub use field::{Image, MessageRole, TextField, Unreadable};
pub use request::Prompt;
