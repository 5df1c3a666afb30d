//! Answers for benchmarks: every byte is made beforehand, so that the upstream costs next to nothing.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::wire;
use crate::upstream::{Asked, Play, Response, Script, Step};

/// An answer that never changes, as the writes that make it up.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub(super) writes: Vec<Bytes>,
    pub(super) gap: Option<Duration>,
}

impl Fixed {
    /// A `chat.completion` whose JSON has `size` bytes, or the fewest that it can have.
    pub fn json(size: usize) -> Self {
        let empty = respond(&Script::answering(""), b"{}").bytes().len();
        let text: String = "word ".chars().cycle().take(size.saturating_sub(empty)).collect();
        let script = Script {
            prompt_tokens: Some(1),
            completion_tokens: Some(0),
            ..Script::answering(text)
        };
        let response = respond(&script, b"{}");
        let mut write = wire::head(response.status, &response.headers, response.length);
        write.extend_from_slice(&response.bytes());
        Self { writes: vec![write.freeze()], gap: None }
    }

    /// A stream of `words` events with content, one write each, with a pause before each if there
    /// is a `gap`. The role comes before them; finish, usage and `[DONE]` behind.
    pub fn stream(words: usize, gap: Option<Duration>) -> Self {
        let text = vec!["word"; words].join(" ");
        let asked = br#"{"stream":true,"stream_options":{"include_usage":true}}"#;
        let response = respond(&Script::answering(text), asked);
        let mut next = wire::head(response.status, &response.headers, None);
        let mut writes = Vec::with_capacity(response.steps.len());
        for step in &response.steps {
            if let Step::Send(bytes) = step {
                wire::chunk(bytes, &mut next);
                writes.push(std::mem::take(&mut next).freeze());
            }
        }
        let mut last = BytesMut::from(writes.pop().unwrap_or_default());
        last.extend_from_slice(wire::LAST_CHUNK);
        writes.push(last.freeze());
        Self { writes, gap }
    }
}

fn respond(script: &Script, asked: &[u8]) -> Response {
    match script.play(&Asked::read("/v1/chat/completions", asked)) {
        Ok(Play::Respond(response)) => response,
        other => unreachable!("a plain script answers: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Fixed;

    #[test]
    fn a_body_has_the_size_that_was_asked_for() {
        let fixed = Fixed::json(4096);
        let text = String::from_utf8(fixed.writes[0].to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-length: 4096") && body.len() == 4096, "{}", body.len());
    }

    #[test]
    fn a_stream_has_a_write_per_event() {
        let fixed = Fixed::stream(200, None);
        assert_eq!(fixed.writes.len(), 204, "role, words, finish, usage, done");
        assert!(fixed.writes[203].ends_with(b"0\r\n\r\n"));
    }
}
