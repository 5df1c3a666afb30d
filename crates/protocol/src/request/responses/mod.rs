//! Responses (OpenAI API reference, "Create a model response").

mod read;
mod read_items;
mod read_tools;
mod write;
mod write_items;

pub(super) use read::read;
pub(super) use write::write;
