//! Stream of events on its way from one protocol to another.

use bytes::Bytes;
use openai::Event;
use protocol::AnswerContext;
use protocol::model::{Failure, FailureClass, Protocol};
use protocol::stream::{StreamReader, StreamWriter};

use crate::host::body::Body;

use super::rewritten_events::{EventRewriter, RewrittenEvents};
use super::sse_reader::MAX_EVENT_BYTES;

/// Translates the events of a body, of which `start` was already read, from one protocol to another. `context`
/// describes the answer to its writer.
pub(crate) fn translate_stream(
    start: Bytes,
    inner: Body,
    (from, to): (Protocol, Protocol),
    context: AnswerContext,
) -> Body {
    let translator =
        Translator { reader: StreamReader::new(from), writer: StreamWriter::new(to, context) };
    Body::stream(RewrittenEvents::new(start, inner, translator))
}

struct Translator {
    reader: StreamReader,
    writer: StreamWriter,
}

impl EventRewriter for Translator {
    fn event(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let event = Event::parse(bytes);
        if event.data.is_some() {
            self.reader.read_event(&event, &mut |event| self.writer.write(event, out));
        } else if !self.writer.has_ended() {
            // Every protocol's clients pass over comments, which keep connections open.
            out.extend_from_slice(bytes);
        }
    }

    fn too_long(&mut self, out: &mut Vec<u8>) {
        let message = format!("an event of the stream exceeds {MAX_EVENT_BYTES} bytes");
        self.writer.fail(&Failure::new(FailureClass::Upstream, message), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.reader.end(&mut |event| self.writer.write(event, out));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::AnswerContext;
    use protocol::model::Protocol::{Chat, Messages};

    use crate::host::body::Body;
    use crate::testing::fake_host::block_on;

    use super::translate_stream;

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
        let start = Bytes::from_static(b": first\n\n");
        let body = translate_stream(start, inner, (Messages, Chat), context);
        let body = block_on(body.collect(1 << 20)).expect("a whole body");
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
