//! Streams of Messages (Anthropic, "Streaming Messages").

mod pending;
mod read;
mod write;

pub(super) use read::MessagesReader;
pub(super) use write::MessagesWriter;
