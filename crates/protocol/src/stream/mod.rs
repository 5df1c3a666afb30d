//! Streams: a reader and a writer for each protocol.
//!
//! A reader gets the name and the data of one server-sent event at a time, which `openai::Framer`
//! and `openai::Event` find. A writer gets the reader's events and appends server-sent events.
//!
//! A stream that failed never looks like one that ended: no end is made up, and after a failure a
//! writer writes nothing.

mod chat;
mod collect;
mod custom_calls;
mod messages;
mod replay;
mod responses;
mod state;

use crate::context::AnswerContext;
use crate::model::{Failure, Protocol, StreamEvent};
use crate::shed::Shed;
use custom_calls::{CustomCalls, CustomEvent};

pub use collect::Collector;
pub use replay::replay;
pub use state::MAX_HELD_BYTES;

/// Reader of a provider's stream.
#[derive(Debug)]
pub struct StreamReader(Reader);

#[derive(Debug)]
enum Reader {
    Chat(chat::ChatReader),
    Responses(responses::ResponsesReader),
    Messages(messages::MessagesReader),
}

impl StreamReader {
    /// Reader at the beginning of a stream.
    pub fn new(provider: Protocol) -> Self {
        Self(match provider {
            Protocol::Chat => Reader::Chat(chat::ChatReader::default()),
            Protocol::Responses => Reader::Responses(responses::ResponsesReader::default()),
            Protocol::Messages => Reader::Messages(messages::MessagesReader::default()),
        })
    }

    /// Reads the name and the data of one event, and appends what they say. Events that the reader
    /// does not know are passed over. After [`StreamEvent::Failed`] or [`StreamEvent::Finished`]
    /// nothing is read.
    pub fn read<'a>(
        &mut self,
        name: Option<&[u8]>,
        data: &'a [u8],
        events: &mut Vec<StreamEvent<'a>>,
    ) {
        match &mut self.0 {
            Reader::Chat(reader) => reader.read(name, data, events),
            Reader::Responses(reader) => reader.read(name, data, events),
            Reader::Messages(reader) => reader.read(name, data, events),
        }
    }

    /// Ends the stream with its connection. A stream that is not whole has failed.
    pub fn finish(&mut self, events: &mut Vec<StreamEvent<'static>>) {
        match &mut self.0 {
            Reader::Chat(reader) => reader.finish(events),
            Reader::Responses(reader) => reader.finish(events),
            Reader::Messages(reader) => reader.finish(events),
        }
    }
}

/// Writer of a stream for a caller.
///
/// Nothing is written before the first content, so that a failure before it can still have a status
/// of its own.
#[derive(Debug)]
pub struct StreamWriter {
    writer: Writer,
    custom_calls: CustomCalls,
}

#[derive(Debug)]
enum Writer {
    Chat(chat::ChatWriter),
    Responses(responses::ResponsesWriter),
    Messages(messages::MessagesWriter),
}

impl StreamWriter {
    /// Writer at the beginning of a stream.
    pub fn new(caller: Protocol, context: AnswerContext) -> Self {
        let custom_calls = CustomCalls::new(&context);
        let writer = match caller {
            Protocol::Chat => Writer::Chat(chat::ChatWriter::new(context)),
            Protocol::Responses => Writer::Responses(responses::ResponsesWriter::new(context)),
            Protocol::Messages => Writer::Messages(messages::MessagesWriter::new(context)),
        };
        Self { writer, custom_calls }
    }

    /// Appends the server-sent events for one event. [`StreamEvent::Failed`] is [`Self::fail`].
    pub fn write(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) {
        match self.custom_calls.receive(event) {
            CustomEvent::Other => self.write_event(event, out),
            CustomEvent::Open(open) => self.write_event(&open, out),
            CustomEvent::Held(Ok(())) => {}
            CustomEvent::Held(Err(failure)) => self.fail(&failure, out),
            CustomEvent::Input(input) => {
                self.write_event(&input, out);
                self.write_event(event, out);
            }
        }
    }

    fn write_event(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) {
        match &mut self.writer {
            Writer::Chat(writer) => writer.write(event, out),
            Writer::Responses(writer) => writer.write(event, out),
            Writer::Messages(writer) => writer.write(event, out),
        }
    }

    /// Appends the error of the caller's protocol. Nothing follows it.
    pub fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        match &mut self.writer {
            Writer::Chat(writer) => writer.fail(failure, out),
            Writer::Responses(writer) => writer.fail(failure, out),
            Writer::Messages(writer) => writer.fail(failure, out),
        }
    }

    /// Whether the stream has ended, by its end or by a failure.
    pub fn has_ended(&self) -> bool {
        match &self.writer {
            Writer::Chat(writer) => writer.phase.has_ended(),
            Writer::Responses(writer) => writer.phase.has_ended(),
            Writer::Messages(writer) => writer.phase.has_ended(),
        }
    }

    /// Content that the protocol cannot express, so far.
    pub fn shed(&self) -> &Shed {
        match &self.writer {
            Writer::Chat(writer) => &writer.shed,
            Writer::Responses(writer) => &writer.shed,
            Writer::Messages(writer) => &writer.shed,
        }
    }
}
