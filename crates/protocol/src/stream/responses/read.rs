//! Reading of the events of Responses.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::ReadEvents;
use super::super::state::{
    MAX_OPEN_BLOCKS, delta, not_an_object, raw_text, text_of, too_many_blocks,
};
use super::items::{ContentPart, ItemKey, ItemState, OpenItems};
use crate::answer::chat::parts::read_tier;
use crate::answer::responses::read::{read_annotation, read_end};
use crate::answer_outcome::unreadable;
use crate::failure::{from_event, from_object};
use crate::members::{count, elements, pick, pick_in, some_text, text};
use crate::model::{BlockKind, Failure, ReasoningTextKind, StreamEvent};
use crate::usage::read_responses;

/// Reader of the events of Responses.
#[derive(Debug, Default)]
pub(in crate::stream) struct ResponsesReader {
    items: OpenItems,
    is_started: bool,
}

/// Members of an event about a part of an item.
struct PartEvent<'a> {
    key: ItemKey<'a>,
    content_index: u64,
    thought_index: u64,
    event: &'a str,
}

impl<'a> PartEvent<'a> {
    fn read(event: &'a str) -> Self {
        let names = ["output_index", "item_id", "content_index", "summary_index"];
        let [index, id, content, summary] = pick(event, names).unwrap_or([None; 4]);
        Self {
            key: ItemKey { index: count(index), id: text(id).unwrap_or_default() },
            content_index: count(content).unwrap_or(0),
            thought_index: count(summary).or(count(content)).unwrap_or(0),
            event,
        }
    }

    fn member(&self, name: &str) -> Option<&'a RawValue> {
        pick(self.event, [name]).and_then(|[value]| value)
    }

    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        some_text(self.member(name))
    }
}

impl ReadEvents for ResponsesReader {
    fn read_event<'a>(
        &mut self,
        name: Option<&[u8]>,
        data: &'a [u8],
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let event = text_of(data)?;
        if event.trim().is_empty() {
            return Ok(());
        }
        let names = ["type", "response", "item", "error", "delta", "part"];
        let [kind, response, item, error, piece, part] = match pick(event, names) {
            Some(members) => members,
            // Gateways in between end each stream as Chat does.
            None if event.trim() == "[DONE]" => return Ok(()),
            None => return Err(not_an_object()),
        };
        let kind = text(kind).or_else(|| {
            let name = str::from_utf8(name?).ok()?;
            Some(Cow::Owned(name.to_owned()))
        });
        match kind.as_deref().unwrap_or_default() {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(response, events);
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled" => self.end(response, events)?,
            "error" => return Err(from_event(data)),
            "response.output_item.added" => {
                let key = item_key(event, item);
                self.items.begin(&key, item, events)?;
            }
            "response.output_item.done" => {
                let key = item_key(event, item);
                self.items.end(&key, item, events);
            }
            "response.reasoning_summary_part.added" => {
                self.open_thought(&PartEvent::read(event), ReasoningTextKind::Summary, events)?;
            }
            "response.content_part.added" => {
                let [kind] = pick_in(part, ["type"]);
                if text(kind).as_deref() == Some("reasoning_text") {
                    self.open_thought(&PartEvent::read(event), ReasoningTextKind::Full, events)?;
                }
            }
            kind => match piece {
                Some(piece) => self.read_piece(kind, PartEvent::read(event), piece, events)?,
                None if error.is_some() => return Err(from_event(data)),
                None => self.read_other(kind, &PartEvent::read(event), events)?,
            },
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        // The terminal event ends it.
        false
    }
}

impl ResponsesReader {
    fn start<'a>(&mut self, response: Option<&'a RawValue>, events: &mut Vec<StreamEvent<'a>>) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let names = ["id", "model", "created_at", "service_tier"];
        let [id, model, created, tier] = pick_in(response, names);
        events.push(StreamEvent::Start {
            id: text(id).unwrap_or_default(),
            model: text(model).unwrap_or_default(),
            created: count(created),
            tier: read_tier(tier),
            fingerprint: None,
        });
    }

    /// Reads a terminal event with the whole response.
    fn end<'a>(
        &mut self,
        response: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let names = ["status", "error", "usage", "tool_usage", "output"];
        let [status, error, usage, tool_usage, output] = pick_in(response, names);
        let response = response.ok_or_else(|| unreadable("has an end without a response"))?;
        if let Some(error) = error {
            return Err(from_object(error));
        }
        let reason = read_end(text(status).as_deref(), response.get())?;
        self.start(Some(response), events);
        if !self.items.end_unnamed(output, events) {
            return Err(unreadable("has a tool call without a name"));
        }
        self.items.close_all(events);
        if !self.items.has_blocks {
            // Some providers send the whole answer at the end only.
            elements(output, &mut |item| self.items.replay(item, events));
        }
        let usage = read_responses(usage, tool_usage);
        events.extend(usage.map(StreamEvent::Usage));
        let reason = reason.given_content(self.items.has_calls, self.items.has_refusal);
        events.push(StreamEvent::End { choice: 0, reason });
        events.push(StreamEvent::Finished);
        Ok(())
    }

    fn read_piece<'a>(
        &mut self,
        kind: &str,
        event: PartEvent<'a>,
        piece: &'a RawValue,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let Some(piece) = some_text(Some(piece)) else { return Ok(()) };
        match kind {
            "response.output_text.delta" => {
                let logprobs = event.member("logprobs").filter(|list| list.get() != "[]");
                let logprobs = logprobs.map(raw_text);
                if let Some(block) = self.content_block(&event, BlockKind::Text, events)? {
                    events.push(StreamEvent::Delta { block, piece, logprobs });
                }
            }
            "response.refusal.delta" => {
                if let Some(block) = self.content_block(&event, BlockKind::Refusal, events)? {
                    events.push(delta(block, piece));
                }
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let kind = thought_kind(kind);
                if let Some(block) = self.open_thought(&event, kind, events)? {
                    if let Some(ItemState::Reasoning { has_text, .. }) = self.state(&event.key) {
                        *has_text = true;
                    }
                    events.push(delta(block, piece));
                }
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.read_arguments(&event.key, piece, events)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads an event without a delta: the end of a part, whose text counts if it was not streamed,
    /// or a source.
    fn read_other<'a>(
        &mut self,
        kind: &str,
        event: &PartEvent<'a>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        match kind {
            "response.output_text.done" => {
                self.end_content(event, BlockKind::Text, event.text("text"), events)
            }
            "response.refusal.done" => {
                self.end_content(event, BlockKind::Refusal, event.text("refusal"), events)
            }
            "response.output_text.annotation.added" => {
                let block = self.content_block(event, BlockKind::Text, events)?;
                let annotation = event.member("annotation").map(read_annotation);
                if let Some((block, citation)) = block.zip(annotation) {
                    events.push(StreamEvent::Cited { block, citation });
                }
                Ok(())
            }
            "response.function_call_arguments.done" => {
                self.end_arguments(event, event.text("arguments"), events)
            }
            "response.custom_tool_call_input.done" => {
                self.end_arguments(event, event.text("input"), events)
            }
            _ => Ok(()),
        }
    }

    fn state(&mut self, key: &ItemKey<'_>) -> Option<&mut ItemState> {
        let at = self.items.find(key)?;
        Some(&mut self.items.items[at].state)
    }

    /// Block of a content part, opened if it is not open. `None` for a part that has ended: sources
    /// may follow the end of the text, so that its block ends with the part's item.
    fn content_block<'a>(
        &mut self,
        event: &PartEvent<'_>,
        kind: BlockKind<'a>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<Option<u32>, Failure<'static>> {
        let at = match self.items.find(&event.key) {
            Some(at) => at,
            None => self.items.add(&event.key, ItemState::Content(Vec::new()))?,
        };
        let ItemState::Content(parts) = &mut self.items.items[at].state else { return Ok(None) };
        if let Some(part) = parts.iter().rfind(|part| part.index == event.content_index) {
            return Ok(part.is_open.then_some(part.block));
        }
        if parts.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        // Parts follow each other.
        for part in parts.iter_mut().filter(|part| part.is_open) {
            part.is_open = false;
            events.push(StreamEvent::Close { block: part.block });
        }
        let block = self.items.open_block(kind, events);
        let part = ContentPart { index: event.content_index, block, is_open: true };
        if let ItemState::Content(parts) = &mut self.items.items[at].state {
            parts.push(part);
        }
        Ok(Some(block))
    }

    fn end_content<'a>(
        &mut self,
        event: &PartEvent<'_>,
        kind: BlockKind<'a>,
        whole: Option<Cow<'a, str>>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let index = event.content_index;
        let is_known = match self.state(&event.key) {
            Some(ItemState::Content(parts)) => parts.iter().any(|part| part.index == index),
            _ => false,
        };
        if let (false, Some(whole)) = (is_known, whole)
            && let Some(block) = self.content_block(event, kind, events)?
        {
            events.push(delta(block, whole));
        }
        Ok(())
    }

    /// Opens a text of reasoning, unless it is open. Returns the block.
    fn open_thought(
        &mut self,
        event: &PartEvent<'_>,
        kind: ReasoningTextKind,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<Option<u32>, Failure<'static>> {
        if self.items.find(&event.key).is_none() {
            let open = BlockKind::Reasoning { is_redacted: false };
            let block = self.items.open_block(open, events);
            let state = ItemState::Reasoning { block, open: None, has_text: false };
            self.items.add(&event.key, state)?;
        }
        let current = Some((kind, event.thought_index));
        let Some(ItemState::Reasoning { block, open, .. }) = self.state(&event.key) else {
            return Ok(None);
        };
        if *open != current {
            *open = current;
            events.push(StreamEvent::OpenThought { block: *block, kind });
        }
        Ok(Some(*block))
    }

    fn read_arguments<'a>(
        &mut self,
        key: &ItemKey<'_>,
        piece: Cow<'a, str>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        if self.items.find(key).is_none() {
            self.items.add(key, ItemState::Unnamed)?;
        }
        if let Some(ItemState::Call { block, has_arguments }) = self.state(key) {
            *has_arguments = true;
            events.push(delta(*block, piece));
        }
        Ok(())
    }

    fn end_arguments<'a>(
        &mut self,
        event: &PartEvent<'_>,
        whole: Option<Cow<'a, str>>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        match (self.state(&event.key), whole) {
            (Some(ItemState::Call { has_arguments: false, .. }), Some(whole)) => {
                self.read_arguments(&event.key, whole, events)
            }
            _ => Ok(()),
        }
    }
}

fn item_key<'a>(event: &'a str, item: Option<&'a RawValue>) -> ItemKey<'a> {
    let [index] = pick(event, ["output_index"]).unwrap_or([None]);
    let [id] = pick_in(item, ["id"]);
    ItemKey { index: count(index), id: text(id).unwrap_or_default() }
}

fn thought_kind(event: &str) -> ReasoningTextKind {
    if event == "response.reasoning_text.delta" {
        ReasoningTextKind::Full
    } else {
        ReasoningTextKind::Summary
    }
}
