//! Texts of one channel of a guarded stream.

use std::collections::VecDeque;

use crate::Edit;
use crate::text_fields::{EditableText, GuardText, edit_parts};

use super::{CONTEXT_CHARS, tail_start};

/// Text that a choice adds to other channels before a channel counts as ended, in bytes. Reasoning
/// ends this way when the answer begins; otherwise the answer would wait for the end of the stream.
const MAX_IDLE_BYTES: usize = 64;

/// Choice of an answer.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Length of all its texts, in bytes.
    pub(super) bytes: usize,
    /// Its channels that have not ended.
    pub(super) open: Vec<usize>,
}

/// Text of one member of a choice throughout the stream: content, reasoning, or a tool call.
#[derive(Debug, Default)]
pub(super) struct TextChannel {
    name: String,
    /// Held texts, in the order of their events.
    pub(super) parts: VecDeque<EditableText>,
    /// End of the released text, as context for guards.
    pub(super) shown_tail: String,
    /// Number of characters that no guard has checked.
    pub(super) unchecked_chars: usize,
    /// Number of bytes at its end that guards hold back until their next check.
    pub(super) held_back_bytes: usize,
    /// Length of all texts of its choice when the last text of the channel arrived, in bytes.
    choice_bytes: usize,
    /// The channel waits for no following text.
    pub(super) is_ended: bool,
    /// Text has followed after the channel counted as ended.
    is_resumed: bool,
}

impl TextChannel {
    /// Creates a channel, which ends only after its first text.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Beginning of the name, which all channels of a choice share.
    pub(super) fn choice(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Adds a text of this channel, which has this number in its choice.
    pub(super) fn add_text(&mut self, part: EditableText, number: usize, choice: &mut Choice) {
        if self.is_ended || self.choice_bytes == 0 {
            choice.open.push(number);
        } else if self.is_idle(choice.bytes) {
            self.mark_ended();
        }
        choice.bytes += part.text().len();
        self.choice_bytes = choice.bytes;
        self.unchecked_chars += part.text().chars().count();
        self.is_resumed |= std::mem::take(&mut self.is_ended);
        self.parts.push_back(part);
    }

    /// Whether the choice, with texts of this length, has added too much to other channels since.
    pub(super) fn is_idle(&self, choice_bytes: usize) -> bool {
        choice_bytes - self.choice_bytes > MAX_IDLE_BYTES
    }

    /// Ends the channel. Held-back text counts as unchecked, so that it is checked again as
    /// complete. Returns the number of unchecked characters.
    pub(super) fn mark_ended(&mut self) -> usize {
        if !self.is_ended && self.unchecked_chars + self.held_back_bytes > 0 {
            self.unchecked_chars += 1;
        }
        self.is_ended = true;
        self.unchecked_chars
    }

    /// All held text.
    pub(super) fn held_text(&self) -> String {
        self.parts.iter().map(EditableText::text).collect()
    }

    /// Text for a check: the context, then the held text.
    pub(super) fn guard_text(&self, number: usize) -> GuardText {
        let mut text = self.shown_tail.clone();
        text.extend(self.parts.iter().map(EditableText::text));
        GuardText { number, text, unchecked_from: self.search_from(), goes_on: !self.is_ended }
    }

    /// Start of unchecked text for word lists. Text before a resumption was released as complete; a
    /// word that begins there must not be completed.
    fn search_from(&self) -> usize {
        match self.is_resumed {
            true => self.shown_tail.chars().next().map_or(0, char::len_utf8),
            false => self.shown_tail.len(),
        }
    }

    /// Applies edits to the held texts, which begin at byte `start` of the edited text.
    pub(super) fn edit(&mut self, mut start: usize, edits: &[Edit]) {
        if edits.is_empty() {
            return;
        }
        let parts = self.parts.iter_mut().map(|part| {
            let begin = start;
            start += part.text().len();
            (begin, part)
        });
        edit_parts(parts, edits);
    }

    /// Adds released text to the context.
    pub(super) fn add_to_tail(&mut self, text: &str) {
        self.shown_tail.push_str(text);
        let cut = tail_start(&self.shown_tail, CONTEXT_CHARS);
        self.shown_tail.drain(..cut);
    }
}
