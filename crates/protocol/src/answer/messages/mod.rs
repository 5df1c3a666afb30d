//! Whole answers of Messages (Anthropic API reference, "Create a Message").

pub(crate) mod parts;
mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{check, write, write_stop_members, write_text_block, write_tool_use};
