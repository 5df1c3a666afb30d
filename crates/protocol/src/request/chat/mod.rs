//! Chat Completions (OpenAI API reference, "Create chat completion").

mod content;
mod read;
mod read_messages;
mod read_tools;
mod write;
mod write_assistant;
mod write_messages;

pub(super) use read::read;
pub(super) use read_messages::read_file;
pub(super) use write::write;
