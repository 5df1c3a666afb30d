//! Text of an interrupted stream, and the splicing of another stream's events behind it.
//!
//! It decides neither when nor by which target a stream is continued.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use openai::{ContentParts, EventContent, StreamEvent};

use crate::upstream::continuation::overlap::OverlapTrimmer;

/// The longest text that is kept, in bytes. Longer ones are not continued.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Text of a stream so far.
#[derive(Default)]
pub(crate) struct StreamedText {
    text: String,
    /// The stream's first id, as JSON.
    id: Option<Bytes>,
    is_unusable: bool,
}

impl StreamedText {
    /// Adds an event that the caller is shown.
    pub(crate) fn add_event(&mut self, event: &StreamEvent) {
        if self.is_unusable || matches!(event.content(), EventContent::Comment) {
            return;
        }
        let Some(delta) = event.delta() else {
            self.is_unusable = true;
            return;
        };
        if self.id.is_none() {
            self.id.clone_from(&delta.id);
        }
        self.text.push_str(&delta.text);
        self.is_unusable = !delta.is_plain || self.text.len() > MAX_TEXT_BYTES;
    }

    /// The text, if it is plain and not complete.
    pub(crate) fn text(&self) -> Option<&str> {
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
pub(crate) struct ContinuationSplicer {
    trimmer: OverlapTrimmer,
    id: Option<Bytes>,
    /// The last event whose text is held back.
    held: Option<StreamEvent>,
    has_content: bool,
    /// Content of the rewritten events.
    parts: ContentParts,
}

impl ContinuationSplicer {
    /// Creates a splicer behind a text. `parts`: content that the layers behind it use.
    pub(crate) fn new(streamed_text: &StreamedText, parts: ContentParts) -> Self {
        let trimmer = OverlapTrimmer::after(&streamed_text.text);
        Self { trimmer, id: streamed_text.id.clone(), held: None, has_content: false, parts }
    }

    /// Replaces an event of the continuation by the events to show, which it adds to `shown`.
    pub(crate) fn splice(&mut self, event: StreamEvent, shown: &mut VecDeque<StreamEvent>) {
        if matches!(event.content(), EventContent::Comment) {
            // Comments before the first content belong to the beginning.
            if self.has_content {
                shown.push_back(event);
            }
            return;
        }
        let Some(delta) = event.delta().filter(|delta| !delta.is_named) else {
            self.flush_held(shown);
            shown.push_back(event);
            return;
        };
        let is_over = !delta.is_plain || delta.is_general;
        if is_over && delta.text.is_empty() {
            self.flush_held(shown);
        }
        let mut text = self.trimmer.push(&delta.text);
        if is_over {
            text += &self.trimmer.finish();
        }
        if is_over || !text.is_empty() {
            self.held = None;
            self.show(&event, &text, shown);
        } else if self.trimmer.is_holding() && !delta.text.is_empty() {
            self.held = Some(event);
        }
    }

    /// Shows the text that was held back and is no repetition.
    fn flush_held(&mut self, shown: &mut VecDeque<StreamEvent>) {
        let Some(held) = self.held.take() else { return };
        let text = self.trimmer.finish();
        if !text.is_empty() {
            self.show(&held, &text, shown);
        }
    }

    /// Adds an event with the stream's id and this text.
    fn show(&mut self, event: &StreamEvent, text: &str, shown: &mut VecDeque<StreamEvent>) {
        let id = self.id.as_deref().and_then(|id| str::from_utf8(id).ok());
        self.has_content = true;
        shown.extend(event.rewrite(id, text, self.parts));
    }
}

impl fmt::Debug for ContinuationSplicer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinuationSplicer")
            .field("has_content", &self.has_content)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use openai::{ContentParts, StreamEvent};

    use super::{ContinuationSplicer, StreamedText};

    const DELTA: ContentParts = ContentParts { texts: false, delta: true };

    fn parse(event: &str) -> StreamEvent {
        StreamEvent::parse(Bytes::from(event.to_owned()), DELTA).1
    }

    fn chunk(id: &str, delta: &str, more: &str) -> String {
        format!(
            "data: {{\"id\":\"{id}\",\"choices\":[{{\"index\":0,\"delta\":{delta}{more}}}]}}\n\n"
        )
    }

    fn read_events(events: &[String]) -> StreamedText {
        let mut streamed_text = StreamedText::default();
        events.iter().for_each(|event| streamed_text.add_event(&parse(event)));
        streamed_text
    }

    const SAID: &str = r#"{"content":"Once upon a time there was"}"#;
    const ROLE: &str = r#"{"role":"assistant","content":""}"#;

    #[test]
    fn streamed_text_is_returned_only_for_unfinished_plain_text() {
        let (role, said) = (chunk("a", ROLE, ""), chunk("a", SAID, ""));
        assert_eq!(read_events(std::slice::from_ref(&role)).text(), None);
        let both = [role, ": ping\n\n".to_owned(), said];
        assert_eq!(read_events(&both).text(), Some("Once upon a time there was"));
        for spoiling in [
            chunk("a", r#"{"tool_calls":[{"index":0}]}"#, ""),
            chunk("a", r#"{"reasoning_content":"so"}"#, ""),
            chunk("a", "{}", r#","finish_reason":"stop""#),
            chunk("a", r#"{"content":"x"}"#, r#","logprobs":{"content":[]}"#),
            "data: [1]\n\n".to_owned(),
        ] {
            assert_eq!(read_events(&[&both[..], &[spoiling]].concat()).text(), None);
        }
    }

    #[track_caller]
    fn assert_spliced(events: &[String], expected: &[String]) {
        let said = read_events(&[chunk("a", SAID, "")]);
        let mut splicer = ContinuationSplicer::new(&said, ContentParts::default());
        let mut shown = VecDeque::new();
        events.iter().for_each(|event| splicer.splice(parse(event), &mut shown));
        let shown: Vec<u8> = shown.into_iter().flat_map(StreamEvent::into_bytes).collect();
        assert_eq!(String::from_utf8_lossy(&shown), expected.concat());
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
        let odd = chunk("b", r#"{"content":" there","\ud83d":1}"#, "");
        assert_spliced(
            &[held.clone(), odd.clone()],
            &[chunk("a", r#"{"content":"upon a time"}"#, ""), odd.replace("\"b\"", "\"a\"")],
        );
        let last = chunk("b", r#"{"content":" there"}"#, r#","finish_reason":"stop""#);
        let joined = chunk("a", r#"{"content":"upon a time there"}"#, r#","finish_reason":"stop""#);
        assert_spliced(&[held, last], &[joined]);
    }
}
