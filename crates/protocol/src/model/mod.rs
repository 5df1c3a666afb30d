//! Model of requests, answers, and the events of streams: the union of what the protocols can say.

mod answer;
mod error;
mod event;
mod part;
mod usage;

pub use answer::{Answer, AnswerChoice, EndReason, ServiceTier};
pub use error::{Failure, FailureClass};
pub use event::{ArgumentsKind, BlockKind, StreamEvent};
pub use part::{
    ArgumentsText, CacheBreakpoint, CacheLifetime, Citation, MediaKind, MediaSource, Part,
    PartKind, ReasoningText, ReasoningTextKind, Seal, SealMaker,
};
pub use usage::{CacheWrite, Usage};

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
