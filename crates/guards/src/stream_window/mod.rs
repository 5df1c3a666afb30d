//! Window over a guarded stream: holds events until their text is checked, and releases them with
//! their bytes unchanged.
//!
//! Text is counted in characters, not in events, since one event may hold any amount. Guards hold
//! back the end of a checked text, and it is checked again with the following text. So a finding
//! that spans events is not missed. The window itself checks nothing.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use openai::{AnswerTexts, ContentParts, StreamEvent, TextField, Unreadable};

use super::text_fields::{EditableText, GuardInput, GuardText, edit_parts, write_changed};
use super::{Edit, Masks};

/// Events of a stream that are not released yet, with their texts by channel.
#[derive(Debug, Default)]
pub struct StreamWindow {
    held: VecDeque<HeldEvent>,
    channels: Vec<TextChannel>,
    /// Approximate length of the held text, in bytes.
    waiting_bytes: usize,
}

/// Length of released text that guards receive again as context, in characters.
const CONTEXT_CHARS: usize = 60;

/// Maximum length of text of one channel that guards may hold back, in bytes: bounds memory.
const MAX_HELD_BYTES: usize = 256 << 10;

/// Text that a choice adds to other channels before a channel counts as ended, in bytes. Reasoning
/// ends this way when the answer begins; otherwise the answer would wait for the end of the stream.
const MAX_IDLE_BYTES: usize = 64;

/// Maximum number of channels of a stream.
const MAX_CHANNELS: usize = 1_000;

/// Held event and its texts.
#[derive(Debug)]
struct HeldEvent {
    bytes: Bytes,
    /// Texts, each with the index of its channel.
    parts: Vec<(usize, EditableText)>,
    /// Ranges of `logprobs`, which repeat the texts.
    echoes: Vec<Range<usize>>,
}

impl HeldEvent {
    /// Returns the event with its texts as they are now.
    fn write(self) -> StreamEvent {
        let parts: Vec<EditableText> = self.parts.into_iter().map(|(_, part)| part).collect();
        match write_changed(&self.bytes, &parts, &self.echoes) {
            Some(changed) => {
                StreamEvent::parse(changed, ContentParts { texts: true, delta: false }).1
            }
            None if parts.is_empty() => StreamEvent::without_content(self.bytes),
            None => {
                let texts = parts.into_iter().map(|part| part.field).collect();
                let texts = AnswerTexts { texts, ..AnswerTexts::default() };
                StreamEvent::with_texts(self.bytes, texts)
            }
        }
    }
}

/// Text of one member of a choice throughout the stream: content, reasoning, or a tool call.
#[derive(Debug, Default)]
struct TextChannel {
    name: String,
    /// End of the released text, as context for guards.
    shown_tail: String,
    /// Number of characters that no guard has checked.
    unchecked_chars: usize,
    /// Number of bytes at its end that guards hold back until their next check.
    held_back_bytes: usize,
    /// Number of bytes that its choice has added to other channels since.
    idle_bytes: usize,
    /// The channel waits for no following text.
    is_ended: bool,
    /// Text has followed after the channel counted as ended.
    is_resumed: bool,
}

impl TextChannel {
    /// Index of the choice, as text.
    fn choice(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Ends the channel. Held-back text counts as unchecked, so that it is checked again as
    /// complete.
    fn mark_ended(&mut self) {
        if !self.is_ended && self.unchecked_chars + self.held_back_bytes > 0 {
            self.unchecked_chars += 1;
        }
        self.is_ended = true;
    }

    /// Start of unchecked text for word lists. Text before a resumption was released as complete; a
    /// word that begins there must not be completed.
    fn search_from(&self) -> usize {
        match self.is_resumed {
            true => self.shown_tail.chars().next().map_or(0, char::len_utf8),
            false => self.shown_tail.len(),
        }
    }
}

/// Restores the placeholders of an answer for callers that may see the data.
pub trait MaskRestorer {
    /// Returns the edits that restore the placeholders in a text.
    fn restore(&self, text: &str) -> Vec<Edit>;
    /// Number of bytes at the end of a text that may be the beginning of a placeholder.
    fn undecided_bytes(&self, text: &str) -> usize;
}

impl MaskRestorer for Masks {
    fn restore(&self, text: &str) -> Vec<Edit> {
        Masks::restore(self, text)
    }

    fn undecided_bytes(&self, text: &str) -> usize {
        Masks::undecided_bytes(self, text)
    }
}

impl StreamWindow {
    /// Holds one whole event. Fails if its texts cannot be found; the event is held in any case.
    pub fn push_event(&mut self, event: StreamEvent) -> Result<(), Unreadable> {
        let (bytes, texts) = event.into_editable();
        let mut outcome = texts.as_ref().map(|_| ()).map_err(|unreadable| *unreadable);
        let AnswerTexts { texts, finished_choices, logprobs } = texts.unwrap_or_default();
        let parts: Vec<_> = texts.into_iter().map(|field| self.assign_channel(field)).collect();
        let waits_too_long = |(channel, _): &(usize, EditableText)| {
            self.channels[*channel].held_back_bytes > MAX_HELD_BYTES
        };
        if parts.iter().any(waits_too_long) || self.channels.len() > MAX_CHANNELS {
            outcome = Err(Unreadable);
        }
        for choice in finished_choices {
            let choice = choice.to_string();
            let channels = self.channels.iter_mut();
            channels.filter(|channel| channel.choice() == choice).for_each(TextChannel::mark_ended);
        }
        self.held.push_back(HeldEvent { bytes, parts, echoes: logprobs });
        outcome
    }

    fn assign_channel(&mut self, field: TextField<'static>) -> (usize, EditableText) {
        let known = self.channels.iter().position(|channel| channel.name == field.channel);
        let channel = known.unwrap_or_else(|| {
            let name = field.channel.clone();
            self.channels.push(TextChannel { name, ..TextChannel::default() });
            self.channels.len() - 1
        });
        let length = field.text.len();
        if self.channels.len() > 1 {
            let choice = self.channels[channel].choice().to_owned();
            for (number, other) in self.channels.iter_mut().enumerate() {
                if number == channel || other.is_ended || other.choice() != choice {
                    continue;
                }
                other.idle_bytes += length;
                if other.idle_bytes > MAX_IDLE_BYTES {
                    other.mark_ended();
                }
            }
        }
        let own = &mut self.channels[channel];
        own.unchecked_chars += field.text.chars().count();
        own.idle_bytes = 0;
        if std::mem::take(&mut own.is_ended) {
            own.is_resumed = true;
        }
        self.waiting_bytes += length;
        (channel, EditableText::new(field))
    }

    /// Maximum number of unchecked characters of one channel.
    pub fn unchecked_chars(&self) -> usize {
        self.channels.iter().map(|channel| channel.unchecked_chars).max().unwrap_or(0)
    }

    /// Approximate length of the held text, in bytes: the cost of a check grows with it.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Ends all channels: the stream has ended, and all held text is to be checked as complete.
    pub fn finish(&mut self) {
        self.channels.iter_mut().for_each(TextChannel::mark_ended);
    }

    /// Clears the held-back lengths of channels with unchecked text; guards set them again in this
    /// check.
    pub fn begin_check(&mut self) {
        let fresh = self.channels.iter_mut().filter(|channel| channel.unchecked_chars > 0);
        fresh.for_each(|channel| channel.held_back_bytes = 0);
    }

    /// Marks all held text as checked and releases the events that need not wait for following
    /// text.
    pub fn release(&mut self, masks: &impl MaskRestorer) -> Vec<StreamEvent> {
        self.channels.iter_mut().for_each(|channel| channel.unchecked_chars = 0);
        let texts: Vec<String> =
            (0..self.channels.len()).map(|channel| self.held_text(channel)).collect();
        let edits: Vec<Vec<Edit>> = texts.iter().map(|text| masks.restore(text)).collect();
        let safe: Vec<usize> = texts
            .iter()
            .zip(&self.channels)
            .map(|(text, channel)| {
                let back = channel.held_back_bytes.min(MAX_HELD_BYTES);
                let back = if channel.is_ended { 0 } else { back.max(masks.undecided_bytes(text)) };
                text.floor_char_boundary(text.len().saturating_sub(back))
            })
            .collect();
        let count = self.releasable_count(&safe, &edits);
        let mut shown = vec![0; texts.len()];
        for (channel, part) in self.held.iter().take(count).flat_map(|event| &event.parts) {
            shown[*channel] += part.text().len();
        }
        for (channel, text) in texts.iter().enumerate() {
            let TextChannel { shown_tail, .. } = &mut self.channels[channel];
            shown_tail.push_str(&text[..shown[channel]]);
            let cut = tail_start(shown_tail, CONTEXT_CHARS);
            shown_tail.drain(..cut);
        }
        for (channel, edits) in edits.iter().enumerate() {
            let within = edits.partition_point(|edit| edit.at.end <= shown[channel]);
            edit_parts(channel_parts(&mut self.held, channel, 0), &edits[..within]);
        }
        let released = self.held.drain(..count).map(HeldEvent::write).collect();
        let waiting = self.held.iter().flat_map(|event| &event.parts);
        self.waiting_bytes = waiting.map(|(_, part)| part.text().len()).sum();
        released
    }

    fn held_text(&self, channel: usize) -> String {
        let parts = self.held.iter().flat_map(|event| &event.parts);
        parts.filter(|(of, _)| *of == channel).map(|(_, part)| part.text()).collect()
    }

    /// Counts the events that may be released: those whose texts are all decided, without splitting
    /// a placeholder.
    fn releasable_count(&self, safe: &[usize], edits: &[Vec<Edit>]) -> usize {
        let mut max = self.held.len();
        loop {
            let mut ends = vec![0; safe.len()];
            let mut count = 0;
            for event in self.held.iter().take(max) {
                let mut after = ends.clone();
                event.parts.iter().for_each(|(channel, part)| after[*channel] += part.text().len());
                if after.iter().zip(safe).any(|(end, safe)| end > safe) {
                    break;
                }
                ends = after;
                count += 1;
            }
            let is_cut = |(end, edits): (&usize, &Vec<Edit>)| {
                edits.iter().any(|edit| edit.at.start < *end && *end < edit.at.end)
            };
            if count == 0 || !ends.iter().zip(edits).any(is_cut) {
                return count;
            }
            max = count - 1;
        }
    }
}

impl GuardInput for StreamWindow {
    fn texts(&self) -> Vec<GuardText> {
        let fresh =
            self.channels.iter().enumerate().filter(|(_, channel)| channel.unchecked_chars > 0);
        let text = |(number, channel): (usize, &TextChannel)| {
            let text = channel.shown_tail.clone() + &self.held_text(number);
            GuardText {
                number,
                text,
                unchecked_from: channel.search_from(),
                goes_on: !channel.is_ended,
            }
        };
        fresh.map(text).collect()
    }

    fn apply_edits(&mut self, channel: usize, edits: &[Edit]) {
        let start = self.channels[channel].shown_tail.len();
        // Released text cannot be changed any more.
        let edits: Vec<Edit> = edits.iter().filter(|edit| edit.at.end > start).cloned().collect();
        edit_parts(channel_parts(&mut self.held, channel, start), &edits);
    }

    fn hold_back(&mut self, channel: usize, bytes: usize) {
        let channel = &mut self.channels[channel];
        channel.held_back_bytes = channel.held_back_bytes.max(bytes);
    }
}

/// Returns the texts of a channel, each with the byte at which it begins.
fn channel_parts(
    held: &mut VecDeque<HeldEvent>,
    channel: usize,
    mut start: usize,
) -> impl Iterator<Item = (usize, &mut EditableText)> {
    let parts = held.iter_mut().flat_map(|event| &mut event.parts);
    parts.filter(move |(of, _)| *of == channel).map(move |(_, part)| {
        let begin = start;
        start += part.text().len();
        (begin, part)
    })
}

/// Returns the byte at which the last `count` characters of a text begin.
pub fn tail_start(text: &str, count: usize) -> usize {
    if count == 0 {
        return text.len();
    }
    text.char_indices().rev().nth(count - 1).map_or(0, |(at, _)| at)
}
