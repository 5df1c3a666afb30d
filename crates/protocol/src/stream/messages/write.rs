//! Writing of the events of Messages.

use std::collections::VecDeque;

use super::super::WriteEvents;
use super::super::state::{
    Head, HeldBytes, MAX_OPEN_BLOCKS, Phase, cut_off, too_many_blocks, write_ping,
};
use super::pending::{Block, Kind, write_message_end, write_message_start};
use crate::context::AnswerContext;
use crate::failure;
use crate::model::{BlockKind, EndReason, Failure, Protocol, Seal, StreamEvent, Usage};
use crate::shed::Shed;

/// Writer of the events of Messages.
///
/// Blocks follow each other: pieces of a block that opens beside another wait. The last event but
/// one has the tokens, which other protocols report after the end; so it waits for the stream's end.
#[derive(Debug)]
pub(in crate::stream) struct MessagesWriter {
    phase: Phase,
    shed: Shed,
    context: AnswerContext,
    head: Head,
    /// The first block is open, and its start is written unless it is redacted thinking.
    blocks: VecDeque<Block>,
    /// Index of the first block.
    index: u64,
    /// Blocks so far.
    opened: usize,
    usage: Option<Usage>,
    end: Option<EndReason<'static>>,
    held: HeldBytes,
}

impl WriteEvents for MessagesWriter {
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
            StreamEvent::OpenThought { block, .. } => {
                if let Some(at) = self.find(*block)
                    && std::mem::replace(&mut self.blocks[at].has_thought, true)
                {
                    self.write_piece(*block, "\n\n", out)?;
                }
            }
            StreamEvent::Delta { block, piece, .. } => self.write_piece(*block, piece, out)?,
            StreamEvent::Sealed { block, seal } => self.hold_seal(*block, seal)?,
            StreamEvent::Cited { .. } => self.shed.add("citations"),
            StreamEvent::Close { block } => self.close(*block, out),
            StreamEvent::End { choice: 0, reason } => {
                self.start(out);
                self.blocks.iter_mut().for_each(|block| block.is_closed = true);
                self.advance(out);
                self.end = Some(reason.clone().into_owned());
            }
            StreamEvent::End { .. } => {}
            StreamEvent::Ping => write_ping(self.phase, out),
            StreamEvent::Failed(failure) => self.fail(failure, out),
            StreamEvent::Finished => {
                let end = self.end.take().ok_or_else(cut_off)?;
                write_message_end(&self.head, &end, &self.usage(), out);
                self.phase = Phase::Ended;
            }
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        failure::event(failure, Protocol::Messages, 0, out);
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn shed(&self) -> &Shed {
        &self.shed
    }
}

impl MessagesWriter {
    pub(in crate::stream) fn new(context: AnswerContext) -> Self {
        Self {
            phase: Phase::Waiting,
            shed: Shed::default(),
            context,
            head: Head::default(),
            blocks: VecDeque::new(),
            index: 0,
            opened: 0,
            usage: None,
            end: None,
            held: HeldBytes::default(),
        }
    }

    /// Tokens reported so far, else an estimate: status bars of agents show the first event's.
    fn usage(&self) -> Usage {
        let estimate = Usage { input: self.context.estimated_input_tokens, ..Usage::default() };
        self.usage.unwrap_or(estimate)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Started;
            write_message_start(&self.head, &self.usage(), &self.context, out);
        }
    }

    fn find(&self, block: u32) -> Option<usize> {
        self.blocks.iter().rposition(|open| open.number == block)
    }

    fn open(
        &mut self,
        block: u32,
        kind: &BlockKind<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        self.start(out);
        if self.blocks.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        let Some(block) = Block::new(block, kind, self.opened, &self.context) else {
            self.shed.add("hosted_tools");
            return Ok(());
        };
        self.opened += 1;
        self.held.add(kind.text_bytes())?;
        self.blocks.push_back(block);
        if self.blocks.len() == 1 {
            self.begin_first(out);
        }
        Ok(())
    }

    /// Writes the start of the first block and the text that waits.
    fn begin_first(&mut self, out: &mut Vec<u8>) {
        let Some(first) = self.blocks.front_mut() else { return };
        if matches!(first.kind, Kind::Redacted) {
            return;
        }
        let text = std::mem::take(&mut first.text);
        self.held.release(text.len());
        first.write_start(self.index, out);
        first.write_piece(self.index, &text, out);
    }

    fn write_piece(
        &mut self,
        block: u32,
        piece: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        match self.find(block) {
            Some(0) => self.blocks[0].write_piece(self.index, piece, out),
            Some(at) => {
                self.held.add(piece.len())?;
                self.blocks[at].text.push_str(piece);
            }
            None => {}
        }
        Ok(())
    }

    fn hold_seal(&mut self, block: u32, seal: &Seal<'_>) -> Result<(), Failure<'static>> {
        let Some(at) = self.find(block) else { return Ok(()) };
        if let Some(bytes) = self.context.sealed_bytes(seal, Protocol::Messages) {
            self.held.add(bytes.len())?;
            self.blocks[at].seal = Some(bytes.into_owned());
        }
        Ok(())
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        if let Some(at) = self.find(block) {
            self.blocks[at].is_closed = true;
            self.advance(out);
        }
    }

    /// Writes the ends of closed blocks, and the starts of those that waited for them.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while let Some(first) = self.blocks.pop_front_if(|first| first.is_closed) {
            if matches!(first.kind, Kind::Redacted) {
                first.write_start(self.index, out);
            }
            first.write_stop(self.index, out);
            self.held.release(first.seal.as_ref().map_or(0, String::len));
            self.index += 1;
            self.begin_first(out);
        }
    }
}
