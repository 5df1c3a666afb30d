//! Output item that a writer of Responses has open.

use super::super::collect::text_of;
use super::events::{EventWriter, Place, end, thought_names};
use crate::answer::chat::write_citation;
use crate::answer::responses::items::{
    ItemHead, ItemKind, filled, write_content_part, write_item, write_thought,
};
use crate::context::AnswerContext;
use crate::json_text::{JsonText, join_arrays};
use crate::model::{
    ArgumentsKind, ArgumentsText, BlockKind, Citation, Part, PartKind, ReasoningText,
    ReasoningTextKind,
};
use crate::shed::Shed;

/// Item that is open.
#[derive(Debug)]
pub(super) struct Item {
    kind: ItemKind,
    number: usize,
    id: String,
    /// Name of a call's tool in the caller's request.
    name: String,
    parts: Vec<Part<'static>>,
    /// Blocks that are open, each with the place of its part.
    open: Vec<(u32, usize)>,
    /// Text of reasoning that is open, with its index among those of its kind.
    thought: Option<(ReasoningTextKind, u64)>,
    /// Texts of reasoning so far: summaries, and others.
    thoughts: [u64; 2],
    logprobs: String,
}

impl Item {
    pub(super) fn new(kind: ItemKind, number: usize, context: &AnswerContext) -> Self {
        let id = context.item_id(kind.id_prefix(), number);
        Self {
            kind,
            number,
            id,
            name: String::new(),
            parts: Vec::new(),
            open: Vec::new(),
            thought: None,
            thoughts: [0; 2],
            logprobs: String::new(),
        }
    }

    pub(super) fn is_message(&self) -> bool {
        self.kind == ItemKind::Message
    }

    pub(super) fn has(&self, block: u32) -> bool {
        self.position(block).is_some()
    }

    fn position(&self, block: u32) -> Option<usize> {
        self.open.iter().rfind(|(number, _)| *number == block).map(|(_, part)| *part)
    }

    pub(super) fn part(&mut self, block: u32) -> Option<&mut Part<'static>> {
        let at = self.position(block)?;
        self.parts.get_mut(at)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of the text that the item holds.
    pub(super) fn held_bytes(&self) -> usize {
        let texts = self.parts.iter().map(|part| match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal(text) => text.len(),
            PartKind::Reasoning { texts, .. } => texts.iter().map(|it| it.text.len()).sum(),
            PartKind::ToolCall {
                arguments: ArgumentsText::Json(text) | ArgumentsText::Text(text),
                ..
            } => text.len(),
            PartKind::Media { .. } | PartKind::ToolResult { .. } | PartKind::Foreign { .. } => 0,
        });
        texts.sum::<usize>() + self.logprobs.len()
    }

    fn place(&self, part: Option<(&'static str, u64)>) -> Place<'_> {
        Place { item_id: &self.id, output_index: self.number as u64, part }
    }

    fn head(&self, status: &'static str) -> ItemHead {
        ItemHead { kind: self.kind, number: self.number, status }
    }

    /// Writes the start of the item, without content.
    pub(super) fn begin(
        &mut self,
        kind: &BlockKind<'_>,
        context: &AnswerContext,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        const NAME: &str = "response.output_item.added";
        if let BlockKind::ToolCall { name, .. } = kind {
            self.name = context.tool_name(name).to_owned();
        }
        let empty: Vec<Part<'_>> = match self.kind {
            ItemKind::Message => Vec::new(),
            _ => vec![empty_part(kind)],
        };
        let mut json = events.begin(NAME);
        json.number_member("output_index", self.number as u64);
        json.name("item");
        let head = self.head("in_progress");
        write_item(&mut json, head, &empty, None, context, &mut Shed::default());
        end(json, NAME, out);
    }

    /// Adds a part. Parts of a message have a start of their own.
    pub(super) fn open_part(
        &mut self,
        block: u32,
        kind: &BlockKind<'_>,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        let part = empty_part(kind);
        if self.is_message() {
            self.write_part_event("response.content_part.added", &part, events, out);
        }
        self.open.push((block, self.parts.len()));
        self.parts.push(part);
    }

    /// Writes the start or the end of the newest content part.
    fn write_part_event(
        &self,
        name: &str,
        part: &Part<'_>,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        self.write_part_event_at(name, part, self.parts.len(), events, out);
    }

    fn write_part_event_at(
        &self,
        name: &str,
        part: &Part<'_>,
        at: usize,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        let mut json = events.begin_at(name, self.place(Some(("content_index", at as u64))));
        json.name("part");
        write_content_part(&mut json, part, None, &mut Shed::default());
        end(json, name, out);
    }

    /// Begins a text of reasoning, after the end of the one before it.
    pub(super) fn open_thought(
        &mut self,
        kind: ReasoningTextKind,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        self.close_thought(events, out);
        let Some(PartKind::Reasoning { texts, .. }) = self.parts.first_mut().map(|it| &mut it.kind)
        else {
            return;
        };
        let count = &mut self.thoughts[usize::from(kind == ReasoningTextKind::Full)];
        let index = *count;
        *count += 1;
        texts.push(ReasoningText { kind, text: "".into() });
        self.thought = Some((kind, index));
        self.write_thought_part(thought_names(kind).part_added, kind, index, "", events, out);
    }

    fn write_thought_part(
        &self,
        name: &str,
        kind: ReasoningTextKind,
        index: u64,
        text: &str,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        let place = self.place(Some((thought_names(kind).index, index)));
        let mut json = events.begin_at(name, place);
        json.name("part");
        write_thought(&mut json, &ReasoningText { kind, text: text.into() });
        end(json, name, out);
    }

    fn close_thought(&mut self, events: &mut EventWriter, out: &mut Vec<u8>) {
        let Some((kind, index)) = self.thought.take() else { return };
        let Some(PartKind::Reasoning { texts, .. }) = self.parts.first().map(|part| &part.kind)
        else {
            return;
        };
        let text = texts.last().map_or("", |thought| &*thought.text);
        let names = thought_names(kind);
        let place = self.place(Some((names.index, index)));
        events.write_text(names.done, place, ("text", text), out);
        self.write_thought_part(names.part_done, kind, index, text, events, out);
    }

    /// Writes a piece of a block.
    pub(super) fn write_piece(
        &mut self,
        block: u32,
        piece: &str,
        logprobs: Option<&str>,
        events: &mut EventWriter,
        out: &mut Vec<u8>,
    ) {
        let Some(at) = self.position(block) else { return };
        if let Some(text) = text_of(&mut self.parts[at]) {
            text.to_mut().push_str(piece);
        }
        let content = Some(("content_index", at as u64));
        let (name, place) = match &self.parts[at].kind {
            PartKind::Text { .. } => ("response.output_text.delta", self.place(content)),
            PartKind::Refusal(_) => ("response.refusal.delta", self.place(content)),
            PartKind::Reasoning { .. } => {
                let Some((kind, index)) = self.thought else { return };
                let names = thought_names(kind);
                (names.delta, self.place(Some((names.index, index))))
            }
            PartKind::ToolCall { arguments: ArgumentsText::Json(_), .. } => {
                ("response.function_call_arguments.delta", self.place(None))
            }
            PartKind::ToolCall { arguments: ArgumentsText::Text(_), .. } => {
                ("response.custom_tool_call_input.delta", self.place(None))
            }
            PartKind::Media { .. } | PartKind::ToolResult { .. } | PartKind::Foreign { .. } => {
                return;
            }
        };
        let mut json = events.begin_at(name, place);
        json.text_member("delta", piece);
        if matches!(self.parts[at].kind, PartKind::Text { .. }) {
            json.raw_member("logprobs", logprobs.unwrap_or("[]"));
        }
        end(json, name, out);
        if let Some(tokens) = logprobs {
            join_arrays(&mut self.logprobs, tokens);
        }
    }

    /// Holds a source until the end of its text. Returns its bytes.
    pub(super) fn hold_citation(
        &mut self,
        block: u32,
        citation: &Citation<'_>,
        shed: &mut Shed,
    ) -> usize {
        let Citation::Url { url, title, range, .. } = citation else {
            shed.add("citations");
            return 0;
        };
        let Some(Part { kind: PartKind::Text { citations, .. }, .. }) = self.part(block) else {
            return 0;
        };
        citations.push(Citation::Url {
            url: url.clone().into_owned().into(),
            title: title.clone().map(|title| title.into_owned().into()),
            range: *range,
            quoted: None,
        });
        size_of::<Citation<'_>>() + url.len() + title.as_ref().map_or(0, |title| title.len())
    }

    /// Writes the end of a block.
    pub(super) fn close(
        &mut self,
        block: u32,
        events: &mut EventWriter,
        shed: &mut Shed,
        out: &mut Vec<u8>,
    ) {
        let Some(at) = self.position(block) else { return };
        self.open.retain(|(number, _)| *number != block);
        self.close_thought(events, out);
        let part = &self.parts[at];
        let content = Some(("content_index", at as u64));
        match &part.kind {
            PartKind::Text { text, citations } => {
                self.write_annotations(at, text, citations, events, shed, out);
                const NAME: &str = "response.output_text.done";
                let mut json = events.begin_at(NAME, self.place(content));
                json.text_member("text", text);
                json.raw_member("logprobs", self.logprobs_of(at).unwrap_or("[]"));
                end(json, NAME, out);
                self.write_part_event_at("response.content_part.done", part, at, events, out);
            }
            PartKind::Refusal(text) => {
                let place = self.place(content);
                events.write_text("response.refusal.done", place, ("refusal", text), out);
                self.write_part_event_at("response.content_part.done", part, at, events, out);
            }
            PartKind::ToolCall { arguments: ArgumentsText::Json(text), .. } => {
                const NAME: &str = "response.function_call_arguments.done";
                let mut json = events.begin_at(NAME, self.place(None));
                json.text_member("name", &self.name);
                json.text_member("arguments", filled(text, "completed"));
                end(json, NAME, out);
            }
            PartKind::ToolCall { arguments: ArgumentsText::Text(text), .. } => {
                const NAME: &str = "response.custom_tool_call_input.done";
                events.write_text(NAME, self.place(None), ("input", text), out);
            }
            _ => {}
        }
    }

    /// Log probabilities of the item belong to its first part.
    fn logprobs_of(&self, at: usize) -> Option<&str> {
        Some(&*self.logprobs).filter(|tokens| at == 0 && !tokens.is_empty())
    }

    fn write_annotations(
        &self,
        at: usize,
        text: &str,
        citations: &[Citation<'_>],
        events: &mut EventWriter,
        shed: &mut Shed,
        out: &mut Vec<u8>,
    ) {
        const NAME: &str = "response.output_text.annotation.added";
        let length = if citations.is_empty() { 0 } else { text.chars().count() };
        for (index, citation) in citations.iter().enumerate() {
            let place = self.place(Some(("content_index", at as u64)));
            let mut json = events.begin_at(NAME, place);
            json.number_member("annotation_index", index as u64);
            json.name("annotation");
            write_citation(&mut json, citation, 0..length, false, shed);
            end(json, NAME, out);
        }
    }

    pub(super) fn close_all(
        &mut self,
        events: &mut EventWriter,
        shed: &mut Shed,
        out: &mut Vec<u8>,
    ) {
        while let Some((block, _)) = self.open.first().copied() {
            self.close(block, events, shed, out);
        }
    }

    /// Writes the end of the item. Returns its JSON.
    pub(super) fn end(
        &self,
        status: &'static str,
        context: &AnswerContext,
        events: &mut EventWriter,
        shed: &mut Shed,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        const NAME: &str = "response.output_item.done";
        let mut item = JsonText::with_capacity(self.held_bytes() + 256);
        let logprobs = self.logprobs_of(0);
        write_item(&mut item, self.head(status), &self.parts, logprobs, context, shed);
        let item = item.into_bytes();
        let mut json = events.begin(NAME);
        json.number_member("output_index", self.number as u64);
        json.name("item").raw_bytes(&item);
        end(json, NAME, out);
        item
    }
}

/// Part without content.
fn empty_part(kind: &BlockKind<'_>) -> Part<'static> {
    let kind = match kind {
        BlockKind::Text => PartKind::Text { text: "".into(), citations: Vec::new() },
        BlockKind::Reasoning { is_redacted } => {
            PartKind::Reasoning { texts: Vec::new(), is_redacted: *is_redacted }
        }
        BlockKind::ToolCall { id, name, arguments } => PartKind::ToolCall {
            id: id.clone().into_owned().into(),
            name: name.clone().into_owned().into(),
            arguments: match arguments {
                ArgumentsKind::Json => ArgumentsText::Json("".into()),
                ArgumentsKind::Text => ArgumentsText::Text("".into()),
            },
        },
        BlockKind::Refusal | BlockKind::Foreign { .. } => PartKind::Refusal("".into()),
    };
    Part { kind, cache: None, seal: None }
}
