//! Messages (Anthropic API reference, "Create a Message").

mod blocks;
mod read;
mod read_blocks;
mod thinking;
mod tools;
mod turns;
mod write;

pub(super) use read::read;
pub(super) use write::write;
