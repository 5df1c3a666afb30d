//! Calls of custom tools in streams, which the provider knows as functions.

use std::collections::BTreeSet;

use super::state::{HeldBytes, delta};
use crate::context::AnswerContext;
use crate::custom_calls::input_of;
use crate::model::{ArgumentsKind, BlockKind, Failure, StreamEvent};

/// Turns calls of functions into calls of the custom tools that they stand for. The arguments are
/// held until the call ends, since the input is a member of them.
#[derive(Debug)]
pub(super) struct CustomCalls {
    /// Names of the functions.
    names: BTreeSet<String>,
    /// Open blocks with their arguments so far.
    open: Vec<(u32, String)>,
    held: HeldBytes,
}

/// Event of a stream, as the writer gets it.
pub(super) enum CustomEvent {
    /// As it is.
    Other,
    /// Beginning of a custom call in its place.
    Open(StreamEvent<'static>),
    /// Piece of arguments that is held.
    Held(Result<(), Failure<'static>>),
    /// Input of the call that the event ends, before it.
    Input(StreamEvent<'static>),
}

impl CustomCalls {
    pub(super) fn new(context: &AnswerContext) -> Self {
        Self { names: context.custom_tools(), open: Vec::new(), held: HeldBytes::default() }
    }

    pub(super) fn receive(&mut self, event: &StreamEvent<'_>) -> CustomEvent {
        match event {
            StreamEvent::Open {
                block,
                choice,
                kind: BlockKind::ToolCall { id, name, arguments },
            } if *arguments == ArgumentsKind::Json && self.is_custom(name) => {
                self.open.push((*block, String::new()));
                let kind = BlockKind::ToolCall {
                    id: id.clone().into_owned().into(),
                    name: name.clone().into_owned().into(),
                    arguments: ArgumentsKind::Text,
                };
                CustomEvent::Open(StreamEvent::Open { block: *block, choice: *choice, kind })
            }
            StreamEvent::Delta { block, piece, .. } => match self.find(*block) {
                Some(at) => {
                    self.open[at].1.push_str(piece);
                    CustomEvent::Held(self.held.add(piece.len()))
                }
                None => CustomEvent::Other,
            },
            StreamEvent::Close { block } => match self.find(*block) {
                Some(at) => {
                    let (block, arguments) = self.open.remove(at);
                    self.held.release(arguments.len());
                    CustomEvent::Input(delta(block, input_of(&arguments).into_owned()))
                }
                None => CustomEvent::Other,
            },
            _ => CustomEvent::Other,
        }
    }

    fn is_custom(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn find(&self, block: u32) -> Option<usize> {
        self.open.iter().rposition(|(number, _)| *number == block)
    }
}
