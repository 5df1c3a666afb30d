//! Reading of chunks.

use serde_json::value::RawValue;

use super::super::ReadEvents;
use super::super::state::{
    BlockNumbers, HeldBytes, delta, not_an_object, raw_text, text_of, too_many_blocks,
};
use super::calls::Calls;
use crate::answer::chat::parts::{MessageMembers, read_annotations, read_finish_reason, read_tier};
use crate::answer_outcome::unreadable;
use crate::failure::{from_event, from_object};
use crate::members::{count, elements, pick, pick_in, some_text, text};
use crate::model::{BlockKind, EndReason, Failure, ReasoningTextKind, StreamEvent};
use crate::usage::read_chat;

/// Most choices of a stream: the largest `n` of the API.
const MAX_CHOICES: usize = 128;

/// Reader of chunks.
#[derive(Debug, Default)]
pub(in crate::stream) struct ChatReader {
    numbers: BlockNumbers,
    held: HeldBytes,
    choices: Vec<Choice>,
    is_started: bool,
}

/// Choice under construction.
#[derive(Debug, Default)]
struct Choice {
    index: u32,
    /// Open block of text, refusal, or reasoning.
    open: Option<(u32, TextKind)>,
    calls: Calls,
    has_refusal: bool,
    has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextKind {
    Text,
    Refusal,
    Reasoning(Option<ReasoningTextKind>),
}

impl ReadEvents for ChatReader {
    fn read_event<'a>(
        &mut self,
        name: Option<&[u8]>,
        data: &'a [u8],
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let chunk = text_of(data)?;
        if chunk.trim() == "[DONE]" {
            return self.read_done(events);
        }
        if chunk.trim().is_empty() {
            return Ok(());
        }
        let [choices, usage, groq, error] =
            pick(chunk, ["choices", "usage", "x_groq", "error"]).ok_or_else(not_an_object)?;
        if let Some(error) = error {
            return Err(from_object(error));
        }
        if name == Some(b"error") || (choices.is_none() && is_flat_error(chunk)) {
            return Err(from_event(data));
        }
        if !self.is_started && choices.is_some() {
            self.is_started = true;
            events.push(start(chunk));
        }
        let mut result = Ok(());
        elements(choices, &mut |choice| {
            if result.is_ok() {
                result = self.read_choice(choice, events);
            }
        });
        result?;
        let [groq] = pick_in(groq, ["usage"]);
        if let Some(usage) = read_chat(usage).or_else(|| read_chat(groq)) {
            events.push(StreamEvent::Usage(usage));
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.has_ended)
    }
}

impl ChatReader {
    fn read_choice<'a>(
        &mut self,
        choice: &'a RawValue,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let [index, delta, reason, logprobs, error, usage] = pick_in(
            Some(choice),
            ["index", "delta", "finish_reason", "logprobs", "error", "usage"],
        );
        if let Some(error) = error {
            return Err(from_object(error));
        }
        // Moonshot reports usage in the choice.
        if let Some(usage) = read_chat(usage) {
            events.push(StreamEvent::Usage(usage));
        }
        let index = count(index).and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        let known = self.choices.iter().position(|choice| choice.index == index);
        let at = match known {
            Some(at) => at,
            None if self.choices.len() >= MAX_CHOICES => return Err(too_many_blocks()),
            None => {
                self.choices.push(Choice { index, ..Choice::default() });
                self.choices.len() - 1
            }
        };
        let choice = &mut self.choices[at];
        if choice.has_ended {
            return Ok(());
        }
        choice.read_delta(delta, logprobs, &mut self.numbers, &mut self.held, events)?;
        if let Some(reason) = some_text(reason) {
            let reason =
                read_finish_reason(&reason).ok_or_else(|| unreadable("reports an error"))?;
            choice.end(reason, events)?;
        }
        Ok(())
    }

    /// Ends a stream with `[DONE]`: choices without a reason are done.
    fn read_done(&mut self, events: &mut Vec<StreamEvent<'_>>) -> Result<(), Failure<'static>> {
        if self.choices.is_empty() {
            return Err(unreadable("has no choices"));
        }
        for choice in self.choices.iter_mut().filter(|choice| !choice.has_ended) {
            choice.end(EndReason::Other, events)?;
        }
        events.push(StreamEvent::Finished);
        Ok(())
    }
}

/// Whether data without choices is an error in a flat form (DashScope, Mistral).
fn is_flat_error(chunk: &str) -> bool {
    let [message, code, object] = pick(chunk, ["message", "code", "object"]).unwrap_or([None; 3]);
    text(message).is_some() && (code.is_some() || text(object).as_deref() == Some("error"))
}

fn start(chunk: &str) -> StreamEvent<'_> {
    let [id, created, model, tier, fingerprint] =
        pick(chunk, ["id", "created", "model", "service_tier", "system_fingerprint"])
            .unwrap_or([None; 5]);
    StreamEvent::Start {
        id: text(id).unwrap_or_default(),
        model: text(model).unwrap_or_default(),
        created: count(created),
        tier: read_tier(tier),
        fingerprint: some_text(fingerprint),
    }
}

impl Choice {
    fn read_delta<'a>(
        &mut self,
        message: Option<&'a RawValue>,
        logprobs: Option<&'a RawValue>,
        numbers: &mut BlockNumbers,
        held: &mut HeldBytes,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let MessageMembers { reasoning, texts, refusals, annotations, calls, function_call } =
            MessageMembers::read(message);
        for thought in reasoning.texts {
            let block = self.open_text(TextKind::Reasoning(Some(thought.kind)), numbers, events);
            events.push(delta(block, thought.text));
        }
        if let Some(seal) = reasoning.seal {
            let block = self.open_text(TextKind::Reasoning(None), numbers, events);
            events.push(StreamEvent::Sealed { block, seal });
        }
        let [tokens] = pick_in(logprobs, ["content"]);
        let mut logprobs = tokens.map(raw_text);
        for piece in texts {
            let block = self.open_text(TextKind::Text, numbers, events);
            events.push(StreamEvent::Delta { block, piece, logprobs: logprobs.take() });
        }
        for piece in refusals {
            self.has_refusal = true;
            let block = self.open_text(TextKind::Refusal, numbers, events);
            events.push(delta(block, piece));
        }
        for citation in read_annotations(annotations) {
            let block = self.open_text(TextKind::Text, numbers, events);
            events.push(StreamEvent::Cited { block, citation });
        }
        let mut result = Ok(());
        elements(calls, &mut |call| {
            if result.is_ok() {
                self.close_text(events);
                result = self.calls.read(call, self.index, numbers, held, events);
            }
        });
        result?;
        if let Some(function) = function_call {
            self.close_text(events);
            self.calls.read_old(function, self.index, numbers, held, events)?;
        }
        Ok(())
    }

    /// Opens a block of text of a kind, unless it is open.
    fn open_text(
        &mut self,
        kind: TextKind,
        numbers: &mut BlockNumbers,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> u32 {
        let block = match (self.open, kind) {
            (Some((block, open)), _) if open == kind => return block,
            (Some((block, TextKind::Reasoning(_))), TextKind::Reasoning(_)) => block,
            _ => {
                self.close_text(events);
                let block = numbers.next();
                let open = match kind {
                    TextKind::Text => BlockKind::Text,
                    TextKind::Refusal => BlockKind::Refusal,
                    TextKind::Reasoning(_) => BlockKind::Reasoning { is_redacted: false },
                };
                events.push(StreamEvent::Open { block, choice: self.index, kind: open });
                self.open = Some((block, kind));
                block
            }
        };
        // A seal does not end the text before it.
        if let TextKind::Reasoning(Some(thought)) = kind {
            self.open = Some((block, kind));
            events.push(StreamEvent::OpenThought { block, kind: thought });
        }
        block
    }

    fn close_text(&mut self, events: &mut Vec<StreamEvent<'_>>) {
        if let Some((block, _)) = self.open.take() {
            events.push(StreamEvent::Close { block });
        }
    }

    fn end(
        &mut self,
        reason: EndReason<'static>,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<(), Failure<'static>> {
        self.close_text(events);
        self.calls.close(events)?;
        let reason = reason.given_content(!self.calls.is_empty(), self.has_refusal);
        events.push(StreamEvent::End { choice: self.index, reason });
        self.has_ended = true;
        Ok(())
    }
}
