//! Choices and blocks that a writer of Chat has open.

use crate::model::{ArgumentsKind, Citation};

/// Choice that is open.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) index: u32,
    /// Calls so far, which Chat numbers apart from other content.
    pub(super) calls: u64,
    pub(super) has_thought: bool,
    pub(super) has_refusal: bool,
    pub(super) has_ended: bool,
    /// Characters of text so far.
    pub(super) characters: usize,
}

/// Block that is open.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) number: u32,
    /// Place of its choice.
    pub(super) choice: usize,
    pub(super) kind: Kind,
    /// Characters of text before the block.
    pub(super) start: usize,
    /// Sources, until the end of the text that they cover is known.
    pub(super) citations: Vec<Citation<'static>>,
}

/// Kind of a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Refusal,
    Reasoning,
    Call { number: u64, arguments: ArgumentsKind, has_arguments: bool },
    Foreign,
}

/// Type of a call, and the member of its arguments.
pub(super) fn words_of(arguments: ArgumentsKind) -> (&'static str, &'static str) {
    match arguments {
        ArgumentsKind::Json => ("function", "arguments"),
        ArgumentsKind::Text => ("custom", "input"),
    }
}
