//! Texts and images with their places.

use std::borrow::Cow;
use std::ops::Range;

/// Text and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextField<'a> {
    /// Role of its message; in an answer the assistant.
    pub role: MessageRole,
    /// Path of the text in an answer: texts with the same path in successive chunks form one text.
    /// It has the number of the choice and the member names: `0.content`,
    /// `0.tool_calls.1.function.arguments`. Empty in a request.
    pub channel: String,
    /// Text without escapes.
    pub text: Cow<'a, str>,
    /// Range of the JSON string with its quotes.
    pub at: Range<usize>,
}

impl TextField<'_> {
    /// Copies a borrowed text.
    pub fn into_owned(self) -> TextField<'static> {
        TextField { text: self.text.into_owned().into(), ..self }
    }
}

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRole {
    /// `system` or `developer`: the application.
    System,
    /// `user`, and every unknown role.
    User,
    /// `assistant`: the model.
    Assistant,
    /// `tool` or `function`: result of a call.
    Tool,
}

/// Image in a request: its URL, or a `data:` URL that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Number of its message.
    pub message: usize,
    /// Role of its message.
    pub role: MessageRole,
    /// URL without escapes.
    pub url: Cow<'a, str>,
}

/// JSON that is nested deeper than messages are, or that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reason that the texts of a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadablePrompt {
    /// The content has an entry that is no message.
    NotMessages,
    /// A message or another member is nested too deeply.
    TooDeep,
    /// There are more texts than [`MAX_TEXTS`](crate::MAX_TEXTS).
    TooManyTexts,
}

impl UnreadablePrompt {
    /// The content that cannot be read, for the caller.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotMessages => "an entry that is not a message",
            Self::TooDeep => "a member that is nested too deeply",
            Self::TooManyTexts => "more than 20,000 texts",
        }
    }
}

impl std::fmt::Display for UnreadablePrompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
