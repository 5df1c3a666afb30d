//! Calls of a choice under construction.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::state::{BlockNumbers, HeldBytes, MAX_OPEN_BLOCKS, ObjectEnd, delta};
use crate::answer::chat::parts::read_call_seal;
use crate::answer::chat::read::read_arguments;
use crate::answer_outcome::unreadable;
use crate::members::{count, pick_in, text};
use crate::model::{ArgumentsKind, BlockKind, Failure, Seal, StreamEvent};

/// Calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    /// Index that the provider gave it.
    index: u64,
    id: String,
    arguments: ArgumentsKind,
    state: CallState,
}

#[derive(Debug)]
enum CallState {
    /// The name is not known; the arguments wait for it.
    Unnamed(String),
    Open(u32, ObjectEnd),
    Closed,
}

/// Piece of a call.
struct Piece<'a> {
    index: Option<u64>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
    kind: ArgumentsKind,
}

impl<'a> Piece<'a> {
    fn read(call: &'a RawValue) -> Self {
        let [index, id, function, custom] =
            pick_in(Some(call), ["index", "id", "function", "custom"]);
        let (name, arguments, kind) = if custom.is_some() {
            let [name, input] = pick_in(custom, ["name", "input"]);
            (name, text(input).unwrap_or_default(), ArgumentsKind::Text)
        } else {
            let [name, arguments] = pick_in(function, ["name", "arguments"]);
            (name, read_arguments(arguments), ArgumentsKind::Json)
        };
        Self {
            index: count(index),
            id: text(id).unwrap_or_default(),
            name: text(name).unwrap_or_default(),
            arguments,
            kind,
        }
    }
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a piece of a call.
    pub(super) fn read<'a>(
        &mut self,
        call: &'a RawValue,
        choice: u32,
        numbers: &mut BlockNumbers,
        held: &mut HeldBytes,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let [extra] = pick_in(Some(call), ["extra_content"]);
        let seal = read_call_seal(extra);
        self.receive(Piece::read(call), seal, choice, numbers, held, events)
    }

    /// Reads a piece of the one call that the API had before tools (`function_call`).
    pub(super) fn read_old<'a>(
        &mut self,
        function: &'a RawValue,
        choice: u32,
        numbers: &mut BlockNumbers,
        held: &mut HeldBytes,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let [name, arguments] = pick_in(Some(function), ["name", "arguments"]);
        let piece = Piece {
            index: Some(0),
            id: "".into(),
            name: text(name).unwrap_or_default(),
            arguments: read_arguments(arguments),
            kind: ArgumentsKind::Json,
        };
        self.receive(piece, None, choice, numbers, held, events)
    }

    fn receive<'a>(
        &mut self,
        piece: Piece<'a>,
        seal: Option<Seal<'a>>,
        choice: u32,
        numbers: &mut BlockNumbers,
        held: &mut HeldBytes,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let at = match self.find(&piece) {
            Some(at) => at,
            None => self.begin(&piece, held, events)?,
        };
        let call_state = &mut self.0[at];
        if let CallState::Unnamed(waiting) = &mut call_state.state {
            if piece.name.is_empty() {
                held.add(piece.arguments.len())?;
                waiting.push_str(&piece.arguments);
                return Ok(());
            }
            let block = numbers.next();
            let waiting = std::mem::take(waiting);
            let kind = BlockKind::ToolCall {
                id: call_state.id.clone().into(),
                name: piece.name,
                arguments: call_state.arguments,
            };
            events.push(StreamEvent::Open { block, choice, kind });
            let mut end = ObjectEnd::default();
            if !waiting.is_empty() {
                end.push(&waiting);
                events.push(delta(block, waiting));
            }
            call_state.state = CallState::Open(block, end);
        }
        match &mut call_state.state {
            CallState::Open(block, end) => {
                if !piece.arguments.is_empty() {
                    end.push(&piece.arguments);
                    events.push(delta(*block, piece.arguments));
                }
                if let Some(seal) = seal {
                    events.push(StreamEvent::Sealed { block: *block, seal });
                }
                Ok(())
            }
            CallState::Closed if !piece.arguments.trim().is_empty() => {
                Err(unreadable("has arguments after the end of a tool call"))
            }
            CallState::Closed | CallState::Unnamed(_) => Ok(()),
        }
    }

    /// Finds the call that a piece continues. Some providers give each call the index 0, or none:
    /// another id begins another call.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let at = match piece.index {
            Some(index) => self.0.iter().rposition(|call| call.index == index)?,
            None if piece.id.is_empty() => self.0.len().checked_sub(1)?,
            None => return self.0.iter().rposition(|call| call.id == *piece.id),
        };
        let id = &self.0[at].id;
        let is_same = piece.id.is_empty() || id.is_empty() || *id == *piece.id;
        is_same.then_some(at)
    }

    /// Begins a call. Calls whose arguments are a whole object are closed then: nothing can follow,
    /// and a writer of one block at a time need not wait.
    fn begin(
        &mut self,
        piece: &Piece<'_>,
        held: &mut HeldBytes,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<usize, Failure<'static>> {
        if self.0.len() >= MAX_OPEN_BLOCKS {
            return Err(unreadable("has too many tool calls"));
        }
        held.add(piece.id.len())?;
        for call in &mut self.0 {
            if let CallState::Open(block, end) = &call.state
                && end.is_complete()
                && call.arguments == ArgumentsKind::Json
            {
                events.push(StreamEvent::Close { block: *block });
                call.state = CallState::Closed;
            }
        }
        self.0.push(Call {
            index: piece.index.unwrap_or(u64::MAX),
            id: piece.id.clone().into_owned(),
            arguments: piece.kind,
            state: CallState::Unnamed(String::new()),
        });
        Ok(self.0.len() - 1)
    }

    /// Closes all calls.
    pub(super) fn close(
        &mut self,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<(), Failure<'static>> {
        for call in &mut self.0 {
            match call.state {
                CallState::Open(block, _) => events.push(StreamEvent::Close { block }),
                CallState::Closed => {}
                CallState::Unnamed(_) => {
                    return Err(unreadable("has a tool call without a name"));
                }
            }
            call.state = CallState::Closed;
        }
        Ok(())
    }
}
