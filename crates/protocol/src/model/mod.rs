//! Model of requests, answers, and the events of streams: the union of what the protocols can say.

mod answer;
mod equality;
mod error;
mod event;
mod part;
mod place;
mod request;
mod usage;

pub use answer::{Answer, AnswerChoice, EndReason, ServiceTier};
pub use error::{Failure, FailureClass};
pub use event::{ArgumentsKind, BlockKind, StreamEvent};
pub use part::{
    ArgumentsText, CacheBreakpoint, CacheLifetime, Citation, MediaKind, MediaSource, Part,
    PartKind, ReasoningText, ReasoningTextKind, Seal, SealMaker,
};
pub use usage::{CacheWrite, Usage};

pub use place::Place;
pub use request::{
    CustomFormat, Effort, JsonSchema, Leftover, LocatedPart, OutputFormat, Phase, Reasoning,
    ReasoningDisplay, Request, Role, Sampling, StreamOptions, ThinkingBudget, Tool, ToolChoice,
    ToolKind, Turn, Verbosity,
};

/// Protocol of a caller or a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    /// Name of the protocol in the configuration.
    pub fn id(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// Name of the protocol in messages for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "Chat Completions",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
        }
    }

    /// Index into a table with a column for each protocol.
    pub(crate) fn column(self) -> usize {
        match self {
            Self::Chat => 0,
            Self::Responses => 1,
            Self::Messages => 2,
        }
    }
}
