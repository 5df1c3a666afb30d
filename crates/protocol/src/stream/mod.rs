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
mod pieces;
mod replay;
mod responses;
mod state;

use std::fmt::Debug;

use crate::context::AnswerContext;
use crate::model::{Failure, Protocol, StreamEvent};
use crate::shed::Shed;
use custom_calls::{CustomCalls, CustomEvent};
use openai::Event;
use state::Phase;

pub use collect::Collector;
pub use pieces::read_pieces;
pub use replay::replay;
pub use state::MAX_HELD_BYTES;

/// Reader of one protocol's events.
trait ReadEvents: Debug {
    /// Reads the name and the data of one event. [`StreamEvent::Finished`] is the last one.
    fn read_event<'a>(
        &mut self,
        name: Option<&[u8]>,
        data: &'a [u8],
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>>;

    /// Whether the stream may end here with its connection.
    fn is_whole(&self) -> bool;
}

/// Writer of one protocol's events.
trait WriteEvents: Debug {
    /// Appends the server-sent events for one event. The stream has not ended.
    fn write_event(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>>;

    /// Appends the error and ends the stream, which has not ended.
    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>);

    fn phase(&self) -> Phase;

    fn shed(&self) -> &Shed;
}

/// Reader of a provider's stream.
#[derive(Debug)]
pub struct StreamReader {
    reader: Box<dyn ReadEvents>,
    has_ended: bool,
}

impl StreamReader {
    /// Reader at the beginning of a stream.
    pub fn new(provider: Protocol) -> Self {
        let reader: Box<dyn ReadEvents> = match provider {
            Protocol::Chat => Box::new(chat::ChatReader::default()),
            Protocol::Responses => Box::new(responses::ResponsesReader::default()),
            Protocol::Messages => Box::new(messages::MessagesReader::default()),
        };
        Self { reader, has_ended: false }
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
        if self.has_ended {
            return;
        }
        let before = events.len();
        if let Err(failure) = self.reader.read_event(name, data, events) {
            events.push(StreamEvent::Failed(failure));
        }
        let last = events[before..].last();
        self.has_ended = matches!(last, Some(StreamEvent::Failed(_) | StreamEvent::Finished));
    }

    /// Reads a server-sent event, and passes on what it says. An event without data says nothing.
    pub fn read_event(&mut self, event: &Event<'_>, receive: &mut dyn FnMut(&StreamEvent<'_>)) {
        let Some(data) = &event.data else { return };
        let mut events = Vec::new();
        self.read(event.name, data, &mut events);
        events.iter().for_each(receive);
    }

    /// Ends the stream as [`Self::finish`] does, and passes on what that says.
    pub fn end(&mut self, receive: &mut dyn FnMut(&StreamEvent<'_>)) {
        let mut events = Vec::new();
        self.finish(&mut events);
        events.iter().for_each(receive);
    }

    /// Ends the stream with its connection. A stream that is not whole has failed.
    pub fn finish(&mut self, events: &mut Vec<StreamEvent<'static>>) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let is_whole = self.reader.is_whole();
            let failed = || StreamEvent::Failed(state::cut_off());
            events.push(if is_whole { StreamEvent::Finished } else { failed() });
        }
    }
}

/// Writer of a stream for a caller.
///
/// Nothing is written before the first content, so that a failure before it can still have a status
/// of its own.
#[derive(Debug)]
pub struct StreamWriter {
    writer: Box<dyn WriteEvents>,
    custom_calls: CustomCalls,
}

impl StreamWriter {
    /// Writer at the beginning of a stream.
    pub fn new(caller: Protocol, context: AnswerContext) -> Self {
        let custom_calls = CustomCalls::new(&context);
        let writer: Box<dyn WriteEvents> = match caller {
            Protocol::Chat => Box::new(chat::ChatWriter::new(context)),
            Protocol::Responses => Box::new(responses::ResponsesWriter::new(context)),
            Protocol::Messages => Box::new(messages::MessagesWriter::new(context)),
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
        if self.has_ended() {
            return;
        }
        if let Err(failure) = self.writer.write_event(event, out) {
            self.fail(&failure, out);
        }
    }

    /// Appends the error of the caller's protocol. Nothing follows it.
    pub fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        if !self.has_ended() {
            self.writer.fail(failure, out);
        }
    }

    /// Whether the stream has ended, by its end or by a failure.
    pub fn has_ended(&self) -> bool {
        self.writer.phase().has_ended()
    }

    /// Content that the protocol cannot express, so far.
    pub fn shed(&self) -> &Shed {
        self.writer.shed()
    }
}
