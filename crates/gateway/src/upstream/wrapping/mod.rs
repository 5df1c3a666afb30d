//! Wrapping of an answer: one JSON object, or the events of a stream. The body decides which one it
//! is, as in OpenAI's own clients; the content type is a hint.

mod chunks_to_completion;
mod completion_to_events;
mod merged;

use bytes::Bytes;
use http::HeaderValue;
use openai::Endpoint;
use serde_json::value::RawValue;

use crate::request::headers::is_media_type;

pub(crate) use chunks_to_completion::{Completion, event_data, first_choice_text};
pub(crate) use completion_to_events::{Frame, completion_to_events};

/// Value of an attempt's `converted`: a stream was put together as one answer.
pub(crate) const STREAM_TO_JSON: &str = "stream_to_json";
/// Value of an attempt's `converted`: one answer was turned into a stream.
pub(crate) const JSON_TO_STREAM: &str = "json_to_stream";

/// Form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// A JSON object or list.
    Json,
    /// Server-sent events, or text that could be some.
    Events,
    /// HTML or XML.
    Markup,
}

impl Wrapping {
    /// Recognizes the form of a body by its beginning. `None` if it has no visible character yet.
    pub(crate) fn detect(beginning: &[u8]) -> Option<Self> {
        Some(match visible(beginning).first()? {
            b'{' | b'[' => Self::Json,
            b'<' => Self::Markup,
            _ => Self::Events,
        })
    }

    /// Content type of a body of this form: the upstream's own if it agrees, else that of the form.
    pub(crate) fn content_type(self, known: Option<&HeaderValue>) -> HeaderValue {
        let own = match self {
            Self::Json | Self::Markup => "application/json",
            Self::Events => "text/event-stream",
        };
        let has_json_suffix = |value: &HeaderValue| {
            let media_type =
                value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            self == Self::Json && media_type.trim_ascii().to_ascii_lowercase().ends_with(b"+json")
        };
        let agrees = |value: &&HeaderValue| is_media_type(value, own) || has_json_suffix(value);
        known.filter(agrees).cloned().unwrap_or(HeaderValue::from_static(own))
    }
}

/// Content type of a provider's refusal that passes. A text that is no JSON is shown as a text: a browser
/// must not run it.
pub(crate) fn refusal_content_type(body: &[u8], known: Option<&HeaderValue>) -> HeaderValue {
    const TEXT: &str = "text/plain";
    match Wrapping::detect(body) {
        Some(form @ Wrapping::Json) => form.content_type(known),
        Some(Wrapping::Events | Wrapping::Markup) | None => known
            .filter(|value| is_media_type(value, TEXT))
            .cloned()
            .unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8")),
    }
}

/// Whether a whole body consists of events: its first line is a field of a stream.
pub(crate) fn is_event_stream(body: &[u8]) -> bool {
    let body = visible(body);
    [b"data:".as_slice(), b"event:", b"id:", b"retry:", b":"].iter().any(|it| body.starts_with(it))
}

/// A body without the byte order mark and white space before its first character.
fn visible(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start()
}

/// Puts the events of a complete stream together as one answer. `None` if they are no answer.
pub fn to_answer(endpoint: Endpoint, events: &Bytes) -> Option<Bytes> {
    if endpoint == Endpoint::Embeddings {
        return None;
    }
    let chunks = event_data(events);
    Some(Completion::from_chunks(endpoint, &chunks)?.to_json(None, None).into())
}

/// Turns a whole answer into the events of a stream, with its usage. `None` if it cannot be one.
pub fn to_events(endpoint: Endpoint, answer: &[u8]) -> Option<Bytes> {
    let answer = str::from_utf8(answer).ok()?;
    let (mut events, frame, usage) = completion_to_events(endpoint, answer, None, false)?;
    if let Some(usage) = usage.map(RawValue::get).filter(|usage| usage.starts_with('{')) {
        events.push(frame.usage_event(usage));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Some(events.concat().into())
}

/// A body without the byte order mark, which JSON readers refuse.
pub(super) fn without_mark(body: Bytes) -> Bytes {
    match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => body.slice_ref(rest),
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;
    use openai::Endpoint;
    use serde_json::{Value, json};

    use super::{Wrapping, is_event_stream, refusal_content_type, to_answer, to_events};

    #[test]
    fn form_is_recognized_by_the_first_character() {
        for (body, form, is_events) in [
            ("{}", Some(Wrapping::Json), false),
            ("\u{feff}\r\n {}", Some(Wrapping::Json), false),
            ("[{}]", Some(Wrapping::Json), false),
            ("<html>", Some(Wrapping::Markup), false),
            (" \n", None, false),
            ("", None, false),
            ("data: {}", Some(Wrapping::Events), true),
            ("\u{feff}\n\nevent: x\ndata: {}", Some(Wrapping::Events), true),
            (": ping", Some(Wrapping::Events), true),
            ("busy", Some(Wrapping::Events), false),
        ] {
            assert_eq!(Wrapping::detect(body.as_bytes()), form, "{body:?}");
            assert_eq!(is_event_stream(body.as_bytes()), is_events, "{body:?}");
        }
    }

    #[test]
    fn content_type_agrees_with_the_form() {
        let shown = |form: Wrapping, known: Option<&'static str>| {
            let known = known.map(HeaderValue::from_static);
            form.content_type(known.as_ref()).to_str().expect("text").to_owned()
        };
        let json = "application/json";
        assert_eq!(shown(Wrapping::Json, None), json);
        assert_eq!(shown(Wrapping::Json, Some("text/plain")), json);
        for known in ["application/json; charset=utf-8", "application/problem+json"] {
            assert_eq!(shown(Wrapping::Json, Some(known)), known);
        }
        assert_eq!(shown(Wrapping::Events, Some(json)), "text/event-stream");
        let charset = "text/event-stream;charset=UTF-8";
        assert_eq!(shown(Wrapping::Events, Some(charset)), charset);
    }

    #[test]
    fn refusal_is_json_or_plain_text() {
        let shown = |body: &str, known: Option<&'static str>| {
            let known = known.map(HeaderValue::from_static);
            let value = refusal_content_type(body.as_bytes(), known.as_ref());
            value.to_str().expect("text").to_owned()
        };
        assert_eq!(shown("{}", Some("text/html")), "application/json");
        let plain = "text/plain; charset=utf-8";
        for known in [None, Some("text/html"), Some("image/svg+xml"), Some("application/json")] {
            assert_eq!(shown("no <script>", known), plain, "{known:?}");
        }
        assert_eq!(shown("no", Some("text/plain;charset=gbk")), "text/plain;charset=gbk");
    }

    #[test]
    fn answer_survives_both_conversions() {
        let answer = json!({
            "id": "x", "object": "chat.completion", "model": "m",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"},
                {"index": 1, "message": {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ]}, "finish_reason": "tool_calls"},
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        });
        let chat = Endpoint::ChatCompletions;
        let events = to_events(chat, answer.to_string().as_bytes()).expect("an answer");
        let back = to_answer(chat, &events).expect("a stream");
        assert_eq!(serde_json::from_slice::<Value>(&back).expect("JSON"), answer);
        assert_eq!(to_events(Endpoint::Embeddings, br#"{"data":[]}"#), None);
        assert_eq!(to_answer(Endpoint::Embeddings, &events), None);
        assert_eq!(to_answer(chat, &Bytes::from_static(b"data: [DONE]\n\n")), None);
    }
}
