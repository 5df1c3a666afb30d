//! Event of a stream, parsed once for all layers that read its content.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::choices::Sink;
use crate::chunk::Chunk;
use crate::chunk_rewrite::rewrite_event;
use crate::delta::{Delta, DeltaCollector};
use crate::sse::Event;
use crate::texts::{AnswerTexts, TextCollector, Unreadable, texts_in_other_json};

/// Summary of one event, for the reader of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum EventSummary {
    /// No data: a comment or a blank line.
    Comment,
    /// Data without a character, or JSON that is neither an object nor has text: `null`, `[]`, `1`.
    Empty,
    /// `[DONE]`
    Done,
    /// An error object, or an event with the name `error`.
    Error,
    /// A chunk, or other JSON.
    Chunk(Chunk),
    /// A chunk that ends the stream; Chat has none.
    Last(Chunk),
    /// Not JSON.
    Malformed,
}

/// Event of a stream with the content that was requested from [`StreamEvent::parse`].
#[derive(Debug)]
pub struct StreamEvent {
    bytes: Bytes,
    content: EventContent,
}

/// Content of an event.
#[derive(Debug)]
pub enum EventContent {
    /// No content was parsed. There may be several events.
    Unparsed,
    /// A comment or a blank line.
    Comment,
    /// Data without content, such as `[DONE]`.
    Other,
    /// Content of a chunk.
    Chunk(Box<ChunkContent>),
}

/// Requested parts of the content of a chunk.
#[derive(Debug)]
pub struct ChunkContent {
    /// Texts with their ranges in the event; `None` if not requested.
    pub texts: Option<Result<AnswerTexts<'static>, Unreadable>>,
    /// Addition to the first choice; `None` if not requested, or for JSON of another shape.
    pub delta: Option<Delta>,
    /// The event with its data on one line, if it has several. The ranges refer to it.
    single_line: Option<Bytes>,
}

/// Parts of the content to parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentParts {
    /// All texts, for guards and transcripts.
    pub texts: bool,
    /// The addition to the first choice, for a continuation.
    pub delta: bool,
}

impl ContentParts {
    /// Whether no part is requested.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl EventSummary {
    /// Parses one whole event.
    pub fn parse(bytes: &[u8]) -> Self {
        let event = Event::parse(bytes);
        match &event.data {
            Some(data) => summarize(event.name, data, None).0.placed_in(bytes, data),
            None => Self::Comment,
        }
    }

    /// Turns a place in the trimmed data into one in the event. There is none if the data was joined from
    /// several lines, and so is no part of the event.
    fn placed_in(mut self, event: &[u8], data: &[u8]) -> Self {
        if let Self::Chunk(Chunk { null_usage, .. }) = &mut self {
            let data = data.trim_ascii();
            let is_part = event.as_ptr_range().contains(&data.as_ptr());
            let offset = (data.as_ptr() as usize).wrapping_sub(event.as_ptr() as usize);
            *null_usage =
                null_usage.take().filter(|_| is_part).map(|at| offset + at.start..offset + at.end);
        }
        self
    }
}

/// Parses the data of an event, and passes its content to a sink. Returns whether it is a chunk too,
/// and not other JSON.
fn summarize<'a>(name: Option<&[u8]>, data: &'a [u8], sink: Sink<'_, 'a>) -> (EventSummary, bool) {
    let data = data.trim_ascii();
    if data.is_empty() {
        return (EventSummary::Empty, false);
    }
    if data == b"[DONE]" {
        return (EventSummary::Done, false);
    }
    let Ok(text) = str::from_utf8(data) else { return (EventSummary::Malformed, false) };
    let (chunk, is_chunk) = match Chunk::parse_object(text, sink) {
        Ok(chunk) => (chunk, true),
        Err(_) => match Chunk::from_other_json(text) {
            Some(chunk) => (chunk, false),
            None => return (EventSummary::Malformed, false),
        },
    };
    if chunk.is_error || name == Some(b"error") {
        return (EventSummary::Error, false);
    }
    if !text.starts_with('{') && chunk.text_size.is_empty() {
        return (EventSummary::Empty, false);
    }
    (EventSummary::Chunk(chunk), is_chunk)
}

impl StreamEvent {
    /// Creates an event, or several, whose content no layer reads.
    pub fn unparsed(bytes: Bytes) -> Self {
        Self { bytes, content: EventContent::Unparsed }
    }

    /// Creates an event without content.
    pub fn without_content(bytes: Bytes) -> Self {
        Self { bytes, content: EventContent::Other }
    }

    /// Creates an event of a chunk with these texts.
    pub fn with_texts(bytes: Bytes, texts: AnswerTexts<'static>) -> Self {
        let content = ChunkContent { texts: Some(Ok(texts)), delta: None, single_line: None };
        Self { bytes, content: EventContent::Chunk(Box::new(content)) }
    }

    /// Parses one whole event.
    pub fn parse(bytes: Bytes, parts: ContentParts) -> (EventSummary, Self) {
        let event = Event::parse(&bytes);
        let Some(data) = &event.data else {
            return (EventSummary::Comment, Self { bytes, content: EventContent::Comment });
        };
        let trimmed = str::from_utf8(data.trim_ascii()).unwrap_or_default();
        let mut sink = (
            parts.texts.then(|| TextCollector::new(trimmed)),
            parts.delta.then(DeltaCollector::default),
        );
        let (summary, is_chunk) = summarize(event.name, data, Some(&mut sink));
        let summary = summary.placed_in(&bytes, data);
        if !matches!(summary, EventSummary::Chunk(_)) {
            return (summary, Self { bytes, content: EventContent::Other });
        }
        let single_line = match data {
            Cow::Borrowed(_) => None,
            Cow::Owned(lines) => Some(single_line(lines)),
        };
        // Start of the JSON in the event, or in its form with a single line.
        let offset = match &single_line {
            Some(_) => DATA.len() + offset_in(data, trimmed),
            None => offset_in(&bytes, trimmed),
        };
        let texts = sink.0.map(|texts| {
            let texts = if is_chunk { texts.finish() } else { texts_in_other_json(trimmed) };
            texts.map(|texts| texts.into_owned(offset))
        });
        let delta = sink.1.filter(|_| is_chunk);
        let delta = delta.map(|delta| {
            delta.finish(event.name.is_some(), |id| match data {
                Cow::Borrowed(_) => bytes.slice_ref(id.as_bytes()),
                Cow::Owned(_) => Bytes::copy_from_slice(id.as_bytes()),
            })
        });
        let content = EventContent::Chunk(Box::new(ChunkContent { texts, delta, single_line }));
        (summary, Self { bytes, content })
    }

    /// The whole event with its blank line, as it was received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the bytes of the event.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the event without a `usage` of null, by the place of its value.
    pub fn without_null_usage(mut self, value: Range<usize>) -> Self {
        let Some(member) = usage_member(&self.bytes, value) else { return self };
        self.bytes = [&self.bytes[..member.start], &self.bytes[member.end..]].concat().into();
        if let EventContent::Chunk(content) = &mut self.content
            && let Some(Ok(texts)) = &mut content.texts
        {
            let ranges = texts.texts.iter_mut().map(|field| &mut field.at);
            for range in ranges.chain(&mut texts.logprobs).filter(|it| it.start >= member.end) {
                *range = range.start - member.len()..range.end - member.len();
            }
        }
        self
    }

    /// The content.
    pub fn content(&self) -> &EventContent {
        &self.content
    }

    /// The addition to the first choice, if it was parsed.
    pub fn delta(&self) -> Option<&Delta> {
        match &self.content {
            EventContent::Chunk(content) => content.delta.as_ref(),
            EventContent::Unparsed | EventContent::Comment | EventContent::Other => None,
        }
    }

    /// Returns the event, and its texts with their ranges in it. Data of several lines becomes one
    /// line, joined by spaces, which separate JSON tokens like line endings.
    pub fn into_editable(self) -> (Bytes, Result<AnswerTexts<'static>, Unreadable>) {
        match self.content {
            EventContent::Unparsed => (self.bytes, Err(Unreadable)),
            EventContent::Comment | EventContent::Other => (self.bytes, Ok(AnswerTexts::default())),
            EventContent::Chunk(content) => {
                let ChunkContent { texts, single_line, .. } = *content;
                (single_line.unwrap_or(self.bytes), texts.unwrap_or(Err(Unreadable)))
            }
        }
    }

    /// Returns the event with another id, which is JSON, and another text of its first choice.
    /// `None` if the event is no chunk.
    pub fn rewrite(&self, id: Option<&str>, text: &str, parts: ContentParts) -> Option<Self> {
        let rewritten = rewrite_event(&self.bytes, id, text)?;
        Some(Self::parse(rewritten.into(), parts).1)
    }
}

/// Returns the place of a `usage` with one comma beside it, by the place of its value. `None` if its name
/// has an escape.
pub fn usage_member(bytes: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    let before = bytes[..value.start].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = before.strip_suffix(b"\"usage\"")?;
    if let Some(others) = before.trim_ascii_end().strip_suffix(b",") {
        return Some(others.len()..value.end);
    }
    let behind = bytes[value.end..].trim_ascii_start();
    let end = match behind.strip_prefix(b",") {
        Some(others) => bytes.len() - others.len(),
        None => value.end,
    };
    Some(before.len()..end)
}

/// Beginning of a line with data.
const DATA: &[u8] = b"data: ";

/// Returns the position of a part in the bytes from which it borrows.
fn offset_in(whole: &[u8], part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Returns an event with the joined lines of another event as one line.
fn single_line(lines: &[u8]) -> Bytes {
    let mut bytes = [DATA, lines, b"\n\n"].concat();
    let end = bytes.len() - b"\n\n".len();
    bytes[..end].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    bytes.into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{ContentParts, EventContent, EventSummary, StreamEvent};
    use crate::Unreadable;

    const TEXTS: ContentParts = ContentParts { texts: true, delta: false };

    fn parse(event: &str) -> (EventSummary, StreamEvent) {
        let (summary, parsed) = StreamEvent::parse(Bytes::from(event.to_owned()), TEXTS);
        assert_eq!(summary, EventSummary::parse(event.as_bytes()), "{event}");
        assert_eq!(parsed.bytes(), event);
        (summary, parsed)
    }

    /// Asserts that each text stands in its range of the editable event.
    #[track_caller]
    fn assert_texts(event: &str, expected: &[&str]) {
        let (bytes, texts) = parse(event).1.into_editable();
        let texts = texts.expect("readable").texts;
        assert_eq!(texts.iter().map(|field| &*field.text).collect::<Vec<_>>(), expected);
        for field in texts {
            let json = &bytes[field.at.clone()];
            assert_eq!(serde_json::from_slice::<String>(json).expect("a string"), field.text);
        }
    }

    #[test]
    fn texts_have_ranges_in_the_event() {
        assert_texts("data: {\"choices\":[{\"delta\":{\"content\":\"a\\n\"}}]}\n\n", &["a\n"]);
        assert_texts(
            "\u{feff}event: x\r\ndata:  {\"choices\":[{\"text\":\"b\"},{\"text\":\"\"}]} \r\n\r\n",
            &["b"],
        );
        assert_texts("data:  {\"choices\":\ndata: [{\"delta\":{\"content\":\"é\"}}]}\n\n", &["é"]);
        assert_texts("data: {\"object\":\"x\"}\n\n", &[]);
        assert_texts("data: [1, \"x\"]\n\n", &["x"]);
        assert_texts("data: \"x\"\n\n", &["x"]);
        assert_texts("data: 7\n\n", &[]);
        assert_texts("data: [DONE]\n\n", &[]);
        assert_texts(": ping\n\n", &[]);
    }

    #[test]
    fn chunk_of_another_shape_has_all_its_texts() {
        assert_texts("data: {\"choices\":[7,\"x\"]}\n\n", &["x"]);
        assert_texts(
            "data: {\"choices\":[{\"index\":\"0\",\ndata: \"delta\":{\"content\":\"x\"}}]}\n\n",
            &["x"],
        );
        let event = &format!("data: {}\"x\"{}\n\n", "[".repeat(40), "]".repeat(40));
        assert_eq!(parse(event).1.into_editable().1, Err(Unreadable));
        let unparsed = StreamEvent::unparsed(Bytes::from_static(b"data: {}\n\n"));
        assert_eq!(unparsed.into_editable().1, Err(Unreadable));
        let (_, without) = StreamEvent::parse(event.clone().into(), ContentParts::default());
        assert_eq!(without.into_editable().1, Err(Unreadable));
    }

    #[test]
    fn events_are_classified() {
        assert!(matches!(parse(": ping\n\n").1.content(), EventContent::Comment));
        for (event, expected) in [
            ("data:\n\n", EventSummary::Empty),
            ("data: null\n\n", EventSummary::Empty),
            ("data: []\n\n", EventSummary::Empty),
            ("data: 1\n\n", EventSummary::Empty),
            ("data: [DONE]\n\n", EventSummary::Done),
            ("data: {\"error\":{}}\n\n", EventSummary::Error),
            ("event: error\ndata: {}\n\n", EventSummary::Error),
            ("data: {\"choices\":[{\n\n", EventSummary::Malformed),
        ] {
            let (summary, parsed) = parse(event);
            assert_eq!(summary, expected);
            assert!(matches!(parsed.content(), EventContent::Other), "{event}");
        }
        assert!(matches!(parse("data: {}\n\n").0, EventSummary::Chunk(_)));
    }

    #[test]
    fn null_usage_is_found_and_cut() {
        let content = "\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[]}}]";
        for (data, expected) in [
            (format!("{{{content},\"usage\":null}}"), Some(format!("{{{content}}}"))),
            (format!("{{\"usage\" : null , {content}}}"), Some(format!("{{ {content}}}"))),
            (
                format!("{{\"id\":1,\"usage\":null,{content}}}"),
                Some(format!("{{\"id\":1,{content}}}")),
            ),
            ("{\"usage\":null}".to_owned(), Some("{}".to_owned())),
            // Another member, another value, another level, a name with an escape, or several lines.
            ("{\"id\":null}".to_owned(), None),
            ("{\"usage\":{\"prompt_tokens\":1}}".to_owned(), None),
            ("{\"choices\":[{\"delta\":{},\"usage\":null}]}".to_owned(), None),
            ("{\"\\u0075sage\":null}".to_owned(), Some("{\"\\u0075sage\":null}".to_owned())),
            ("{\"id\":1,\ndata: \"usage\":null}".to_owned(), None),
        ] {
            let event = format!("event: x\r\ndata:  {data}\r\n\r\n");
            let EventSummary::Chunk(chunk) = parse(&event).0 else { panic!("{event}") };
            let cut = chunk.null_usage.map(|value| {
                assert_eq!(&event[value.clone()], "null");
                parse(&event).1.without_null_usage(value)
            });
            let Some(cut) = cut else {
                assert_eq!(None, expected, "{event}");
                continue;
            };
            let bytes = String::from_utf8(cut.bytes().to_vec()).expect("text");
            let shown =
                bytes.strip_prefix("event: x\r\ndata:  ").expect("the fields stay").trim_end();
            assert_eq!(Some(shown), expected.as_deref());
            let (_, again) = parse(&bytes);
            assert_eq!(
                cut.into_editable().1,
                again.into_editable().1,
                "ranges are those of the new bytes"
            );
        }
    }
}
