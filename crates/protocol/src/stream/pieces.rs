//! Loop over the pieces of a stream.

use bytes::Bytes;
use openai::{Event, Framer};

use super::StreamReader;
use crate::model::{Protocol, StreamEvent};

/// Reads a stream that arrives in pieces, up to the end of its connection. `receive` gets what its events
/// say.
///
/// An event of more than `max_event_bytes` ends the stream, which has failed then.
pub fn read_pieces(
    provider: Protocol,
    pieces: impl IntoIterator<Item = Bytes>,
    max_event_bytes: usize,
    receive: &mut dyn FnMut(&StreamEvent<'_>),
) {
    let mut framer = Framer::new(max_event_bytes);
    let mut reader = StreamReader::new(provider);
    for piece in pieces {
        if framer.push(piece).is_err() {
            break;
        }
        while let Some(range) = framer.next_event() {
            reader.read_event(&Event::parse(framer.bytes(range)), receive);
        }
    }
    reader.end(receive);
}
