//! Stream of events on its way from one protocol to another.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use openai::{Event, Framer};
use protocol::AnswerContext;
use protocol::model::{Failure, FailureClass, Protocol, StreamEvent};
use protocol::stream::{StreamReader, StreamWriter};

use crate::host::body::Body;
use crate::host::error::HostError;

use super::sse_reader::MAX_EVENT_BYTES;

/// Body whose events are translated. Dropping it drops the inner body.
pub(crate) struct TranslatedStream {
    /// Bytes before those of the body.
    start: Bytes,
    inner: Body,
    framer: Framer,
    reader: StreamReader,
    writer: StreamWriter,
    has_ended: bool,
}

impl TranslatedStream {
    /// Translates the events of a body, of which `start` was already read, from one protocol to another.
    /// `context` describes the answer to its writer.
    pub(crate) fn new(
        start: Bytes,
        inner: Body,
        (from, to): (Protocol, Protocol),
        context: AnswerContext,
    ) -> Self {
        Self {
            start,
            inner,
            framer: Framer::new(MAX_EVENT_BYTES),
            reader: StreamReader::new(from),
            writer: StreamWriter::new(to, context),
            has_ended: false,
        }
    }

    /// Translates the whole events of a piece.
    fn push(&mut self, piece: Bytes, out: &mut Vec<u8>) {
        if self.framer.push(piece).is_err() {
            let message = format!("an event of the stream exceeds {MAX_EVENT_BYTES} bytes");
            self.writer.fail(&Failure::new(FailureClass::Upstream, message), out);
            return;
        }
        while let Some(range) = self.framer.next_event() {
            let bytes = self.framer.bytes(range);
            let event = Event::parse(bytes);
            match &event.data {
                Some(data) => {
                    let mut events = Vec::new();
                    self.reader.read(event.name, data, &mut events);
                    events.iter().for_each(|event| self.writer.write(event, out));
                }
                // Every protocol's clients pass over comments, which keep connections open.
                None if !self.writer.has_ended() => out.extend_from_slice(bytes),
                None => {}
            }
        }
    }

    /// Ends the stream with its body.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.framer.unfinished().is_empty() {
            self.push(Bytes::from_static(b"\n\n"), out);
        }
        let mut events: Vec<StreamEvent<'static>> = Vec::new();
        self.reader.finish(&mut events);
        events.iter().for_each(|event| self.writer.write(event, out));
    }
}

impl Stream for TranslatedStream {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.has_ended {
            let mut out = Vec::new();
            let start = std::mem::take(&mut self.start);
            let piece = match start.is_empty() {
                true => ready!(self.inner.poll_piece(cx)),
                false => Some(Ok(start)),
            };
            match piece {
                Some(Ok(piece)) => self.push(piece, &mut out),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.has_ended = true;
                    self.finish(&mut out);
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out.into())));
            }
        }
        Poll::Ready(None)
    }
}

impl fmt::Debug for TranslatedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranslatedStream").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::AnswerContext;
    use protocol::model::Protocol::{Chat, Messages};

    use crate::host::body::Body;
    use crate::testing::fake_host::block_on;

    use super::TranslatedStream;

    const STREAM: &str = concat!(
        ": keep-alive\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );

    fn translate(input: &str) -> String {
        let context = AnswerContext { includes_usage: true, ..AnswerContext::default() };
        let inner = Body::from(Bytes::from(input.to_owned()));
        let stream = TranslatedStream::new(
            Bytes::from_static(b": first\n\n"),
            inner,
            (Messages, Chat),
            context,
        );
        let body = block_on(Body::stream(stream).collect(1 << 20)).expect("a whole body");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[test]
    fn events_and_comments_are_translated() {
        let chat = translate(STREAM);
        assert!(chat.starts_with(": first\n\n: keep-alive\n\n"), "{chat}");
        assert!(chat.contains(r#""content":"Hi""#) && chat.contains(r#""finish_reason":"stop""#));
        assert!(
            chat.contains(r#""prompt_tokens":3"#) && chat.ends_with("data: [DONE]\n\n"),
            "{chat}"
        );
    }

    #[test]
    fn stream_that_breaks_off_ends_with_an_error() {
        let cut = STREAM.find("event: message_delta").expect("it is there");
        let chat = translate(&STREAM[..cut]);
        assert!(
            chat.contains(r#""content":"Hi""#) && chat.contains(r#"data: {"error":"#),
            "{chat}"
        );
        assert!(!chat.contains("[DONE]") && !chat.contains(r#""finish_reason":"stop""#), "{chat}");
    }
}
