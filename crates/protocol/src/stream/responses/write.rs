//! Writing of the events of Responses.

use std::collections::VecDeque;

use super::super::WriteEvents;
use super::super::collect::own_seal;
use super::super::state::{
    Head, HeldBytes, MAX_OPEN_BLOCKS, Phase, cut_off, too_many_blocks, write_ping,
};
use super::events::{self, EventWriter};
use super::item::Item;
use crate::answer::responses::Status;
use crate::answer::responses::items::ItemKind;
use crate::context::AnswerContext;
use crate::failure;
use crate::json_text::JsonText;
use crate::model::{ArgumentsKind, BlockKind, EndReason, Failure, Protocol, StreamEvent, Usage};
use crate::shed::Shed;

/// Writer of the events of Responses.
///
/// The terminal event repeats all of the answer, so that its text is held: twice for a moment, at
/// most [`MAX_HELD_BYTES`](super::super::state::MAX_HELD_BYTES) of each. A longer answer fails.
#[derive(Debug)]
pub(in crate::stream) struct ResponsesWriter {
    phase: Phase,
    shed: Shed,
    context: AnswerContext,
    head: Head,
    events: EventWriter,
    /// Items without their end, in the order of the output.
    items: VecDeque<Item>,
    /// Items so far.
    opened: usize,
    /// JSON of the items that have ended, separated by commas.
    output: Vec<u8>,
    usage: Option<Usage>,
    end: Option<EndReason<'static>>,
    has_refusal: bool,
    held: HeldBytes,
}

impl WriteEvents for ResponsesWriter {
    fn write_event(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        match event {
            StreamEvent::Start { .. } => self.head.receive(event),
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Open { block, choice: 0, kind } => self.open(*block, kind, out)?,
            StreamEvent::Open { .. } => self.shed.add("n"),
            StreamEvent::OpenThought { block, kind } => {
                self.held.add(size_of::<String>())?;
                if let Some(item) = find(&mut self.items, *block) {
                    item.open_thought(*kind, &mut self.events, out);
                }
            }
            StreamEvent::Delta { block, piece, logprobs } => {
                let tokens = logprobs.as_ref().map_or(0, |tokens| tokens.len());
                self.held.add(piece.len() + tokens)?;
                if let Some(item) = find(&mut self.items, *block) {
                    item.write_piece(*block, piece, logprobs.as_deref(), &mut self.events, out);
                }
            }
            StreamEvent::Sealed { block, seal } => {
                self.held.add(seal.bytes.len())?;
                if let Some(part) = find(&mut self.items, *block).and_then(|it| it.part(*block)) {
                    part.seal = Some(own_seal(seal));
                }
            }
            StreamEvent::Cited { block, citation } => {
                if let Some(item) = find(&mut self.items, *block) {
                    let bytes = item.hold_citation(*block, citation, &mut self.shed);
                    self.held.add(bytes)?;
                }
            }
            StreamEvent::Close { block } => {
                if let Some(item) = find(&mut self.items, *block) {
                    item.close(*block, &mut self.events, &mut self.shed, out);
                }
            }
            StreamEvent::End { choice: 0, reason } => self.end(reason, out)?,
            StreamEvent::End { .. } => {}
            StreamEvent::Ping => write_ping(self.phase, out),
            StreamEvent::Failed(failure) => self.fail(failure, out),
            StreamEvent::Finished => self.finish(out)?,
        }
        Ok(())
    }

    /// Writes the error, and the failed response if the response has begun, as OpenAI does: official
    /// clients raise the first, Codex reads the second.
    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        let is_started = self.phase == Phase::Started;
        self.phase = Phase::Ended;
        failure::event(failure, Protocol::Responses, self.events.next_number(), out);
        if is_started {
            self.write_response("response.failed", &Status::Failed(failure), out);
        }
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn shed(&self) -> &Shed {
        &self.shed
    }
}

impl ResponsesWriter {
    pub(in crate::stream) fn new(context: AnswerContext) -> Self {
        Self {
            phase: Phase::Waiting,
            shed: Shed::default(),
            context,
            head: Head::default(),
            events: EventWriter::default(),
            items: VecDeque::new(),
            opened: 0,
            output: Vec::new(),
            usage: None,
            end: None,
            has_refusal: false,
            held: HeldBytes::default(),
        }
    }

    fn write_response(&mut self, name: &str, status: &Status<'_>, out: &mut Vec<u8>) {
        let mut output = JsonText::with_capacity(self.output.len() + 2);
        output.begin_array();
        if !self.output.is_empty() {
            output.raw_bytes(&self.output);
        }
        output.end_array();
        let output = output.into_bytes();
        let usage = self.usage.as_ref().filter(|_| !matches!(status, Status::InProgress));
        let response = events::response(&self.head, status, &output, usage, &self.context);
        self.events.write_response(name, &response, &self.context, out);
    }

    fn open(
        &mut self,
        block: u32,
        kind: &BlockKind<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        self.start(out);
        let item_kind = match kind {
            BlockKind::Text => ItemKind::Message,
            BlockKind::Refusal => {
                self.has_refusal = true;
                ItemKind::Message
            }
            BlockKind::Reasoning { .. } => ItemKind::Reasoning,
            BlockKind::ToolCall { arguments: ArgumentsKind::Json, .. } => ItemKind::FunctionCall,
            BlockKind::ToolCall { arguments: ArgumentsKind::Text, .. } => ItemKind::CustomCall,
            BlockKind::Foreign { .. } => {
                self.shed.add("hosted_tools");
                return Ok(());
            }
        };
        // A part is larger than the event that begins it may be.
        self.held.add(size_of::<Item>() + kind.text_bytes())?;
        let last = self.items.back_mut();
        if let Some(last) = last.filter(|last| item_kind == ItemKind::Message && last.is_message())
        {
            last.open_part(block, kind, &mut self.events, out);
            return Ok(());
        }
        self.end_items(None, out)?;
        if self.items.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        let mut item = Item::new(item_kind, self.opened, &self.context);
        self.opened += 1;
        item.begin(kind, &self.context, &mut self.events, out);
        item.open_part(block, kind, &mut self.events, out);
        self.items.push_back(item);
        Ok(())
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Started;
            self.write_response("response.created", &Status::InProgress, out);
            self.write_response("response.in_progress", &Status::InProgress, out);
        }
    }

    /// Ends the items that are closed, in order. With the status of the whole answer the last item
    /// may be incomplete.
    fn end_items(
        &mut self,
        status: Option<&Status<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        while let Some(item) = self.items.pop_front_if(|item| item.is_closed()) {
            let is_last = self.items.is_empty();
            let item_status = status.map_or("completed", |status| status.of_item(is_last));
            let json = item.end(item_status, &self.context, &mut self.events, &mut self.shed, out);
            self.held.release(item.held_bytes());
            self.held.add(json.len())?;
            if !self.output.is_empty() {
                self.output.push(b',');
            }
            self.output.extend_from_slice(&json);
        }
        Ok(())
    }

    fn end(&mut self, reason: &EndReason<'_>, out: &mut Vec<u8>) -> Result<(), Failure<'static>> {
        self.start(out);
        for item in &mut self.items {
            item.close_all(&mut self.events, &mut self.shed, out);
        }
        let reason = reason.clone().into_owned();
        let status = Status::Ended(reason.clone(), self.has_refusal);
        self.end_items(Some(&status), out)?;
        self.end = Some(reason);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failure<'static>> {
        let status = Status::Ended(self.end.take().ok_or_else(cut_off)?, self.has_refusal);
        let name = match status.name() {
            "incomplete" => "response.incomplete",
            _ => "response.completed",
        };
        self.write_response(name, &status, out);
        self.phase = Phase::Ended;
        Ok(())
    }
}

fn find(items: &mut VecDeque<Item>, block: u32) -> Option<&mut Item> {
    items.iter_mut().rfind(|item| item.has(block))
}
