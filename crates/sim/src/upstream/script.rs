//! What one call gets, in the shorthand of scenario files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::duration;

/// What one call gets. With nothing set, a correct answer to what was asked.
///
/// The body is the first that is set of `raw`, `json`, `events`; else an error where the status is
/// 400 or more, nothing where it is 300 or more, and else `answer`. Faults that count events take a
/// whole body for one event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// No connection at all.
    pub refuse: bool,
    /// The request is taken and never answered.
    pub hang: bool,
    /// The wait before the head.
    #[serde(deserialize_with = "duration::optional")]
    pub delay: Option<Duration>,
    /// The status; 200 by default, 302 with `redirect`.
    pub status: Option<u16>,
    /// Headers, in addition to or in place of those that the body brings.
    pub headers: BTreeMap<String, String>,
    /// Sends the caller elsewhere.
    pub redirect: Option<String>,
    /// The head's `content-length`, right or wrong.
    pub content_length: Option<u64>,

    /// A body as it stands.
    pub raw: Option<String>,
    /// The type of a `raw` body, `text/plain` by default. A raw `text/event-stream` is sent chunked.
    pub content_type: Option<String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A stream of events with these data.
    pub events: Option<Vec<String>>,

    /// The text of a correct answer.
    pub answer: Option<String>,
    /// How often that text is said, once by default: for answers that no file should hold.
    pub answer_times: Option<usize>,
    /// Reasoning before it, in DeepSeek's `reasoning_content`.
    pub reasoning: Option<String>,
    /// The model's name in the answer; what was asked for by default.
    pub model: Option<String>,
    /// Reported usage; one token per word by default.
    pub prompt_tokens: Option<u64>,
    /// Reported usage; one token per word by default.
    pub completion_tokens: Option<u64>,
    /// Reported usage.
    pub cached_tokens: u64,
    /// Reported usage.
    pub reasoning_tokens: u64,
    /// The vector of embeddings.
    pub embedding: Option<Vec<f32>>,
    /// Streams, or does not, whatever was asked for.
    pub stream: Option<bool>,
    /// `false` leaves the usage out, `true` sends it in streams that did not ask.
    pub usage: Option<bool>,
    /// `false` leaves `[DONE]` out.
    pub done: Option<bool>,
    /// `false` leaves the chunk with `finish_reason` out.
    pub finish: Option<bool>,

    /// How lines of a stream end.
    pub line_ending: LineEnding,
    /// Comments before every event.
    pub comments: bool,
    /// The pause before every event but the first.
    #[serde(deserialize_with = "duration::optional")]
    pub gap: Option<Duration>,
    /// The pause before the first event that shows something; before a whole body.
    #[serde(deserialize_with = "duration::optional")]
    pub first_token_delay: Option<Duration>,
    /// Bytes per write; bytes that no pause separates are joined first.
    pub split: Option<usize>,

    /// The connection breaks after this many events.
    pub cut_after: Option<usize>,
    /// The connection breaks after this many bytes of the body.
    pub cut_at: Option<usize>,
    /// It breaks by a TCP reset; with no place given, as soon as the request is read.
    pub reset: bool,
    /// Nothing more comes after this many events, and no end.
    pub stall_after: Option<usize>,
    /// Nothing more comes after this many bytes of the body, and no end.
    pub stall_at: Option<usize>,
    /// A clean end after this many events.
    pub end_after: Option<usize>,
    /// An event with half a JSON object after this many events; the rest follows.
    pub malformed_after: Option<usize>,
    /// An event with an error after this many events, and a clean end.
    pub error_after: Option<usize>,
    /// The same as `error_after = 0`.
    pub error_first: bool,
    /// The same as `cut_after = 1`: in a chat stream, all that comes is the role.
    pub role_then_cut: bool,
}

/// How lines of a stream end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnding {
    /// `\n`, as nearly everyone does.
    #[default]
    Lf,
    /// `\r\n`
    Crlf,
    /// `\r`
    Cr,
}

impl LineEnding {
    /// Its bytes.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::Crlf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

impl Script {
    /// A correct answer with this text.
    pub fn answering(text: impl Into<String>) -> Self {
        Self { answer: Some(text.into()), ..Self::default() }
    }

    /// A failure with this status.
    pub fn failing(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }
}
