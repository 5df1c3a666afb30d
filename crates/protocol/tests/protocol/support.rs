//! Steps that the tests share.

use bytes::Bytes;
use openai::{Event, Framer};
use protocol::model::{Protocol, StreamEvent};
use protocol::stream::{Collector, StreamWriter, read_pieces};
use protocol::{AnswerContext, ResponseEcho, ToolNames};
use serde_json::Value;

pub(crate) const PROTOCOLS: [Protocol; 3] =
    [Protocol::Chat, Protocol::Responses, Protocol::Messages];

pub(crate) fn context() -> AnswerContext {
    AnswerContext {
        id_seed: 0x5eed,
        now_epoch_seconds: 1_700_000_000,
        seal_maker: Some("maker".to_owned()),
        estimated_input_tokens: 42,
        includes_usage: true,
        echo: ResponseEcho::default(),
        tools: ToolNames::default(),
    }
}

pub(crate) fn protocol(name: &Value) -> Protocol {
    match name.as_str() {
        Some("chat") => Protocol::Chat,
        Some("responses") => Protocol::Responses,
        Some("messages") => Protocol::Messages,
        other => panic!("unknown protocol {other:?}"),
    }
}

/// Receiver of a reader's events.
pub(crate) trait Receiver {
    fn receive(&mut self, event: &StreamEvent<'_>);
}

impl Receiver for Collector {
    fn receive(&mut self, event: &StreamEvent<'_>) {
        self.add(event);
    }
}

/// Writer with its output.
pub(crate) struct Written(pub(crate) StreamWriter, pub(crate) Vec<u8>);

impl Receiver for Written {
    fn receive(&mut self, event: &StreamEvent<'_>) {
        self.0.write(event, &mut self.1);
    }
}

/// Reads a provider's bytes in pieces, until the end of the connection.
pub(crate) fn read_stream<'p>(
    from: Protocol,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    receiver: &mut impl Receiver,
) {
    let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
    read_pieces(from, pieces, 16 << 20, &mut |event| receiver.receive(event));
}

/// Translates a provider's bytes for a caller.
pub(crate) fn translate<'p>(
    from: Protocol,
    to: Protocol,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<u8> {
    let mut written = Written(StreamWriter::new(to, context()), Vec::new());
    read_stream(from, pieces, &mut written);
    assert!(written.0.has_ended(), "a stream ends by its end or by a failure");
    written.1
}

/// Names and data of the events in a stream's bytes. Data that is not JSON is a text.
pub(crate) fn events(bytes: &[u8]) -> Vec<(Option<String>, Value)> {
    let mut framer = Framer::new(64 << 20);
    framer.push(Bytes::copy_from_slice(bytes)).expect("in bounds");
    let mut events = Vec::new();
    while let Some(range) = framer.next_event() {
        let bytes = framer.slice(range);
        let event = Event::parse(&bytes);
        let Some(data) = &event.data else { continue };
        let text = str::from_utf8(data).expect("UTF-8");
        let data = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let name = event.name.map(|name| String::from_utf8_lossy(name).into_owned());
        events.push((name, data));
    }
    assert!(framer.unfinished().is_empty(), "the last event is whole");
    events
}

/// Bytes of a stream with these events: pairs of a name or null, and data.
pub(crate) fn stream_bytes(events: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events.as_array().expect("a list of events") {
        if let Some(name) = event[0].as_str() {
            bytes.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        let data = match &event[1] {
            Value::String(text) => text.clone(),
            data => data.to_string(),
        };
        bytes.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }
    bytes
}

/// Whether a value holds all that is expected: the members of objects, all elements of lists.
pub(crate) fn contains(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            .all(|(name, expected)| value.get(name).is_some_and(|value| contains(value, expected))),
        (Value::Array(value), Value::Array(expected)) => {
            value.len() == expected.len()
                && value.iter().zip(expected).all(|(value, expected)| contains(value, expected))
        }
        (value, expected) => value == expected,
    }
}
