//! Addition of a chunk to the first choice of a stream.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::choices::{Choice, ContentSink, Part};

/// Addition of one chunk to an answer with one choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Id of the answer, as JSON.
    pub id: Option<Bytes>,
    /// Text added to the first choice; may be empty.
    pub text: String,
    /// The chunk adds text to the first choice, or nothing: no tool call, no reasoning, no log
    /// probabilities, no finish reason.
    pub is_plain: bool,
    /// The chunk has no choices: it concerns the whole answer, such as its usage.
    pub is_general: bool,
    /// The event has a name.
    pub is_named: bool,
}

/// Collects the addition while a chunk is parsed.
#[derive(Debug, Default)]
pub(crate) struct DeltaCollector<'a> {
    id: Option<&'a str>,
    text: String,
    choices: usize,
    deltas: usize,
    has_other_content: bool,
}

impl DeltaCollector<'_> {
    /// Returns the addition; `own` makes a copy of the id.
    pub(crate) fn finish(self, is_named: bool, own: impl FnOnce(&str) -> Bytes) -> Delta {
        Delta {
            id: self.id.map(own),
            text: self.text,
            is_plain: !self.has_other_content,
            is_general: self.choices == 0,
            is_named,
        }
    }
}

impl<'a> ContentSink<'a> for DeltaCollector<'a> {
    fn id(&mut self, id: &'a RawValue) {
        self.id = Some(id.get()).filter(|id| id.starts_with('"'));
    }

    fn choice(&mut self, choice: &Choice<'a>) {
        self.has_other_content |= self.choices > 0 || choice.index.0 != 0;
        self.choices += 1;
        self.deltas += usize::from(choice.delta.is_some());
        let others = [choice.message, choice.text, choice.logprobs, choice.finish_reason];
        self.has_other_content |= !others.into_iter().flatten().all(is_empty_value);
    }

    fn member(&mut self, _: &Choice<'a>, part: Part, name: &str, value: &'a RawValue) {
        if part != Part::Delta || self.deltas > 1 || name == "role" {
            return;
        }
        // `content` may be a list of content parts instead of a string.
        match (name == "content").then(|| parse_text(value)).flatten() {
            Some(text) => self.text = text.into_owned(),
            None => self.has_other_content |= !is_empty_value(value),
        }
    }

    fn value(&mut self, _: &Choice<'a>, part: Part, value: &'a RawValue) {
        if part == Part::Delta && self.deltas <= 1 {
            // The text of an object whose members cannot be read to its end cannot be rewritten.
            self.text.clear();
            self.has_other_content |= !is_empty_value(value);
        }
    }
}

/// Parses a string; null is empty.
pub(crate) fn parse_text<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    if value.get() == "null" {
        return Some(Cow::Borrowed(""));
    }
    // `&str` cannot hold an escape; a string with escapes is decoded into an owned one.
    serde_json::from_str::<&str>(value.get())
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str::<String>(value.get()).map(Cow::Owned))
        .ok()
}

/// Whether a value adds nothing: null, or an empty string, list, or object.
pub(crate) fn is_empty_value(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::{ContentParts, Delta, StreamEvent};

    fn parse(data: &str) -> Option<Delta> {
        let event = Bytes::from(format!("data: {data}\n\n"));
        let parts = ContentParts { delta: true, ..ContentParts::default() };
        StreamEvent::parse(event, parts).1.delta().cloned()
    }

    #[track_caller]
    fn assert_text(data: &str, text: &str, is_plain: bool) {
        let delta = parse(data).expect("a chunk");
        assert_eq!((&*delta.text, delta.is_plain), (text, is_plain), "{data}");
    }

    #[test]
    fn delta_of_plain_text_is_distinguished() {
        let choice = |inside: &str| format!(r#"{{"choices":[{{{inside}}}]}}"#);
        assert_text(&choice(r#""index":0,"delta":{"content":"a\nb"}"#), "a\nb", true);
        assert_text(
            &choice(r#""delta":{"role":"assistant","content":"","refusal":null}"#),
            "",
            true,
        );
        assert_text(
            &choice(r#""delta":{"content":null,"tool_calls":[]},"logprobs":null"#),
            "",
            true,
        );
        assert_text(r#"{"choices":[],"usage":{}}"#, "", true);
        for other in [
            r#""index":1,"delta":{"content":"x"}"#,
            r#""delta":{"content":"x"},"finish_reason":"stop""#,
            r#""delta":{"content":"x"},"logprobs":{"content":[]}"#,
            r#""delta":{"content":"x","tool_calls":[{"index":0}]}"#,
            r#""delta":{"content":"x","reasoning_content":"so"}"#,
            r#""delta":{"content":"x","audio":{"id":"a"}}"#,
            r#""delta":{"content":"x"}},{"index":1,"delta":{}"#,
        ] {
            assert_text(&choice(other), "x", false);
        }
        assert_text(&choice(r#""delta":{"content":[{"type":"text"}]}"#), "", false);
        assert_text(&choice(r#""text":"x""#), "", false);
        assert_text(&choice(r#""delta":"x""#), "", false);
        assert_eq!(parse("[]"), None);
        assert_eq!(parse(r#"{"choices":7}"#), None);
    }

    #[test]
    fn delta_with_an_unreadable_name_has_no_text() {
        assert_text(r#"{"choices":[{"delta":{"content":"x","\ud83d":1}}]}"#, "", false);
    }

    #[test]
    fn id_is_kept_as_json() {
        let id = |data: &str| parse(data).expect("a chunk").id;
        assert_eq!(id(r#"{"id":"a\n","choices":[]}"#).as_deref(), Some(br#""a\n""#.as_slice()));
        assert_eq!(id(r#"{"id":7,"choices":[]}"#), None);
        assert_eq!(id("{\ndata: \"id\":\"b\"}").as_deref(), Some(br#""b""#.as_slice()));
    }
}
