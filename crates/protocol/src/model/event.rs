//! Events of a stream.

use std::borrow::Cow;

use super::{Citation, EndReason, Failure, Protocol, ReasoningTextKind, Seal, ServiceTier, Usage};

/// Event of a stream.
///
/// A block is a part under construction. Its number is unique in the stream and grows with each
/// block. Several blocks may be open at once, since Chat permits calls whose pieces alternate.
#[derive(Clone, Debug)]
pub enum StreamEvent<'a> {
    /// First event: facts about the answer.
    Start {
        /// Id that the provider gave it.
        id: Cow<'a, str>,
        /// Model that answers.
        model: Cow<'a, str>,
        /// Seconds from the Unix epoch to the answer.
        created: Option<u64>,
        /// Tier that serves the request.
        tier: Option<ServiceTier>,
        /// Configuration of the provider's backend.
        fingerprint: Option<Cow<'a, str>>,
    },
    /// Beginning of a block.
    Open {
        /// Number of the block.
        block: u32,
        /// Choice that the block belongs to.
        choice: u32,
        /// Kind of the block.
        kind: BlockKind<'a>,
    },
    /// Beginning of a text in a block of reasoning, which may hold several.
    OpenThought {
        /// Number of the block.
        block: u32,
        /// Kind of the text.
        kind: ReasoningTextKind,
    },
    /// Next piece of a block's text, or of its arguments.
    Delta {
        /// Number of the block.
        block: u32,
        /// The piece.
        piece: Cow<'a, str>,
        /// Log probabilities of its tokens: a JSON array.
        logprobs: Option<Cow<'a, str>>,
    },
    /// Seal of a block.
    Sealed {
        /// Number of the block.
        block: u32,
        /// The seal.
        seal: Seal<'a>,
    },
    /// Source of a block's text.
    Cited {
        /// Number of the block.
        block: u32,
        /// The source.
        citation: Citation<'a>,
    },
    /// End of a block.
    Close {
        /// Number of the block.
        block: u32,
    },
    /// End of a choice. All its blocks are closed.
    End {
        /// The choice.
        choice: u32,
        /// Reason for which the model stopped.
        reason: EndReason<'a>,
    },
    /// Tokens so far. Replaces earlier reports.
    Usage(Usage),
    /// Sign of life, while the model works.
    Ping,
    /// Failure. No event follows.
    Failed(Failure<'a>),
    /// End of a whole answer. No event follows.
    Finished,
}

/// Kind of a block.
#[derive(Clone, Debug)]
pub enum BlockKind<'a> {
    /// Text.
    Text,
    /// Refusal in words.
    Refusal,
    /// Reasoning.
    Reasoning {
        /// Whether the maker has hidden the texts.
        is_redacted: bool,
    },
    /// Call of a tool.
    ToolCall {
        /// Id that the result names. Empty if the provider gives none.
        id: Cow<'a, str>,
        /// Name of the tool.
        name: Cow<'a, str>,
        /// Form of the arguments.
        arguments: ArgumentsKind,
    },
    /// Part that exists in one protocol only, as it came.
    Foreign {
        /// The protocol.
        protocol: Protocol,
        /// Its type by the protocol's name.
        name: Cow<'a, str>,
    },
}

impl BlockKind<'_> {
    /// Bytes of the texts in the kind.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::ToolCall { id, name, .. } => id.len() + name.len(),
            Self::Text | Self::Refusal | Self::Reasoning { .. } | Self::Foreign { .. } => 0,
        }
    }
}

/// Form of a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentsKind {
    /// JSON text of an object.
    Json,
    /// Free text, of a custom tool.
    Text,
}

impl StreamEvent<'_> {
    /// Whether the event shows a caller something that cannot be taken back: from then on the
    /// gateway cannot call another target.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Open { kind, .. } => {
                matches!(kind, BlockKind::ToolCall { .. } | BlockKind::Foreign { .. })
            }
            Self::Delta { piece, .. } => !piece.is_empty(),
            Self::Sealed { .. } | Self::Cited { .. } | Self::End { .. } => true,
            _ => false,
        }
    }
}
