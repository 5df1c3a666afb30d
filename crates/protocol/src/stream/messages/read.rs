//! Reading of the events of Messages.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::ReadEvents;
use super::super::state::{
    BlockNumbers, HeldBytes, MAX_OPEN_BLOCKS, delta, not_an_object, text_of, too_many_blocks,
};
use crate::answer::messages::parts::{
    read_citation, read_citations, read_seal, read_stop_reason, read_tier,
};
use crate::answer_outcome::unreadable;
use crate::failure::from_event;
use crate::members::{count, is_object, pick, pick_in, some_text, text};
use crate::model::{
    ArgumentsKind, BlockKind, EndReason, Failure, Protocol, ReasoningTextKind, StreamEvent,
};
use crate::usage::MessagesUsage;

/// Reader of the events of Messages.
#[derive(Debug, Default)]
pub(in crate::stream) struct MessagesReader {
    numbers: BlockNumbers,
    blocks: Vec<Block>,
    usage: MessagesUsage,
    held: HeldBytes,
    is_started: bool,
    has_calls: bool,
    /// The reason for the end was there.
    has_reason: bool,
}

#[derive(Debug)]
struct Block {
    /// Index that the provider gave it.
    index: u64,
    number: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking {
        has_text: bool,
    },
    Call {
        has_arguments: bool,
        /// Arguments that came with the start; deltas replace them.
        input: String,
    },
    Foreign,
}

impl ReadEvents for MessagesReader {
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
        let names = ["type", "index", "message", "content_block", "delta", "usage", "error"];
        let [kind, index, message, block, change, usage, error] = match pick(event, names) {
            Some(members) => members,
            // Gateways in between end each stream as OpenAI does.
            None if event.trim() == "[DONE]" => return Ok(()),
            None => return Err(not_an_object()),
        };
        let kind = text(kind).or_else(|| {
            let name = str::from_utf8(name?).ok()?;
            Some(Cow::Owned(name.to_owned()))
        });
        let index = count(index).unwrap_or(0);
        match kind.as_deref() {
            Some("message_start") => self.start(message, events),
            Some("content_block_start") => self.open(index, block, events)?,
            Some("content_block_delta") => self.read_delta(index, change, events)?,
            Some("content_block_stop") => self.close(index, events),
            Some("message_delta") => self.read_end(change, usage, events),
            Some("message_stop") => {
                self.end(EndReason::Other, events);
                events.push(StreamEvent::Finished);
            }
            Some("ping") => events.push(StreamEvent::Ping),
            Some("error") => return Err(from_event(data)),
            _ if error.is_some() => return Err(from_event(data)),
            _ => {}
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        // Some servers leave out `message_stop`.
        self.has_reason
    }
}

impl MessagesReader {
    fn start<'a>(&mut self, message: Option<&'a RawValue>, events: &mut Vec<StreamEvent<'a>>) {
        let [id, model, usage] = pick_in(message, ["id", "model", "usage"]);
        self.is_started = true;
        events.push(StreamEvent::Start {
            id: text(id).unwrap_or_default(),
            model: text(model).unwrap_or_default(),
            created: None,
            tier: read_tier(usage),
            fingerprint: None,
        });
        self.report(usage, events);
    }

    fn report(&mut self, usage: Option<&RawValue>, events: &mut Vec<StreamEvent<'_>>) {
        if usage.is_some() {
            self.usage.add(usage);
            events.extend(self.usage.totals().map(StreamEvent::Usage));
        }
    }

    fn add_block<'a>(
        &mut self,
        index: u64,
        kind: Kind,
        open: BlockKind<'a>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<u32, Failure<'static>> {
        if self.blocks.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        let number = self.numbers.next();
        self.blocks.push(Block { index, number, kind });
        events.push(StreamEvent::Open { block: number, choice: 0, kind: open });
        Ok(number)
    }

    fn open<'a>(
        &mut self,
        index: u64,
        content: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        // An index that starts again ends the block before it.
        self.close(index, events);
        let names =
            ["type", "text", "citations", "thinking", "signature", "data", "id", "name", "input"];
        let [kind, words, citations, thinking, signature, data, id, name, input] =
            pick_in(content, names);
        let kind = text(kind).unwrap_or_default();
        match &*kind {
            "text" => {
                let block = self.add_block(index, Kind::Text, BlockKind::Text, events)?;
                events.extend(some_text(words).map(|piece| delta(block, piece)));
                let citations = read_citations(citations).into_iter();
                events.extend(citations.map(|citation| StreamEvent::Cited { block, citation }));
            }
            "thinking" => {
                let block = self.open_thinking(index, events)?;
                if let Some(piece) = some_text(thinking) {
                    self.add_thought(block, piece, events);
                }
                events.extend(read_seal(signature).map(|seal| StreamEvent::Sealed { block, seal }));
            }
            "redacted_thinking" => {
                let open = BlockKind::Reasoning { is_redacted: true };
                let block = self.add_block(index, Kind::Foreign, open, events)?;
                events.extend(read_seal(data).map(|seal| StreamEvent::Sealed { block, seal }));
            }
            "tool_use" => {
                self.has_calls = true;
                let input = input.map(|raw| raw.get()).filter(|raw| is_filled_object(raw));
                let input = input.unwrap_or_default().to_owned();
                self.held.add(input.len())?;
                let open = BlockKind::ToolCall {
                    id: text(id).unwrap_or_default(),
                    name: text(name).unwrap_or_default(),
                    arguments: ArgumentsKind::Json,
                };
                self.add_block(index, Kind::Call { has_arguments: false, input }, open, events)?;
            }
            _ => {
                let open = BlockKind::Foreign { protocol: Protocol::Messages, name: kind };
                self.add_block(index, Kind::Foreign, open, events)?;
            }
        }
        Ok(())
    }

    fn open_thinking(
        &mut self,
        index: u64,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<u32, Failure<'static>> {
        let open = BlockKind::Reasoning { is_redacted: false };
        self.add_block(index, Kind::Thinking { has_text: false }, open, events)
    }

    fn add_thought<'a>(
        &mut self,
        number: u32,
        piece: Cow<'a, str>,
        events: &mut Vec<StreamEvent<'a>>,
    ) {
        let block = self.blocks.iter_mut().rfind(|block| block.number == number);
        if let Some(Block { kind: Kind::Thinking { has_text }, .. }) = block {
            if !std::mem::replace(has_text, true) {
                let kind = ReasoningTextKind::Summary;
                events.push(StreamEvent::OpenThought { block: number, kind });
            }
            events.push(delta(number, piece));
        }
    }

    /// Number of the block with an index. A block that was never started is opened by its delta,
    /// except a call, which has no name then.
    fn block_of(
        &mut self,
        index: u64,
        kind: &str,
        events: &mut Vec<StreamEvent<'_>>,
    ) -> Result<Option<u32>, Failure<'static>> {
        if let Some(block) = self.blocks.iter().rfind(|block| block.index == index) {
            return Ok(Some(block.number));
        }
        match kind {
            "text_delta" | "citations_delta" => {
                self.add_block(index, Kind::Text, BlockKind::Text, events).map(Some)
            }
            "thinking_delta" | "signature_delta" => self.open_thinking(index, events).map(Some),
            "input_json_delta" => {
                Err(unreadable("has arguments of a tool call that was never started"))
            }
            _ => Ok(None),
        }
    }

    fn read_delta<'a>(
        &mut self,
        index: u64,
        change: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        let names = ["type", "text", "partial_json", "thinking", "signature", "citation"];
        let [kind, words, json, thinking, signature, citation] = pick_in(change, names);
        let kind = text(kind).unwrap_or_default();
        let Some(block) = self.block_of(index, &kind, events)? else { return Ok(()) };
        match &*kind {
            "text_delta" => events.extend(some_text(words).map(|piece| delta(block, piece))),
            "thinking_delta" => {
                if let Some(piece) = some_text(thinking) {
                    self.add_thought(block, piece, events);
                }
            }
            "signature_delta" => {
                events.extend(read_seal(signature).map(|seal| StreamEvent::Sealed { block, seal }));
            }
            "citations_delta" => {
                let citation = citation.map(read_citation);
                events.extend(citation.map(|citation| StreamEvent::Cited { block, citation }));
            }
            "input_json_delta" => {
                let open = self.blocks.iter_mut().rfind(|open| open.number == block);
                if let Some(Block { kind: Kind::Call { has_arguments, .. }, .. }) = open
                    && let Some(piece) = some_text(json)
                {
                    *has_arguments = true;
                    events.push(delta(block, piece));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, index: u64, events: &mut Vec<StreamEvent<'_>>) {
        let Some(at) = self.blocks.iter().rposition(|block| block.index == index) else { return };
        let Block { number: block, kind, .. } = self.blocks.remove(at);
        if let Kind::Call { has_arguments, input } = kind {
            self.held.release(input.len());
            if !has_arguments && !input.is_empty() {
                events.push(delta(block, input));
            }
        }
        events.push(StreamEvent::Close { block });
    }

    fn read_end<'a>(
        &mut self,
        change: Option<&'a RawValue>,
        usage: Option<&RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) {
        let names = ["stop_reason", "stop_sequence", "stop_details"];
        let [reason, sequence, details] = pick_in(change, names);
        self.report(usage, events);
        if let Some(reason) = some_text(reason) {
            self.end(read_stop_reason(&reason, sequence, details), events);
        }
    }

    fn end<'a>(&mut self, reason: EndReason<'a>, events: &mut Vec<StreamEvent<'a>>) {
        if std::mem::replace(&mut self.has_reason, true) {
            return;
        }
        while let Some(index) = self.blocks.first().map(|block| block.index) {
            self.close(index, events);
        }
        let reason = reason.given_content(self.has_calls, false);
        events.push(StreamEvent::End { choice: 0, reason });
    }
}

/// Whether JSON text is an object with members.
fn is_filled_object(raw: &str) -> bool {
    let is_empty = raw.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('}'));
    !is_empty && is_object(raw)
}
