//! Streams of Chat Completions (OpenAI API reference, "The chat completion chunk object").

mod blocks;
mod calls;
mod read;
mod write;

pub(super) use read::ChatReader;
pub(super) use write::ChatWriter;
