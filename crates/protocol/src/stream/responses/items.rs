//! Output items that a reader of Responses has open.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::state::{BlockNumbers, HeldBytes, MAX_OPEN_BLOCKS, delta, too_many_blocks};
use crate::answer::responses::read::{Items, read_seal};
use crate::members::{elements, pick_in, some_text, text};
use crate::model::{
    ArgumentsKind, ArgumentsText, BlockKind, Failure, PartKind, ReasoningTextKind, StreamEvent,
};
use crate::stream::replay::replay_parts;

/// Item that is open.
#[derive(Debug)]
pub(super) struct OpenItem {
    /// Index in the output; some providers leave it out.
    pub(super) index: Option<u64>,
    /// Id; some providers change it from event to event.
    pub(super) id: String,
    pub(super) state: ItemState,
}

/// State of an item.
#[derive(Debug)]
pub(super) enum ItemState {
    /// Message, or an item of an unknown kind: the blocks of its content parts.
    Content(Vec<ContentPart>),
    /// Reasoning, with the text that is open: its kind and its index.
    Reasoning { block: u32, open: Option<(ReasoningTextKind, u64)>, has_text: bool },
    /// Call of a known name.
    Call { block: u32, has_arguments: bool },
    /// Call whose start was missing. It is read at its end, which has its name and its arguments.
    Unnamed,
}

/// Content part of a message.
#[derive(Debug)]
pub(super) struct ContentPart {
    pub(super) index: u64,
    pub(super) block: u32,
    pub(super) is_open: bool,
}

/// Items that are open.
#[derive(Debug, Default)]
pub(super) struct OpenItems {
    pub(super) items: Vec<OpenItem>,
    pub(super) numbers: BlockNumbers,
    pub(super) has_calls: bool,
    pub(super) has_refusal: bool,
    /// Some block was opened.
    pub(super) has_blocks: bool,
    held: HeldBytes,
}

/// Names of an item in an event.
pub(super) struct ItemKey<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Cow<'a, str>,
}

impl OpenItems {
    /// Finds an item: by its index, else by its id.
    pub(super) fn find(&self, key: &ItemKey<'_>) -> Option<usize> {
        match key.index {
            Some(index) => self.items.iter().rposition(|item| item.index == Some(index)),
            None => self.items.iter().rposition(|item| item.id == *key.id),
        }
    }

    pub(super) fn add(
        &mut self,
        key: &ItemKey<'_>,
        state: ItemState,
    ) -> Result<usize, Failure<'static>> {
        if self.items.len() >= MAX_OPEN_BLOCKS {
            return Err(too_many_blocks());
        }
        self.held.add(key.id.len())?;
        let id = key.id.clone().into_owned();
        self.items.push(OpenItem { index: key.index, id, state });
        Ok(self.items.len() - 1)
    }

    pub(super) fn open_block<'a>(
        &mut self,
        kind: BlockKind<'a>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> u32 {
        self.has_blocks = true;
        self.has_calls |= matches!(kind, BlockKind::ToolCall { .. });
        self.has_refusal |= matches!(kind, BlockKind::Refusal);
        let block = self.numbers.next();
        events.push(StreamEvent::Open { block, choice: 0, kind });
        block
    }

    /// Reads the start of an item. Messages and unknown items begin with their content.
    pub(super) fn begin<'a>(
        &mut self,
        key: &ItemKey<'_>,
        item: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> Result<(), Failure<'static>> {
        if self.find(key).is_some() {
            return Ok(());
        }
        let [kind] = pick_in(item, ["type"]);
        let state = match text(kind).as_deref() {
            Some("reasoning") => {
                let kind = BlockKind::Reasoning { is_redacted: false };
                let block = self.open_block(kind, events);
                ItemState::Reasoning { block, open: None, has_text: false }
            }
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                let kind = call_kind(item, kind == "custom_tool_call");
                match &kind {
                    BlockKind::ToolCall { name, .. } if name.is_empty() => ItemState::Unnamed,
                    _ => ItemState::Call {
                        block: self.open_block(kind, events),
                        has_arguments: false,
                    },
                }
            }
            _ => ItemState::Content(Vec::new()),
        };
        self.add(key, state).map(drop)
    }

    /// Reads the end of an item, which is whole in it. Its content counts if none was streamed.
    pub(super) fn end<'a>(
        &mut self,
        key: &ItemKey<'_>,
        item: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) {
        let state = self.find(key).map(|at| self.items.remove(at).state);
        let Some(item) = item else {
            if let Some(state) = state {
                close(state, events);
            }
            return;
        };
        match state {
            Some(ItemState::Content(parts)) if !parts.is_empty() => {
                close(ItemState::Content(parts), events);
            }
            Some(ItemState::Reasoning { block, has_text, .. }) => {
                self.end_reasoning(block, has_text, item, events);
            }
            Some(ItemState::Call { block, has_arguments }) => {
                if !has_arguments {
                    events.extend(arguments_of(item).map(|text| delta(block, text)));
                }
                events.push(StreamEvent::Close { block });
            }
            Some(ItemState::Content(_) | ItemState::Unnamed) | None => {
                self.replay(item, events);
            }
        }
    }

    fn end_reasoning<'a>(
        &mut self,
        block: u32,
        has_text: bool,
        item: &'a RawValue,
        events: &mut Vec<StreamEvent<'a>>,
    ) {
        let mut whole = Items::default();
        whole.add(item);
        if let Some(PartKind::Reasoning { texts, .. }) = whole.parts.pop().map(|part| part.kind)
            && !has_text
        {
            for thought in texts {
                events.push(StreamEvent::OpenThought { block, kind: thought.kind });
                events.push(delta(block, thought.text));
            }
        }
        let [encrypted] = pick_in(Some(item), ["encrypted_content"]);
        events.extend(read_seal(encrypted).map(|seal| StreamEvent::Sealed { block, seal }));
        events.push(StreamEvent::Close { block });
    }

    /// Reads an item of which nothing was streamed.
    pub(super) fn replay<'a>(&mut self, item: &'a RawValue, events: &mut Vec<StreamEvent<'a>>) {
        let mut whole = Items::default();
        whole.add(item);
        for part in &whole.parts {
            self.has_blocks = true;
            self.has_calls |= matches!(part.kind, PartKind::ToolCall { .. });
            self.has_refusal |= matches!(part.kind, PartKind::Refusal(_));
        }
        replay_parts(whole.parts, 0, &mut || self.numbers.next(), events);
    }

    /// Reads the calls without a name from the output of the whole response. `false` if one of them
    /// is not in it.
    pub(super) fn end_unnamed<'a>(
        &mut self,
        output: Option<&'a RawValue>,
        events: &mut Vec<StreamEvent<'a>>,
    ) -> bool {
        let is_unnamed = |item: &OpenItem| matches!(item.state, ItemState::Unnamed);
        if !self.items.iter().any(is_unnamed) {
            return true;
        }
        let mut position = 0;
        elements(output, &mut |item| {
            let [id] = pick_in(Some(item), ["id"]);
            let id = text(id).unwrap_or_default();
            let is_same = |open: &&OpenItem| match open.index {
                Some(index) => is_unnamed(open) && index == position,
                None => is_unnamed(open) && open.id == *id,
            };
            if let Some(index) = self.items.iter().find(is_same).map(|open| open.index) {
                self.end(&ItemKey { index, id }, Some(item), events);
            }
            position += 1;
        });
        !self.items.iter().any(is_unnamed)
    }

    /// Closes all blocks that are open, at the end of the stream.
    pub(super) fn close_all(&mut self, events: &mut Vec<StreamEvent<'_>>) {
        for item in self.items.drain(..) {
            close(item.state, events);
        }
    }
}

fn close(state: ItemState, events: &mut Vec<StreamEvent<'_>>) {
    match state {
        ItemState::Content(parts) => {
            let open = parts.into_iter().filter(|part| part.is_open);
            events.extend(open.map(|part| StreamEvent::Close { block: part.block }));
        }
        ItemState::Reasoning { block, .. } | ItemState::Call { block, .. } => {
            events.push(StreamEvent::Close { block });
        }
        ItemState::Unnamed => {}
    }
}

fn call_kind<'a>(item: Option<&'a RawValue>, is_custom: bool) -> BlockKind<'a> {
    let [call_id, id, name] = pick_in(item, ["call_id", "id", "name"]);
    BlockKind::ToolCall {
        id: some_text(call_id).or_else(|| some_text(id)).unwrap_or_default(),
        name: text(name).unwrap_or_default(),
        arguments: if is_custom { ArgumentsKind::Text } else { ArgumentsKind::Json },
    }
}

/// Arguments of a whole call.
fn arguments_of(item: &RawValue) -> Option<Cow<'_, str>> {
    let mut whole = Items::default();
    whole.add(item);
    match whole.parts.pop()?.kind {
        PartKind::ToolCall {
            arguments: ArgumentsText::Json(text) | ArgumentsText::Text(text),
            ..
        } => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    }
}
