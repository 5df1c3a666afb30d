//! Text of an interrupted stream, and the splicing of another stream's events behind it.
//!
//! It decides neither when nor by which target a stream is continued.

use std::fmt;

use bytes::{Bytes, BytesMut};
use openai::{Delta, Event, Framer};

use crate::upstream::continuation::overlap::OverlapTrimmer;

/// The longest text that is kept, in bytes. Longer ones are not continued.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Text of a stream so far.
#[derive(Default)]
pub struct StreamedText {
    text: String,
    /// The stream's first id, as JSON.
    id: Option<String>,
    is_unusable: bool,
}

impl StreamedText {
    /// Adds an event that the caller is shown.
    pub fn add_event(&mut self, event: &[u8]) {
        if self.is_unusable {
            return;
        }
        let Some(data) = Event::parse(event).data else { return };
        let Some(delta) = Delta::parse(&data) else {
            self.is_unusable = true;
            return;
        };
        if self.id.is_none() {
            self.id = delta.id.map(str::to_owned);
        }
        self.text.push_str(&delta.text);
        self.is_unusable = !delta.is_plain || self.text.len() > MAX_TEXT_BYTES;
    }

    /// The text, if it is plain and not complete.
    pub fn text(&self) -> Option<&str> {
        Some(&*self.text).filter(|text| !self.is_unusable && !text.is_empty())
    }
}

impl fmt::Debug for StreamedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedText").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// Turns the events of a continuation into the rest of the interrupted stream: same id, no second
/// beginning, no repetition.
pub struct ContinuationSplicer {
    trimmer: OverlapTrimmer,
    id: Option<String>,
    /// Data of the last event whose text is held back.
    held: Option<Vec<u8>>,
    has_content: bool,
}

impl ContinuationSplicer {
    /// Creates a splicer behind a text.
    pub fn new(streamed_text: &StreamedText) -> Self {
        let trimmer = OverlapTrimmer::after(&streamed_text.text);
        Self { trimmer, id: streamed_text.id.clone(), held: None, has_content: false }
    }

    /// Replaces whole events of the continuation by the events to show.
    pub fn splice(&mut self, events: Bytes) -> Bytes {
        let mut out = BytesMut::new();
        let mut framer = Framer::new(usize::MAX);
        if framer.push(events).is_err() {
            return Bytes::new();
        }
        while let Some(event) = framer.next_event() {
            self.splice_event(framer.bytes(event), &mut out);
        }
        // A border that only the next piece would have confirmed.
        self.splice_event(framer.unfinished(), &mut out);
        out.freeze()
    }

    fn splice_event(&mut self, event: &[u8], out: &mut BytesMut) {
        let read = Event::parse(event);
        let Some(data) = read.data else {
            // Comments before the first content belong to the beginning.
            if self.has_content && !event.is_empty() {
                out.extend_from_slice(event);
            }
            return;
        };
        let Some(delta) = Delta::parse(&data).filter(|_| read.name.is_none()) else {
            self.flush_held(out);
            out.extend_from_slice(event);
            return;
        };
        let is_over = !delta.is_plain || delta.is_general;
        if is_over && delta.text.is_empty() {
            self.flush_held(out);
        }
        let mut text = self.trimmer.push(&delta.text);
        if is_over {
            text += &self.trimmer.finish();
        }
        if is_over || !text.is_empty() {
            self.has_content = true;
            self.held = None;
            write_event(&delta.rewrite(self.id.as_deref(), &text), out);
        } else if self.trimmer.is_holding() && !delta.text.is_empty() {
            self.held = Some(data.into_owned());
        }
    }

    /// Writes the text that was held back and is no repetition.
    fn flush_held(&mut self, out: &mut BytesMut) {
        let Some(held) = self.held.take() else { return };
        let text = self.trimmer.finish();
        if let Some(delta) = Delta::parse(&held).filter(|_| !text.is_empty()) {
            self.has_content = true;
            write_event(&delta.rewrite(self.id.as_deref(), &text), out);
        }
    }
}

impl fmt::Debug for ContinuationSplicer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinuationSplicer")
            .field("has_spoken", &self.has_content)
            .finish_non_exhaustive()
    }
}

fn write_event(data: &str, out: &mut BytesMut) {
    // Data of several lines is JSON with line breaks between its parts, which no string holds.
    for line in data.lines() {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{ContinuationSplicer, StreamedText};

    fn chunk(id: &str, delta: &str, more: &str) -> String {
        format!(
            "data: {{\"id\":\"{id}\",\"choices\":[{{\"index\":0,\"delta\":{delta}{more}}}]}}\n\n"
        )
    }

    fn draft(events: &[String]) -> StreamedText {
        let mut streamed_text = StreamedText::default();
        events.iter().for_each(|event| streamed_text.add_event(event.as_bytes()));
        streamed_text
    }

    const SAID: &str = r#"{"content":"Once upon a time there was"}"#;
    const ROLE: &str = r#"{"role":"assistant","content":""}"#;

    #[test]
    fn streamed_text_is_returned_only_for_unfinished_plain_text() {
        let (role, said) = (chunk("a", ROLE, ""), chunk("a", SAID, ""));
        assert_eq!(draft(std::slice::from_ref(&role)).text(), None);
        let both = [role, ": ping\n\n".to_owned(), said];
        assert_eq!(draft(&both).text(), Some("Once upon a time there was"));
        for spoiling in [
            chunk("a", r#"{"tool_calls":[{"index":0}]}"#, ""),
            chunk("a", r#"{"reasoning_content":"so"}"#, ""),
            chunk("a", "{}", r#","finish_reason":"stop""#),
            chunk("a", r#"{"content":"x"}"#, r#","logprobs":{"content":[]}"#),
            "data: [1]\n\n".to_owned(),
        ] {
            assert_eq!(draft(&[&both[..], &[spoiling]].concat()).text(), None);
        }
    }

    #[track_caller]
    fn assert_spliced(events: &[String], expected: &[String]) {
        let said = draft(&[chunk("a", SAID, "")]);
        let all = events.concat();
        let whole = ContinuationSplicer::new(&said).splice(Bytes::from(all));
        assert_eq!(String::from_utf8_lossy(&whole), expected.concat());
        let mut splicer = ContinuationSplicer::new(&said);
        let each = events.iter().flat_map(|event| splicer.splice(Bytes::from(event.clone())));
        assert_eq!(each.collect::<Vec<u8>>(), whole);
    }

    #[test]
    fn continuation_loses_its_beginning_and_overlap() {
        let done = "data: [DONE]\n\n".to_owned();
        let stop = |id| chunk(id, "{}", r#","finish_reason":"stop""#);
        let usage = |id| format!("data: {{\"id\":\"{id}\",\"choices\":[],\"usage\":{{}}}}\n\n");
        assert_spliced(
            &[
                ": hello\n\n".to_owned(),
                chunk("b", ROLE, ""),
                chunk("b", r#"{"role":"assistant","content":" a king"}"#, ""),
                ": ping\n\n".to_owned(),
                stop("b"),
                usage("b"),
                done.clone(),
            ],
            &[
                chunk("a", r#"{"content":" a king"}"#, ""),
                ": ping\n\n".to_owned(),
                stop("a"),
                usage("a"),
                done,
            ],
        );
        assert_spliced(
            &[
                chunk("b", r#"{"content":"upon a time"}"#, ""),
                chunk("b", r#"{"content":" there was a"}"#, ""),
                chunk("b", r#"{"content":" king"}"#, ""),
                stop("b"),
            ],
            &[
                chunk("a", r#"{"content":" a"}"#, ""),
                chunk("a", r#"{"content":" king"}"#, ""),
                stop("a"),
            ],
        );
    }

    #[test]
    fn held_text_is_shown_before_the_end() {
        let held = chunk("b", r#"{"content":"upon a time"}"#, "");
        let shown = chunk("a", r#"{"content":"upon a time"}"#, "");
        let stop = chunk("b", "{}", r#","finish_reason":"stop""#);
        assert_spliced(
            &[held.clone(), stop.clone()],
            &[shown.clone(), stop.replace("\"b\"", "\"a\"")],
        );
        let done = "data: [DONE]\n\n".to_owned();
        assert_spliced(&[held.clone(), done.clone()], &[shown, done]);
        let last = chunk("b", r#"{"content":" there"}"#, r#","finish_reason":"stop""#);
        let joined = chunk("a", r#"{"content":"upon a time there"}"#, r#","finish_reason":"stop""#);
        assert_spliced(&[held, last], &[joined]);
    }
}
