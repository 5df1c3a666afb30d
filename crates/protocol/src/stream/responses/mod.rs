//! Streams of Responses (OpenAI API reference, "Streaming events").

mod events;
mod item;
mod items;
mod read;
mod write;

pub(super) use read::ResponsesReader;
pub(super) use write::ResponsesWriter;
