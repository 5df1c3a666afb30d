//! Window over a guarded stream: holds events until their text is checked, and releases them with
//! their bytes unchanged.
//!
//! Text is counted in characters, not in events, since one event may hold any amount. Guards hold
//! back the end of a checked text, and it is checked again with the following text. So a finding
//! that spans events is not missed. The window itself checks nothing.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use openai::{AnswerTexts, Event, TextField, Unreadable, answer_texts};

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
    pub fn push_event(&mut self, event: Bytes) -> Result<(), Unreadable> {
        let (bytes, offset) = join_data_lines(event);
        let said = event_texts(&bytes);
        let mut outcome = said.as_ref().map(|_| ()).map_err(|unreadable| *unreadable);
        let AnswerTexts { texts, finished_choices: over, logprobs } = said.unwrap_or_default();
        let parts: Vec<_> =
            texts.into_iter().map(|field| self.assign_channel(field, offset)).collect();
        let waits_too_long = |(strand, _): &(usize, EditableText)| {
            self.channels[*strand].held_back_bytes > MAX_HELD_BYTES
        };
        if parts.iter().any(waits_too_long) || self.channels.len() > MAX_CHANNELS {
            outcome = Err(Unreadable);
        }
        for choice in over {
            let choice = choice.to_string();
            let strands = self.channels.iter_mut();
            strands.filter(|channel| channel.choice() == choice).for_each(TextChannel::mark_ended);
        }
        let echoes = logprobs.into_iter().map(|at| at.start + offset..at.end + offset).collect();
        self.held.push_back(HeldEvent { bytes, parts, echoes });
        outcome
    }

    fn assign_channel(&mut self, field: TextField<'_>, offset: usize) -> (usize, EditableText) {
        let known = self.channels.iter().position(|channel| channel.name == field.channel);
        let strand = known.unwrap_or_else(|| {
            let name = field.channel.clone();
            self.channels.push(TextChannel { name, ..TextChannel::default() });
            self.channels.len() - 1
        });
        let length = field.text.len();
        if self.channels.len() > 1 {
            let choice = self.channels[strand].choice().to_owned();
            for (number, other) in self.channels.iter_mut().enumerate() {
                if number == strand || other.is_ended || other.choice() != choice {
                    continue;
                }
                other.idle_bytes += length;
                if other.idle_bytes > MAX_IDLE_BYTES {
                    other.mark_ended();
                }
            }
        }
        let own = &mut self.channels[strand];
        own.unchecked_chars += field.text.chars().count();
        own.idle_bytes = 0;
        if std::mem::take(&mut own.is_ended) {
            own.is_resumed = true;
        }
        self.waiting_bytes += length;
        let mut part = EditableText::new(field);
        part.at = part.at.start + offset..part.at.end + offset;
        (strand, part)
    }

    /// Maximum number of unchecked characters of one channel.
    pub fn unchecked_chars(&self) -> usize {
        self.channels.iter().map(|channel| channel.unchecked_chars).max().unwrap_or(0)
    }

    /// Approximate length of the held text, in bytes: the cost of a check grows with it.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
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
    pub fn release(&mut self, masks: &impl MaskRestorer) -> Vec<Bytes> {
        self.channels.iter_mut().for_each(|channel| channel.unchecked_chars = 0);
        let texts: Vec<String> =
            (0..self.channels.len()).map(|strand| self.held_text(strand)).collect();
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
        for (strand, part) in self.held.iter().take(count).flat_map(|piece| &piece.parts) {
            shown[*strand] += part.text.len();
        }
        for (strand, text) in texts.iter().enumerate() {
            let TextChannel { shown_tail: before, .. } = &mut self.channels[strand];
            before.push_str(&text[..shown[strand]]);
            let keep = tail_start(before, CONTEXT_CHARS);
            before.drain(..keep);
        }
        for (strand, edits) in edits.iter().enumerate() {
            let within = edits.partition_point(|edit| edit.at.end <= shown[strand]);
            edit_parts(channel_parts(&mut self.held, strand, 0), &edits[..within]);
        }
        let piece = |piece: HeldEvent| {
            let parts: Vec<EditableText> = piece.parts.into_iter().map(|(_, part)| part).collect();
            write_changed(&piece.bytes, &parts, &piece.echoes).unwrap_or(piece.bytes)
        };
        let released = self.held.drain(..count).map(piece).collect();
        let waiting = self.held.iter().flat_map(|piece| &piece.parts);
        self.waiting_bytes = waiting.map(|(_, part)| part.text.len()).sum();
        released
    }

    fn held_text(&self, strand: usize) -> String {
        let parts = self.held.iter().flat_map(|piece| &piece.parts);
        parts.filter(|(of, _)| *of == strand).map(|(_, part)| part.text.as_str()).collect()
    }

    /// Counts the events that may be released: those whose texts are all decided, without splitting
    /// a placeholder.
    fn releasable_count(&self, safe: &[usize], edits: &[Vec<Edit>]) -> usize {
        let mut max = self.held.len();
        loop {
            let mut ends = vec![0; safe.len()];
            let mut count = 0;
            for piece in self.held.iter().take(max) {
                let mut after = ends.clone();
                piece.parts.iter().for_each(|(strand, part)| after[*strand] += part.text.len());
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

    fn apply_edits(&mut self, strand: usize, edits: &[Edit]) {
        let start = self.channels[strand].shown_tail.len();
        // Released text cannot be changed any more.
        let edits: Vec<Edit> = edits.iter().filter(|edit| edit.at.end > start).cloned().collect();
        edit_parts(channel_parts(&mut self.held, strand, start), &edits);
    }

    fn hold_back(&mut self, strand: usize, bytes: usize) {
        let channel = &mut self.channels[strand];
        channel.held_back_bytes = channel.held_back_bytes.max(bytes);
    }
}

/// Returns the texts of a channel, each with the byte at which it begins.
fn channel_parts(
    held: &mut VecDeque<HeldEvent>,
    strand: usize,
    mut start: usize,
) -> impl Iterator<Item = (usize, &mut EditableText)> {
    let parts = held.iter_mut().flat_map(|piece| &mut piece.parts);
    parts.filter(move |(of, _)| *of == strand).map(move |(_, part)| {
        let begin = start;
        start += part.text.len();
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

fn event_texts(event: &[u8]) -> Result<AnswerTexts<'_>, Unreadable> {
    // `join_data_lines` made data of several lines one line.
    let Some(Cow::Borrowed(data)) = Event::parse(event).data else {
        return Ok(AnswerTexts::default());
    };
    let data = str::from_utf8(data).map_err(|_| Unreadable)?;
    match data.trim_ascii_start().starts_with('{') {
        true => answer_texts(data),
        false => Ok(AnswerTexts::default()),
    }
}

/// Returns an event whose data is one line, and the offset of the data. Lines are joined by spaces,
/// which separate JSON tokens like line endings.
fn join_data_lines(event: Bytes) -> (Bytes, usize) {
    let read = Event::parse(&event);
    match read.data {
        Some(Cow::Borrowed(data)) => {
            let offset = data.as_ptr() as usize - event.as_ptr() as usize;
            (event, offset)
        }
        Some(Cow::Owned(mut data)) => {
            data.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            let bytes = [b"data: ".as_slice(), &data, b"\n\n"].concat();
            (bytes.into(), b"data: ".len())
        }
        None => (event, 0),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::Edit;
    use crate::text_fields::{GuardInput, GuardText};

    use super::{MaskRestorer, StreamWindow};

    /// Restores one placeholder.
    struct Mask(&'static str, &'static str);

    impl MaskRestorer for Mask {
        fn restore(&self, text: &str) -> Vec<Edit> {
            let found = text.match_indices(self.0);
            found.map(|(at, it)| Edit { at: at..at + it.len(), text: self.1.to_owned() }).collect()
        }

        fn undecided_bytes(&self, text: &str) -> usize {
            let max = self.0.len() - 1;
            (1..=max).rev().find(|length| text.ends_with(&self.0[..*length])).unwrap_or(0)
        }
    }

    const NOTHING: Mask = Mask("\0\0", "");

    fn event(text: &str) -> Bytes {
        let text = serde_json::to_string(text).expect("a string");
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}}}}]}}\n\n")
            .into()
    }

    fn shown(events: &[Bytes]) -> String {
        let read = |bytes: &Bytes| {
            let data = std::str::from_utf8(bytes).expect("text").trim().strip_prefix("data: ");
            let json: serde_json::Value = serde_json::from_str(data.expect("data")).expect("JSON");
            json["choices"][0]["delta"]["content"].as_str().expect("text").to_owned()
        };
        events.iter().map(read).collect()
    }

    #[test]
    fn the_end_waits_for_what_follows() {
        let mut window = StreamWindow::default();
        let text = |text: &str, from, goes_on| {
            vec![GuardText { number: 0, text: text.to_owned(), unchecked_from: from, goes_on }]
        };
        window.push_event(event("abc")).expect("readable");
        window.push_event(event("de")).expect("readable");
        assert_eq!(window.unchecked_chars(), 5);
        assert_eq!(window.texts(), text("abcde", 0, true));
        window.hold_back(0, 3);
        window.hold_back(0, 1);
        assert_eq!(window.release(&NOTHING).len(), 0);
        window.push_event(event("f")).expect("readable");
        window.hold_back(0, 3);
        assert_eq!(shown(&window.release(&NOTHING)), "abc");
        assert!(window.texts().is_empty());
        window.push_event(Bytes::from_static(b": ping\n\n")).expect("readable");
        assert!(window.release(&NOTHING).is_empty(), "what waits waits until it is looked at");
        window.push_event(event("g")).expect("readable");
        assert_eq!(window.texts(), text("abcdefg", 3, true));
        window.begin_check();
        window.apply_edits(
            0,
            &[Edit { at: 1..4, text: "-".to_owned() }, Edit { at: 5..6, text: "!".to_owned() }],
        );
        window.finish();
        assert_eq!(window.texts(), text("abc-e!g", 3, false));
        window.hold_back(0, 2);
        let rest = window.release(&NOTHING);
        assert_eq!(shown(&[&rest[..2], &rest[3..]].concat()), "-e!g");
        assert_eq!(rest[2], ": ping\n\n");
        assert!(window.is_empty());
    }

    #[test]
    fn what_has_no_text_keeps_its_place() {
        let mut window = StreamWindow::default();
        window.push_event(Bytes::from_static(b": ping\n\n")).expect("readable");
        window.push_event(event("abc")).expect("readable");
        window.push_event(Bytes::from_static(b"data: [DONE]\n\n")).expect("readable");
        window.hold_back(0, 2);
        assert_eq!(window.release(&NOTHING), [": ping\n\n"]);
        window.finish();
        let rest = window.release(&NOTHING);
        assert_eq!(rest.len(), 2);
        assert_eq!(rest[1], "data: [DONE]\n\n");
    }

    #[test]
    fn data_in_lines_can_be_changed() {
        let mut window = StreamWindow::default();
        let lines = "event: x\ndata: {\"choices\":\ndata: [{\"delta\":{\"content\":\"ab\"}}]}\n\n";
        window.push_event(Bytes::from_static(lines.as_bytes())).expect("readable");
        window.apply_edits(0, &[Edit { at: 0..1, text: "é".to_owned() }]);
        assert_eq!(
            window.release(&NOTHING),
            ["data: {\"choices\": [{\"delta\":{\"content\":\"éb\"}}]}\n\n"]
        );
        assert!(window.push_event(Bytes::from_static(b"data: {\"choices\":[7]}\n\n")).is_err());
    }

    /// Holds back the last eight bytes of each text, and returns the number of released events.
    fn held(window: &mut StreamWindow, data: &str) -> usize {
        window.push_event(format!("data: {data}\n\n").into()).expect("readable");
        window.begin_check();
        let texts = window.texts();
        texts.iter().filter(|text| text.goes_on).for_each(|text| window.hold_back(text.number, 8));
        window.release(&NOTHING).len()
    }

    fn delta(choice: u32, member: &str, text: &str) -> String {
        format!(r#"{{"choices":[{{"index":{choice},"delta":{{"{member}":"{text}"}}}}]}}"#)
    }

    #[test]
    fn what_is_over_holds_nothing_up() {
        let mut window = StreamWindow::default();
        // Neither does content wait for its reasoning, nor one choice for another one that has
        // ended.
        assert_eq!(held(&mut window, &delta(0, "reasoning_content", "so be it")), 0);
        let long = "what is said is said at some length here";
        assert_eq!(held(&mut window, &delta(0, "content", long)), 0);
        assert_eq!(held(&mut window, &delta(0, "content", long)), 2);
        assert_eq!(held(&mut window, &delta(1, "content", long)), 0);
        let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        assert_eq!(held(&mut window, end), 1);
        assert_eq!(held(&mut window, &delta(1, "content", long)), 2);
        // Text of a resumed channel is released with the text before its end.
        window
            .push_event(format!("data: {}\n\n", delta(0, "content", "!")).into())
            .expect("readable");
        let text = window.texts().into_iter().find(|text| text.number == 1).expect("it is fresh");
        assert_eq!((text.unchecked_from, text.goes_on), (1, true));
        assert!(text.text.ends_with("length here!"));
    }

    proptest! {
        /// Under any split and any order of checks, masks are restored and nothing else changes. A
        /// text that is shorter than the held-back part is checked whole before any of it is
        /// released.
        #[test]
        fn no_split_matters(
            cuts in prop::collection::vec((1..6_usize, any::<bool>()), 1..40),
            back in 4..9_usize,
        ) {
            let text = "[A_1] and 中文[A_1 [A_1][A_1]x bad [A_ 1] bad[A_1]";
            let mask = Mask("[A_1]", "someone@example.org");
            let mut window = StreamWindow::default();
            let characters: Vec<char> = text.chars().collect();
            let (mut at, mut out, mut seen) = (0, String::new(), 0);
            for (length, check) in cuts.into_iter().cycle() {
                if at == characters.len() {
                    break;
                }
                let end = (at + length).min(characters.len());
                let piece: String = characters[at..end].iter().collect();
                window.push_event(event(&piece)).expect("readable");
                at = end;
                if check {
                    window.begin_check();
                    seen += window.texts().iter().map(|it| it.text.matches("bad").count()).sum::<usize>();
                    window.hold_back(0, back);
                    out += &shown(&window.release(&mask));
                    prop_assert!(seen > 0 || !out.contains("ba"));
                }
            }
            window.finish();
            out += &shown(&window.release(&mask));
            prop_assert_eq!(out, text.replace("[A_1]", "someone@example.org"));
        }
    }
}
