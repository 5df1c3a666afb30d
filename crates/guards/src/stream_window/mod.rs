//! Window over a guarded stream: holds events until their text is checked, and releases them with
//! their bytes unchanged.
//!
//! Text is counted in characters, not in events, since one event may hold any amount. Guards hold
//! back the end of a checked text, and it is checked again with the following text. So a finding
//! that spans events is not missed. The window itself checks nothing.

mod channel;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use openai::{AnswerTexts, ContentParts, StreamEvent, Unreadable};

use super::pii::MAX_RESTORED_BYTES;
use super::text_fields::{EditableText, GuardInput, GuardText, write_changed};
use super::{Edit, Masks};

use channel::{Choice, TextChannel};

/// Events of a stream that are not released yet, with their texts by channel.
#[derive(Debug, Default)]
pub struct StreamWindow {
    held: VecDeque<HeldEvent>,
    channels: Vec<TextChannel>,
    /// Channels with held texts. A step visits these alone, since a stream may have many others.
    active: BTreeSet<usize>,
    /// Number of each channel, by its name.
    numbers: BTreeMap<String, usize>,
    /// Choices, by the beginning of the names of their channels.
    choices: BTreeMap<String, Choice>,
    /// Maximum number of unchecked characters of one channel.
    unchecked_chars: usize,
    /// Approximate length of the held text, in bytes.
    waiting_bytes: usize,
    /// Length of the data that were restored, in bytes.
    restored_bytes: usize,
    /// Nothing has changed since the last release that could release an event.
    is_settled: bool,
}

/// Length of released text that guards receive again as context, in characters.
const CONTEXT_CHARS: usize = 60;

/// Maximum length of text of one channel that guards may hold back, in bytes: bounds memory.
const MAX_HELD_BYTES: usize = 256 << 10;

/// Maximum length of text of all channels that guards may hold back, in bytes.
const MAX_HELD_BYTES_OF_ALL: usize = 1 << 20;

/// Maximum number of channels of a stream.
const MAX_CHANNELS: usize = 1_000;

/// Held event.
#[derive(Debug)]
struct HeldEvent {
    bytes: Bytes,
    /// Channel of each of its texts. A channel has its texts in the order of the events.
    parts: Vec<usize>,
    /// Ranges of `logprobs`, which repeat the texts.
    echoes: Vec<Range<usize>>,
}

impl HeldEvent {
    /// Returns the event with its texts as they are now.
    fn write(self, parts: Vec<EditableText>) -> StreamEvent {
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

/// Held text of a channel, and what was decided about it.
struct HeldText {
    channel: usize,
    text: String,
    /// Edits that restore placeholders.
    edits: Vec<Edit>,
    /// Number of bytes that need no following text.
    safe: usize,
}

impl HeldText {
    /// Position of a channel in texts, which are sorted by it.
    fn position(texts: &[Self], channel: usize) -> usize {
        let found = texts.binary_search_by_key(&channel, |text| text.channel);
        found.expect("a channel with held texts is active")
    }
}

/// Restores the placeholders of an answer for callers that may see the data.
pub trait MaskRestorer {
    /// Returns the edits that restore the placeholders in a text, with at most `max_bytes` of data.
    fn restore(&self, text: &str, max_bytes: usize) -> Vec<Edit>;
    /// Number of bytes at the end of a text that may be the beginning of a placeholder.
    fn undecided_bytes(&self, text: &str) -> usize;
}

impl MaskRestorer for Masks {
    fn restore(&self, text: &str, max_bytes: usize) -> Vec<Edit> {
        Masks::restore(self, text, max_bytes)
    }

    fn undecided_bytes(&self, text: &str) -> usize {
        Masks::undecided_bytes(self, text)
    }
}

impl StreamWindow {
    /// Holds one whole event. Fails if not all of its texts can be checked: they cannot be found, or
    /// guards hold back too much. The event is held in any case.
    pub fn push_event(&mut self, event: StreamEvent) -> Result<(), Unreadable> {
        let (bytes, texts) = event.into_editable();
        let mut outcome = texts.as_ref().map(|_| ()).map_err(|unreadable| *unreadable);
        let AnswerTexts { texts, finished_choices, logprobs } = texts.unwrap_or_default();
        self.is_settled &= !self.held.is_empty() && texts.is_empty() && finished_choices.is_empty();
        let mut parts = Vec::with_capacity(texts.len());
        for field in texts {
            let Some(channel) = self.channel_number(&field.channel) else {
                outcome = Err(Unreadable);
                continue;
            };
            self.waiting_bytes += field.text.len();
            let own = &mut self.channels[channel];
            let choice = self.choices.get_mut(own.choice()).expect("a channel has a choice");
            own.add_text(EditableText::new(field), channel, choice);
            self.unchecked_chars = self.unchecked_chars.max(own.unchecked_chars);
            self.active.insert(channel);
            parts.push(channel);
        }
        self.end_idle_channels(&parts);
        for index in finished_choices {
            if let Some(choice) = self.choices.get_mut(&index.to_string()) {
                for channel in std::mem::take(&mut choice.open) {
                    let ended = self.channels[channel].mark_ended();
                    self.unchecked_chars = self.unchecked_chars.max(ended);
                }
            }
        }
        let held_back = |channel: &TextChannel| channel.held_back_bytes;
        let is_too_long = parts.iter().any(|at| held_back(&self.channels[*at]) > MAX_HELD_BYTES);
        let is_too_long_together =
            || self.active_channels().map(held_back).sum::<usize>() > MAX_HELD_BYTES_OF_ALL;
        if is_too_long || (!parts.is_empty() && is_too_long_together()) {
            outcome = Err(Unreadable);
        }
        self.held.push_back(HeldEvent { bytes, parts, echoes: logprobs });
        outcome
    }

    fn active_channels(&self) -> impl Iterator<Item = &TextChannel> {
        self.active.iter().map(|number| &self.channels[*number])
    }

    /// Returns the number of a channel, which may be new. `None` if there are too many.
    fn channel_number(&mut self, name: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = self.channels.len();
        if number == MAX_CHANNELS {
            return None;
        }
        let channel = TextChannel::new(name);
        self.choices.entry(channel.choice().to_owned()).or_default();
        self.channels.push(channel);
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    /// Ends the channels of the choices of these texts that have waited for other texts for too long.
    fn end_idle_channels(&mut self, parts: &[usize]) {
        let mut last = None;
        for part in parts {
            // Neighboring texts mostly belong to one choice.
            let name = self.channels[*part].choice().to_owned();
            if last.as_ref() == Some(&name) {
                continue;
            }
            let choice = self.choices.get_mut(&name).expect("a channel has a choice");
            let bytes = choice.bytes;
            choice.open.retain(|channel| {
                let channel = &mut self.channels[*channel];
                let is_idle = channel.is_idle(bytes);
                if is_idle {
                    self.unchecked_chars = self.unchecked_chars.max(channel.mark_ended());
                }
                !is_idle
            });
            last = Some(name);
        }
    }

    /// Maximum number of unchecked characters of one channel.
    pub fn unchecked_chars(&self) -> usize {
        self.unchecked_chars
    }

    /// Approximate length of the held text, in bytes: the cost of a check grows with it.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Ends all channels: the stream has ended, and all held text is to be checked as complete.
    pub fn finish(&mut self) {
        for channel in &mut self.channels {
            self.unchecked_chars = self.unchecked_chars.max(channel.mark_ended());
        }
        self.choices.values_mut().for_each(|choice| choice.open.clear());
        self.is_settled = false;
    }

    /// Clears the held-back lengths of channels with unchecked text; guards set them again in this
    /// check.
    pub fn begin_check(&mut self) {
        for number in &self.active {
            let channel = &mut self.channels[*number];
            if channel.unchecked_chars > 0 {
                channel.held_back_bytes = 0;
            }
        }
        self.is_settled = false;
    }

    /// Marks all held text as checked and releases the events that need not wait for following
    /// text.
    pub fn release(&mut self, masks: &impl MaskRestorer) -> Vec<StreamEvent> {
        if std::mem::replace(&mut self.is_settled, true) {
            return Vec::new();
        }
        self.unchecked_chars = 0;
        let mut left = MAX_RESTORED_BYTES.saturating_sub(self.restored_bytes);
        let decide = |number: &usize| {
            let channel = &mut self.channels[*number];
            channel.unchecked_chars = 0;
            let text = channel.held_text();
            let edits = masks.restore(&text, left);
            left = left.saturating_sub(edits.iter().map(|edit| edit.text.len()).sum());
            let back = channel.held_back_bytes.min(MAX_HELD_BYTES);
            let back = if channel.is_ended { 0 } else { back.max(masks.undecided_bytes(&text)) };
            let safe = text.floor_char_boundary(text.len().saturating_sub(back));
            HeldText { channel: *number, text, edits, safe }
        };
        let texts: Vec<HeldText> = self.active.iter().map(decide).collect();
        let count = self.releasable_count(&texts);
        let shown = self.shown_bytes(&texts, count);
        self.waiting_bytes = 0;
        for (HeldText { channel, text, edits, .. }, shown) in texts.iter().zip(shown) {
            let channel = &mut self.channels[*channel];
            channel.add_to_tail(&text[..shown]);
            self.waiting_bytes += text.len() - shown;
            let within = &edits[..edits.partition_point(|edit| edit.at.end <= shown)];
            self.restored_bytes += within.iter().map(|edit| edit.text.len()).sum::<usize>();
            channel.edit(0, within);
        }
        let channels = &mut self.channels;
        let mut write = |event: HeldEvent| {
            let take = |channel: &usize| {
                channels[*channel].parts.pop_front().expect("a channel has the texts of its events")
            };
            let parts = event.parts.iter().map(take).collect();
            event.write(parts)
        };
        let released = self.held.drain(..count).map(&mut write).collect();
        self.active.retain(|number| {
            let channel = &mut self.channels[*number];
            let is_held = !channel.parts.is_empty();
            if !is_held {
                channel.held_back_bytes = 0;
            }
            is_held
        });
        released
    }

    /// Counts the bytes of each text in the first events.
    fn shown_bytes(&self, texts: &[HeldText], count: usize) -> Vec<usize> {
        let mut shown = vec![(0, 0); texts.len()];
        for channel in self.held.iter().take(count).flat_map(|event| &event.parts) {
            let (bytes, parts) = &mut shown[HeldText::position(texts, *channel)];
            *bytes += self.channels[*channel].parts[*parts].text().len();
            *parts += 1;
        }
        shown.into_iter().map(|(bytes, _)| bytes).collect()
    }

    /// Counts the events that may be released: those whose texts are all decided, without splitting
    /// a placeholder.
    fn releasable_count(&self, texts: &[HeldText]) -> usize {
        /// Progress in one channel.
        #[derive(Clone, Default)]
        struct Progress {
            bytes: usize,
            parts: usize,
            /// Number of edits that end before.
            edits: usize,
            splits_edit: bool,
        }
        let mut progress = vec![Progress::default(); texts.len()];
        let (mut count, mut split_edits) = (0, 0);
        for (number, event) in self.held.iter().enumerate() {
            for channel in &event.parts {
                let at = HeldText::position(texts, *channel);
                let (own, HeldText { edits, safe, .. }) = (&mut progress[at], &texts[at]);
                own.bytes += self.channels[*channel].parts[own.parts].text().len();
                own.parts += 1;
                if own.bytes > *safe {
                    return count;
                }
                while edits.get(own.edits).is_some_and(|edit| edit.at.end <= own.bytes) {
                    own.edits += 1;
                }
                let splits = edits.get(own.edits).is_some_and(|edit| edit.at.start < own.bytes);
                split_edits -= usize::from(std::mem::replace(&mut own.splits_edit, splits));
                split_edits += usize::from(splits);
            }
            if split_edits == 0 {
                count = number + 1;
            }
        }
        count
    }
}

impl GuardInput for StreamWindow {
    fn texts(&self) -> Vec<GuardText> {
        let channels = self.active.iter().map(|number| (*number, &self.channels[*number]));
        let fresh = channels.filter(|(_, channel)| channel.unchecked_chars > 0);
        fresh.map(|(number, channel)| channel.guard_text(number)).collect()
    }

    fn apply_edits(&mut self, channel: usize, edits: &[Edit]) {
        self.is_settled = false;
        let channel = &mut self.channels[channel];
        let start = channel.shown_tail.len();
        // Released text cannot be changed any more.
        let edits: Vec<Edit> = edits.iter().filter(|edit| edit.at.end > start).cloned().collect();
        channel.edit(start, &edits);
    }

    fn hold_back(&mut self, channel: usize, bytes: usize) {
        self.is_settled = false;
        let channel = &mut self.channels[channel];
        channel.held_back_bytes = channel.held_back_bytes.max(bytes);
    }
}

/// Returns the byte at which the last `count` characters of a text begin.
pub fn tail_start(text: &str, count: usize) -> usize {
    if count == 0 {
        return text.len();
    }
    text.char_indices().rev().nth(count - 1).map_or(0, |(at, _)| at)
}
