//! Whole answers on their way from one protocol to another, or from one wrapping to another.

use bytes::Bytes;
use protocol::AnswerContext;
use protocol::model::{Answer, Failure, Protocol};
use protocol::stream::{Collector, StreamWriter, read_pieces, replay};

use super::sse_reader::MAX_EVENT_BYTES;
use super::wrapping::is_event_stream;

/// Returns an answer of one protocol as JSON of another. Its body is JSON or the events of a stream.
pub(crate) fn to_json(
    body: &Bytes,
    (from, to): (Protocol, Protocol),
    context: &AnswerContext,
) -> Result<Bytes, Failure<'static>> {
    let written = match is_event_stream(body) {
        true => protocol::answer::write(to, &collect(from, body)?, context),
        false => protocol::answer::write(to, &protocol::answer::read(from, body)?, context),
    };
    written.map(|written| written.body.into())
}

/// Returns an answer that came as JSON as the events of a stream in its own protocol.
pub(crate) fn to_events(
    body: &[u8],
    own: Protocol,
    context: AnswerContext,
) -> Result<Bytes, Failure<'static>> {
    let answer = protocol::answer::read(own, body)?;
    let mut writer = StreamWriter::new(own, context);
    let mut out = Vec::new();
    replay(answer).iter().for_each(|event| writer.write(event, &mut out));
    Ok(out.into())
}

/// Collects the events of a stream.
fn collect(from: Protocol, body: &Bytes) -> Result<Answer<'static>, Failure<'static>> {
    let mut collector = Collector::default();
    // A body that was read whole is within the bound; the blank line ends its last event.
    let pieces = [body.clone(), Bytes::from_static(b"\n\n")];
    read_pieces(from, pieces, MAX_EVENT_BYTES, &mut |event| collector.add(event));
    collector.into_answer()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::AnswerContext;
    use protocol::model::Protocol::{Chat, Messages};

    use super::{to_events, to_json};

    const ANSWER: &[u8] = br#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;

    #[test]
    fn answer_survives_both_wrappings() {
        let context = AnswerContext::default();
        let events = to_events(ANSWER, Messages, context.clone()).expect("an answer");
        assert!(events.starts_with(b"event: message_start\n") && events.ends_with(b"\n\n"));
        for body in [events, Bytes::from_static(ANSWER)] {
            let chat = to_json(&body, (Messages, Chat), &context).expect("an answer");
            let chat: serde_json::Value = serde_json::from_slice(&chat).expect("JSON");
            assert_eq!(chat["choices"][0]["message"]["content"], "Hi");
            assert_eq!(chat["usage"]["prompt_tokens"], 3);
        }
    }

    #[test]
    fn broken_answer_is_a_failure() {
        let context = AnswerContext::default();
        for body in
            ["<html>", "{}", "event: message_start\ndata: {}\n\n", "data: {\"type\":\"error\"}\n\n"]
        {
            let body = Bytes::from_static(body.as_bytes());
            assert!(to_json(&body, (Messages, Chat), &context).is_err(), "{body:?}");
        }
    }
}
