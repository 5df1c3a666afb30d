//! Whole answers of Chat Completions (OpenAI API reference, "The chat completion object").

pub(crate) mod parts;
pub(crate) mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{
    finish_reason, service_tier, write, write_call_seal, write_citation, write_reasoning_detail,
};
