//! Answers, whole.

use std::borrow::Cow;

use super::{Part, PartKind, Usage};

/// Answer of a model.
#[derive(Clone, Debug, Default)]
pub struct Answer<'a> {
    /// Id that the provider gave it.
    pub id: Cow<'a, str>,
    /// Model that answered.
    pub model: Cow<'a, str>,
    /// Seconds from the Unix epoch to the answer; `None` if the protocol does not tell.
    pub created: Option<u64>,
    /// Choices by index. Only Chat has more than one.
    pub choices: Vec<AnswerChoice<'a>>,
    /// Tokens; `None` if the provider reports none.
    pub usage: Option<Usage>,
    /// Tier that served the request.
    pub tier: Option<ServiceTier>,
    /// Configuration of the provider's backend (Chat, `system_fingerprint`).
    pub fingerprint: Option<Cow<'a, str>>,
}

/// One of the answers to a request.
#[derive(Clone, Debug)]
pub struct AnswerChoice<'a> {
    /// Index in the answer.
    pub index: u32,
    /// Content in order.
    pub parts: Vec<Part<'a>>,
    /// Reason for which the model stopped.
    pub end: EndReason<'a>,
    /// Log probabilities of the text's tokens: a JSON array, of one form in Chat and Responses.
    pub logprobs: Option<Cow<'a, str>>,
}

/// Reason for which a model stopped.
///
/// An answer that the provider could not finish has no reason: it is a [`super::Failure`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EndReason<'a> {
    /// The answer is complete.
    #[default]
    Done,
    /// A stop sequence of the request, if the protocol tells which one.
    StopText(Option<Cow<'a, str>>),
    /// Limit of the answer's length.
    Length,
    /// Window of the model's context.
    Window,
    /// Calls of tools.
    ToolCalls,
    /// Filter of the provider.
    Filtered,
    /// The model, or a classifier on its behalf, declined.
    Refused {
        /// Category, in the provider's words (Messages, `stop_details.category`).
        category: Option<Cow<'a, str>>,
        /// Explanation for people.
        explanation: Option<Cow<'a, str>>,
    },
    /// Pause of a long turn with hosted tools; the caller sends the answer back to continue.
    Paused,
    /// Reason that the reader does not know.
    Other,
}

impl EndReason<'_> {
    /// Refusal without a description.
    pub const REFUSED: EndReason<'static> =
        EndReason::Refused { category: None, explanation: None };

    /// Corrects the reason by the content: providers report `stop` beside calls, and `tool_calls`
    /// without any. A limit or a filter counts more than calls. A refusal in words is one, also
    /// where the protocol reports a normal end.
    #[must_use]
    pub fn given_content(self, has_calls: bool, has_refusal: bool) -> Self {
        match self {
            Self::Done | Self::StopText(_) | Self::ToolCalls | Self::Other if has_calls => {
                Self::ToolCalls
            }
            Self::Done | Self::ToolCalls if has_refusal => Self::REFUSED,
            Self::ToolCalls => Self::Done,
            other => other,
        }
    }

    /// Copies the texts of the reason.
    pub fn into_owned(self) -> EndReason<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        match self {
            Self::Done => EndReason::Done,
            Self::StopText(text) => EndReason::StopText(own(text)),
            Self::Length => EndReason::Length,
            Self::Window => EndReason::Window,
            Self::ToolCalls => EndReason::ToolCalls,
            Self::Filtered => EndReason::Filtered,
            Self::Refused { category, explanation } => {
                EndReason::Refused { category: own(category), explanation: own(explanation) }
            }
            Self::Paused => EndReason::Paused,
            Self::Other => EndReason::Other,
        }
    }
}

/// Tier of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// Default of the provider.
    Standard,
    /// Faster than the default.
    Priority,
    /// Cheaper and slower than the default.
    Flex,
    /// Reserved capacity.
    Scale,
    /// Batch.
    Batch,
}

impl AnswerChoice<'_> {
    /// Whether the choice calls a tool that the caller runs.
    pub fn has_calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall { .. }))
    }

    /// Whether the choice holds a refusal in words.
    pub fn has_refusal(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)))
    }
}
