//! Model of requests, answers, and the events of streams: the union of what the protocols can say.

mod part;

pub use part::{
    ArgumentsText, CacheBreakpoint, CacheLifetime, Citation, MediaKind, MediaSource, Part,
    PartKind, ReasoningText, ReasoningTextKind, Seal, SealMaker,
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
