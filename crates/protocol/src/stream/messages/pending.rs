//! Blocks of Messages under construction: one is open, further ones wait for its end.

use crate::model::{ArgumentsKind, BlockKind, EndReason, Protocol, Usage};

use super::super::state::Head;
use crate::answer::messages::{write_stop_members, write_text_block, write_tool_use};
use crate::context::{AnswerContext, EMPTY_SEAL};
use crate::json_text::{JsonText, escape_into};
use crate::shed::Shed;
use crate::sse::write_event;
use crate::usage::write_messages;

/// Block that is open or waits.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// Text that waits: all of it if another block is open.
    pub(super) text: String,
    pub(super) seal: Option<String>,
    pub(super) has_thought: bool,
    pub(super) is_closed: bool,
}

/// Kind of a block.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Thinking,
    Redacted,
    Call { id: String, name: String, arguments: ArgumentsKind },
}

impl Block {
    /// Block of a kind. `None` if Messages has no block for it.
    pub(super) fn new(
        number: u32,
        kind: &BlockKind<'_>,
        position: usize,
        context: &AnswerContext,
    ) -> Option<Self> {
        let kind = match kind {
            BlockKind::Text | BlockKind::Refusal => Kind::Text,
            BlockKind::Reasoning { is_redacted: false } => Kind::Thinking,
            BlockKind::Reasoning { is_redacted: true } => Kind::Redacted,
            BlockKind::ToolCall { id, name, arguments } => Kind::Call {
                id: context.call_id(id, position, Protocol::Messages).into_owned(),
                name: context.tool_name(name).to_owned(),
                arguments: *arguments,
            },
            BlockKind::Foreign { .. } => return None,
        };
        let text = String::new();
        Some(Self { number, kind, text, seal: None, has_thought: false, is_closed: false })
    }

    /// Writes the start of the block. Redacted thinking is whole in it.
    pub(super) fn write_start(&self, index: u64, out: &mut Vec<u8>) {
        let mut json = begin_event("content_block_start");
        json.number_member("index", index);
        json.name("content_block");
        match &self.kind {
            Kind::Text => write_text_block(&mut json, "", &[], &mut Shed::default()),
            Kind::Thinking => {
                json.begin_object();
                json.text_member("type", "thinking");
                json.text_member("thinking", "");
                json.text_member("signature", "");
                json.end_object();
            }
            Kind::Redacted => {
                json.begin_object();
                json.text_member("type", "redacted_thinking");
                json.text_member("data", self.seal.as_deref().unwrap_or(EMPTY_SEAL));
                json.end_object();
            }
            Kind::Call { id, name, .. } => write_tool_use(&mut json, id, name, "{}"),
        }
        end_event(json, "content_block_start", out);
        if let Kind::Call { arguments: ArgumentsKind::Text, .. } = self.kind {
            write_delta(index, "input_json_delta", "partial_json", "{\"input\":\"", out);
        }
    }

    /// Writes a piece of the block's text.
    pub(super) fn write_piece(&self, index: u64, piece: &str, out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        match &self.kind {
            Kind::Text => write_delta(index, "text_delta", "text", piece, out),
            Kind::Thinking => write_delta(index, "thinking_delta", "thinking", piece, out),
            Kind::Redacted => {}
            Kind::Call { arguments: ArgumentsKind::Json, .. } => {
                write_delta(index, "input_json_delta", "partial_json", piece, out);
            }
            Kind::Call { arguments: ArgumentsKind::Text, .. } => {
                let mut escaped = Vec::with_capacity(piece.len());
                escape_into(piece, &mut escaped);
                let escaped = String::from_utf8(escaped).expect("escapes of a text are text");
                write_delta(index, "input_json_delta", "partial_json", &escaped, out);
            }
        }
    }

    /// Writes the end of the block. Thinking has its signature just before.
    pub(super) fn write_stop(&self, index: u64, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Thinking => {
                let seal = self.seal.as_deref().unwrap_or(EMPTY_SEAL);
                write_delta(index, "signature_delta", "signature", seal, out);
            }
            Kind::Call { arguments: ArgumentsKind::Text, .. } => {
                write_delta(index, "input_json_delta", "partial_json", "\"}", out);
            }
            Kind::Text | Kind::Redacted | Kind::Call { .. } => {}
        }
        let mut json = begin_event("content_block_stop");
        json.number_member("index", index);
        end_event(json, "content_block_stop", out);
    }
}

fn begin_event(name: &str) -> JsonText {
    let mut json = JsonText::with_capacity(128);
    json.begin_object();
    json.text_member("type", name);
    json
}

fn end_event(mut json: JsonText, name: &str, out: &mut Vec<u8>) {
    json.end_object();
    write_event(Some(name), &json.into_bytes(), out);
}

fn write_delta(index: u64, kind: &str, member: &str, piece: &str, out: &mut Vec<u8>) {
    let mut json = begin_event("content_block_delta");
    json.number_member("index", index);
    json.object("delta");
    json.text_member("type", kind);
    json.text_member(member, piece);
    json.end_object();
    end_event(json, "content_block_delta", out);
}

/// Writes the beginning of a message.
pub(super) fn write_message_start(
    head: &Head,
    usage: &Usage,
    context: &AnswerContext,
    out: &mut Vec<u8>,
) {
    let mut json = begin_event("message_start");
    json.object("message");
    json.text_member("id", &context.answer_id("msg_"));
    json.text_member("type", "message");
    json.text_member("role", "assistant");
    json.text_member("model", &head.model);
    json.array("content");
    json.end_array();
    for name in ["stop_reason", "stop_sequence", "stop_details", "container"] {
        json.raw_member(name, "null");
    }
    json.name("usage");
    write_messages(&mut json, usage, head.tier);
    json.end_object();
    end_event(json, "message_start", out);
}

/// Writes the end of a message, with the running totals.
pub(super) fn write_message_end(
    head: &Head,
    end: &EndReason<'_>,
    usage: &Usage,
    out: &mut Vec<u8>,
) {
    let mut json = begin_event("message_delta");
    json.object("delta");
    write_stop_members(&mut json, end);
    json.end_object();
    json.name("usage");
    write_messages(&mut json, usage, head.tier);
    end_event(json, "message_delta", out);
    end_event(begin_event("message_stop"), "message_stop", out);
}
