//! Script of one call: the response to it, in the shorthand of scenario files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::duration;

/// Response to one call. By default it is a correct answer to the request.
///
/// The body is the first field that is set of `raw`, `json`, and `events`. Otherwise it is an error for a
/// status from 400, empty for a status from 300, and `answer` for all others. For faults that count
/// events, a whole body is one event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Refuses the connection.
    pub refuse: bool,
    /// Accepts the request and never responds.
    pub hang: bool,
    /// Delay before the head.
    #[serde(deserialize_with = "duration::optional")]
    pub delay: Option<Duration>,
    /// Status; 200 by default, 302 with `redirect`.
    pub status: Option<u16>,
    /// Headers. They add to those of the body or replace them.
    pub headers: BTreeMap<String, String>,
    /// `location` of a redirect.
    pub redirect: Option<String>,
    /// `content-length` of the head, correct or not.
    pub content_length: Option<u64>,

    /// Body as exact text.
    pub raw: Option<String>,
    /// Content type of a `raw` body, `text/plain` by default. A raw `text/event-stream` is sent chunked.
    pub content_type: Option<String>,
    /// JSON body.
    pub json: Option<Value>,
    /// Stream of events. Each entry is the data of one event, or `{ data = "…", repeat = N }` for N equal
    /// events in a row.
    pub events: Option<Vec<ScriptEvent>>,

    /// Text of a correct answer.
    pub answer: Option<String>,
    /// Number of repetitions of that text, one by default: for answers too long for a file.
    pub answer_times: Option<usize>,
    /// Reasoning before the text, in `reasoning_content` as DeepSeek sends it.
    pub reasoning: Option<String>,
    /// Call of a tool after the text.
    pub call: Option<ScriptCall>,
    /// Model in the answer; the requested model by default.
    pub model: Option<String>,
    /// Reported prompt tokens; one per word by default.
    pub prompt_tokens: Option<u64>,
    /// Reported completion tokens; one per word by default.
    pub completion_tokens: Option<u64>,
    /// Reported cached tokens.
    pub cached_tokens: u64,
    /// Reported reasoning tokens.
    pub reasoning_tokens: u64,
    /// Vector of each embedding.
    pub embedding: Option<Vec<f32>>,
    /// Whether the answer is a stream; as requested by default.
    pub stream: Option<bool>,
    /// `false` omits the usage, `true` sends it in streams that did not request it.
    pub usage: Option<bool>,
    /// `false` omits `[DONE]`, or `message_stop` of Messages.
    pub done: Option<bool>,
    /// `false` omits the chunk with `finish_reason`, `message_delta` of Messages, or the terminal event of
    /// Responses.
    pub finish: Option<bool>,

    /// Line ending of a stream.
    pub line_ending: LineEnding,
    /// Whether a comment precedes every event.
    pub comments: bool,
    /// Pause before every event except the first.
    #[serde(deserialize_with = "duration::optional")]
    pub gap: Option<Duration>,
    /// Pause before the first event with content, or before a whole body.
    #[serde(deserialize_with = "duration::optional")]
    pub first_token_delay: Option<Duration>,
    /// Bytes per write. Bytes without a pause between them are joined first.
    pub split: Option<usize>,

    /// The connection breaks after this many events.
    pub cut_after: Option<usize>,
    /// The connection breaks after this many bytes of the body.
    pub cut_at: Option<usize>,
    /// Breaks the connection by a TCP reset; right after the request if no position is given.
    pub reset: bool,
    /// The stream stalls after this many events, without an end.
    pub stall_after: Option<usize>,
    /// The body stalls after this many bytes, without an end.
    pub stall_at: Option<usize>,
    /// The stream ends cleanly after this many events.
    pub end_after: Option<usize>,
    /// An event with half a JSON object follows this many events, then the remaining events.
    pub malformed_after: Option<usize>,
    /// An error event follows this many events, then a clean end.
    pub error_after: Option<usize>,
    /// Same as `error_after = 0`.
    pub error_first: bool,
    /// Same as `cut_after = 1`: a chat stream then consists of the role only.
    pub role_then_cut: bool,
}

/// Call of a tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptCall {
    /// Name of the tool.
    pub name: String,
    /// Arguments.
    pub arguments: Value,
}

/// One entry of `events`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ScriptEvent {
    /// One event with this data.
    Once(String),
    /// Several equal events in a row.
    Repeated(RepeatedEvent),
}

/// Several equal events in a row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatedEvent {
    /// Data of each event.
    pub data: String,
    /// Number of events.
    pub repeat: usize,
}

impl ScriptEvent {
    /// Returns the data of each event in turn.
    pub(super) fn data(&self) -> impl Iterator<Item = &str> {
        let (data, repeat) = match self {
            Self::Once(data) => (data, 1),
            Self::Repeated(RepeatedEvent { data, repeat }) => (data, *repeat),
        };
        std::iter::repeat_n(data.as_str(), repeat)
    }
}

impl From<String> for ScriptEvent {
    fn from(data: String) -> Self {
        Self::Once(data)
    }
}

/// Line ending of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnding {
    /// `\n`, as nearly every provider sends.
    #[default]
    Lf,
    /// `\r\n`
    Crlf,
    /// `\r`
    Cr,
}

impl LineEnding {
    /// Returns the characters of the line ending.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::Crlf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

impl Script {
    /// Creates a script of a correct answer with this text.
    pub fn answering(text: impl Into<String>) -> Self {
        Self { answer: Some(text.into()), ..Self::default() }
    }

    /// Creates a script of a failure with this status.
    pub fn failing(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}
