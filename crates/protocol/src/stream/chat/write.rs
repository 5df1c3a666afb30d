//! Writing of chunks.

use super::super::WriteEvents;
use super::super::state::{Head, HeldBytes, Phase, cut_off, write_ping};
use super::blocks::{Block, Choice, Kind, words_of};
use crate::answer::chat::{
    finish_reason, service_tier, write_call_seal, write_citation, write_reasoning_detail,
};
use crate::context::AnswerContext;
use crate::failure;
use crate::json_text::JsonText;
use crate::model::{
    ArgumentsKind, BlockKind, Citation, EndReason, Failure, Protocol, Seal, StreamEvent, Usage,
};
use crate::shed::Shed;
use crate::sse::write_event;
use crate::usage::write_chat;

/// Writer of chunks.
#[derive(Debug)]
pub(in crate::stream) struct ChatWriter {
    phase: Phase,
    shed: Shed,
    context: AnswerContext,
    head: Head,
    choices: Vec<Choice>,
    blocks: Vec<Block>,
    calls: usize,
    usage: Option<Usage>,
    held: HeldBytes,
}

impl WriteEvents for ChatWriter {
    fn write_event(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure<'static>> {
        match event {
            StreamEvent::Start { .. } => self.head.receive(event),
            StreamEvent::Open { block, choice, kind } => self.open(*block, *choice, kind, out),
            StreamEvent::OpenThought { block, .. } => self.open_thought(*block, out),
            StreamEvent::Delta { block, piece, logprobs } => {
                self.write_piece(*block, piece, logprobs.as_deref(), out);
            }
            StreamEvent::Sealed { block, seal } => self.write_seal(*block, seal, out),
            StreamEvent::Cited { block, citation } => self.hold_citation(*block, citation)?,
            StreamEvent::Close { block } => self.close(*block, out),
            StreamEvent::End { choice, reason } => self.end(*choice, reason, out),
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Ping => write_ping(self.phase, out),
            StreamEvent::Failed(failure) => self.fail(failure, out),
            StreamEvent::Finished => self.finish(out)?,
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.phase = Phase::Ended;
        failure::event(failure, Protocol::Chat, 0, out);
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn shed(&self) -> &Shed {
        &self.shed
    }
}

impl ChatWriter {
    pub(in crate::stream) fn new(context: AnswerContext) -> Self {
        Self {
            phase: Phase::Waiting,
            shed: Shed::default(),
            context,
            head: Head::default(),
            choices: Vec::new(),
            blocks: Vec::new(),
            calls: 0,
            usage: None,
            held: HeldBytes::default(),
        }
    }

    fn find(&self, block: u32) -> Option<usize> {
        self.blocks.iter().rposition(|open| open.number == block)
    }

    /// Place of a choice. Its first chunk names the role.
    fn choice(&mut self, index: u32, out: &mut Vec<u8>) -> usize {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return at;
        }
        self.phase = Phase::Started;
        self.choices.push(Choice {
            index,
            calls: 0,
            has_thought: false,
            has_refusal: false,
            has_ended: false,
            characters: 0,
        });
        let at = self.choices.len() - 1;
        let mut chunk = self.begin_chunk(at);
        chunk.text_member("role", "assistant");
        chunk.text_member("content", "");
        self.end_chunk(chunk, None, None, out);
        at
    }

    /// Begins a chunk with the delta of a choice.
    fn begin_chunk(&self, choice: usize) -> JsonText {
        let mut json = self.begin_object();
        json.array("choices");
        json.begin_object();
        json.number_member("index", self.choices[choice].index.into());
        json.object("delta");
        json
    }

    fn begin_object(&self) -> JsonText {
        let mut json = JsonText::with_capacity(256);
        json.begin_object();
        json.text_member("id", &self.context.answer_id("chatcmpl-"));
        json.text_member("object", "chat.completion.chunk");
        json.number_member("created", self.head.created(&self.context));
        json.text_member("model", &self.head.model);
        if let Some(tier) = self.head.tier {
            json.text_member("service_tier", service_tier(tier));
        }
        if let Some(fingerprint) = &self.head.fingerprint {
            json.text_member("system_fingerprint", fingerprint);
        }
        json
    }

    /// Ends a chunk behind its delta.
    fn end_chunk(
        &self,
        mut json: JsonText,
        logprobs: Option<&str>,
        reason: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        json.end_object();
        match logprobs {
            Some(tokens) => {
                json.object("logprobs");
                json.raw_member("content", tokens);
                json.raw_member("refusal", "null");
                json.end_object();
            }
            None => json.raw_member("logprobs", "null"),
        }
        json.optional_text_member("finish_reason", reason);
        json.end_object();
        json.end_array();
        if self.context.includes_usage {
            json.raw_member("usage", "null");
        }
        json.end_object();
        write_event(None, &json.into_bytes(), out);
    }

    fn open(&mut self, block: u32, choice: u32, kind: &BlockKind<'_>, out: &mut Vec<u8>) {
        let at = self.choice(choice, out);
        let kind = match kind {
            BlockKind::Text => Kind::Text,
            BlockKind::Refusal => Kind::Refusal,
            BlockKind::Reasoning { .. } => Kind::Reasoning,
            BlockKind::ToolCall { id, name, arguments } => {
                let number = self.choices[at].calls;
                self.choices[at].calls += 1;
                self.write_opener(at, number, (id, name), *arguments, out);
                Kind::Call { number, arguments: *arguments, has_arguments: false }
            }
            BlockKind::Foreign { .. } => {
                self.shed.add("hosted_tools");
                Kind::Foreign
            }
        };
        let start = self.choices[at].characters;
        self.blocks.push(Block { number: block, choice: at, kind, start, citations: Vec::new() });
    }

    /// Writes the first chunk of a call: only this one has its id, type, and name.
    fn write_opener(
        &mut self,
        choice: usize,
        number: u64,
        (id, name): (&str, &str),
        arguments: ArgumentsKind,
        out: &mut Vec<u8>,
    ) {
        let id = self.context.call_id(id, self.calls, Protocol::Chat).into_owned();
        self.calls += 1;
        let mut chunk = self.begin_call(choice, number);
        chunk.text_member("id", &id);
        let (kind, member) = words_of(arguments);
        chunk.text_member("type", kind);
        chunk.object(kind);
        chunk.text_member("name", self.context.tool_name(name));
        chunk.text_member(member, "");
        chunk.end_object();
        self.end_call(chunk, out);
    }

    fn begin_call(&self, choice: usize, number: u64) -> JsonText {
        let mut chunk = self.begin_chunk(choice);
        chunk.array("tool_calls");
        chunk.begin_object();
        chunk.number_member("index", number);
        chunk
    }

    fn end_call(&self, mut chunk: JsonText, out: &mut Vec<u8>) {
        chunk.end_object();
        chunk.end_array();
        self.end_chunk(chunk, None, None, out);
    }

    /// Separates the texts of reasoning, which Chat has in one member.
    fn open_thought(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(at) = self.find(block) else { return };
        let choice = self.blocks[at].choice;
        if std::mem::replace(&mut self.choices[choice].has_thought, true) {
            self.write_piece(block, "\n\n", None, out);
        }
    }

    fn write_piece(&mut self, block: u32, piece: &str, logprobs: Option<&str>, out: &mut Vec<u8>) {
        let Some(at) = self.find(block) else { return };
        let open = &mut self.blocks[at];
        let choice = open.choice;
        if piece.is_empty() && logprobs.is_none() {
            return;
        }
        let member = match &mut open.kind {
            Kind::Text => {
                self.choices[choice].characters += piece.chars().count();
                "content"
            }
            Kind::Refusal => {
                self.choices[choice].has_refusal = true;
                "refusal"
            }
            Kind::Reasoning => "reasoning_content",
            Kind::Call { number, arguments, has_arguments } => {
                *has_arguments = true;
                let (number, arguments) = (*number, *arguments);
                return self.write_arguments(choice, number, arguments, piece, out);
            }
            Kind::Foreign => return,
        };
        let mut chunk = self.begin_chunk(choice);
        chunk.text_member(member, piece);
        self.end_chunk(chunk, logprobs, None, out);
    }

    fn write_arguments(
        &self,
        choice: usize,
        number: u64,
        arguments: ArgumentsKind,
        piece: &str,
        out: &mut Vec<u8>,
    ) {
        let mut chunk = self.begin_call(choice, number);
        let (kind, member) = words_of(arguments);
        chunk.object(kind);
        chunk.text_member(member, piece);
        chunk.end_object();
        self.end_call(chunk, out);
    }

    fn write_seal(&mut self, block: u32, seal: &Seal<'_>, out: &mut Vec<u8>) {
        let Some(at) = self.find(block) else { return };
        let Some(bytes) = self.context.sealed_bytes(seal, Protocol::Chat) else { return };
        let choice = self.blocks[at].choice;
        match self.blocks[at].kind {
            Kind::Reasoning => {
                let mut chunk = self.begin_chunk(choice);
                chunk.array("reasoning_details");
                write_reasoning_detail(&mut chunk, &bytes, 0);
                chunk.end_array();
                self.end_chunk(chunk, None, None, out);
            }
            Kind::Call { number, arguments, .. } => {
                let mut chunk = self.begin_call(choice, number);
                // The official client reads the arguments of each piece.
                let (kind, member) = words_of(arguments);
                chunk.object(kind);
                chunk.text_member(member, "");
                chunk.end_object();
                write_call_seal(&mut chunk, Some(seal), &self.context);
                self.end_call(chunk, out);
            }
            Kind::Text | Kind::Refusal | Kind::Foreign => {}
        }
    }

    fn hold_citation(
        &mut self,
        block: u32,
        citation: &Citation<'_>,
    ) -> Result<(), Failure<'static>> {
        let Citation::Url { url, title, range, .. } = citation else {
            self.shed.add("citations");
            return Ok(());
        };
        let Some(at) = self.find(block) else { return Ok(()) };
        self.held.add(url.len() + title.as_ref().map_or(0, |title| title.len()))?;
        self.blocks[at].citations.push(Citation::Url {
            url: url.clone().into_owned().into(),
            title: title.clone().map(|title| title.into_owned().into()),
            range: *range,
            quoted: None,
        });
        Ok(())
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(at) = self.find(block) else { return };
        let closed = self.blocks.remove(at);
        if let Kind::Call { number, arguments: ArgumentsKind::Json, has_arguments: false } =
            closed.kind
        {
            // Clients parse the text, and an empty one is not JSON.
            self.write_arguments(closed.choice, number, ArgumentsKind::Json, "{}", out);
        }
        if closed.citations.is_empty() {
            return;
        }
        let end = self.choices[closed.choice].characters;
        let mut chunk = self.begin_chunk(closed.choice);
        chunk.array("annotations");
        for citation in &closed.citations {
            write_citation(&mut chunk, citation, closed.start..end, true, &mut self.shed);
        }
        chunk.end_array();
        self.end_chunk(chunk, None, None, out);
    }

    fn end(&mut self, choice: u32, reason: &EndReason<'_>, out: &mut Vec<u8>) {
        let at = self.choice(choice, out);
        let open = self.blocks.iter().filter(|block| block.choice == at);
        let open: Vec<u32> = open.map(|block| block.number).collect();
        for block in open {
            self.close(block, out);
        }
        if std::mem::replace(&mut self.choices[at].has_ended, true) {
            return;
        }
        let reason = finish_reason(reason, self.choices[at].has_refusal);
        self.end_chunk(self.begin_chunk(at), None, Some(reason), out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failure<'static>> {
        if self.choices.is_empty() || self.choices.iter().any(|choice| !choice.has_ended) {
            return Err(cut_off());
        }
        if let Some(usage) = self.usage.filter(|_| self.context.includes_usage) {
            let mut json = self.begin_object();
            json.array("choices");
            json.end_array();
            json.name("usage");
            write_chat(&mut json, &usage);
            json.end_object();
            write_event(None, &json.into_bytes(), out);
        }
        write_event(None, b"[DONE]", out);
        self.phase = Phase::Ended;
        Ok(())
    }
}
