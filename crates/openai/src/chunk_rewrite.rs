//! Text that a chunk of a chat stream adds, and the chunk with another text.
//!
//! Only the chunks of a continuation are rewritten. Every other stream passes unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use json::{Edits, Members};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Additions of one chunk to an answer.
#[derive(Debug)]
pub struct Delta<'a> {
    data: &'a str,
    /// Id of the answer, as JSON.
    pub id: Option<&'a str>,
    /// Text added to the first choice; may be empty.
    pub text: Cow<'a, str>,
    /// The chunk adds text to the first choice, or nothing: no tool call, no reasoning, no log
    /// probabilities, no finish reason.
    pub is_plain: bool,
    /// The chunk has no choices: it concerns the whole answer, such as its usage.
    pub is_general: bool,
    /// Members of the delta except role and text, and the range of the delta.
    delta: Option<(Members<'a>, Range<usize>)>,
}

#[derive(Deserialize)]
struct DeltaData<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<Vec<DeltaChoice<'a>>>,
}

#[derive(Deserialize)]
struct DeltaChoice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

impl<'a> Delta<'a> {
    /// Parses the data of an event. `None` if it does not have the shape of a chunk.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let data = std::str::from_utf8(data).ok()?;
        // serde would accept an array as a list of the struct's fields.
        let object = Some(data).filter(|data| data.trim_start().starts_with('{'))?;
        let DeltaData { id, choices } = serde_json::from_str(object).ok()?;
        let id = id.map(RawValue::get).filter(|id| id.starts_with('"'));
        let mut read = Self {
            data,
            id,
            text: Cow::Borrowed(""),
            is_plain: true,
            is_general: true,
            delta: None,
        };
        for choice in choices.into_iter().flatten() {
            read.is_plain &= read.is_general && choice.index.unwrap_or_default() == 0;
            read.is_general = false;
            let others = [choice.message, choice.text, choice.logprobs, choice.finish_reason];
            read.is_plain &= others.into_iter().flatten().all(is_null);
            if let Some(delta) = choice.delta.filter(|_| read.delta.is_none()) {
                read.add_delta(delta);
            }
        }
        Some(read)
    }

    fn add_delta(&mut self, delta: &'a RawValue) {
        let Ok(Members(mut members)) = serde_json::from_str(delta.get()) else {
            self.is_plain &= is_null(delta);
            return;
        };
        members.retain(|(name, value)| match &**name {
            "role" => false,
            "content" => match parse_text(value) {
                Some(text) => {
                    self.text = text;
                    false
                }
                // A list of content parts instead of a string.
                None => !is_null(value),
            },
            _ => true,
        });
        self.is_plain &= members.iter().all(|(_, value)| is_null(value));
        let start = delta.get().as_ptr() as usize - self.data.as_ptr() as usize;
        self.delta = Some((Members(members), start..start + delta.get().len()));
    }

    /// Returns the data with another id and text and without the role. Clients that accumulate
    /// deltas would append a second role to the first one.
    pub fn rewrite(&self, id: Option<&str>, text: &str) -> String {
        let mut edits = Edits::default();
        if let (Some(old), Some(new)) = (self.id, id) {
            let start = old.as_ptr() as usize - self.data.as_ptr() as usize;
            edits.replace(start..start + old.len(), new);
        }
        if let Some((members, range)) = &self.delta {
            edits.replace(range.clone(), write_delta(members, text));
        }
        edits.apply_to_text(self.data)
    }
}

/// Writes a delta with a text and other members.
fn write_delta(members: &Members<'_>, text: &str) -> String {
    let mut object = String::from("{");
    if !text.is_empty() {
        object.push_str("\"content\":");
        object.push_str(&serde_json::to_string(text).expect("a string always serializes"));
    }
    for (name, value) in &members.0 {
        let comma = if object.len() > 1 { "," } else { "" };
        let name = serde_json::to_string(name).expect("a string always serializes");
        write!(object, "{comma}{name}:{}", value.get()).expect("a string accepts any write");
    }
    object.push('}');
    object
}

/// Parses a string; null is empty.
fn parse_text<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    if value.get() == "null" {
        return Some(Cow::Borrowed(""));
    }
    // `&str` cannot hold an escape; a string with escapes is decoded into an owned one.
    serde_json::from_str::<&str>(value.get())
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str::<String>(value.get()).map(Cow::Owned))
        .ok()
}

fn is_null(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use super::Delta;

    #[track_caller]
    fn assert_text(data: &str, text: &str, is_plain: bool) {
        let delta = Delta::parse(data.as_bytes()).expect("a chunk");
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
        assert!(Delta::parse(b"[]").is_none());
        assert!(Delta::parse(br#"{"choices":7}"#).is_none());
    }

    #[track_caller]
    fn assert_rewritten(data: &str, id: Option<&str>, text: &str, expected: &str) {
        let delta = Delta::parse(data.as_bytes()).expect("a chunk");
        assert_eq!(delta.rewrite(id, text), expected);
    }

    #[test]
    fn rewrite_changes_only_id_role_and_text() {
        assert_rewritten(
            r#"{"id": "b", "n":1.0, "choices":[{"delta": {"role":"assistant","content":"you"},"x":1}]}"#,
            Some(r#""a""#),
            "o\"u",
            r#"{"id": "a", "n":1.0, "choices":[{"delta": {"content":"o\"u"},"x":1}]}"#,
        );
        assert_rewritten(
            r#"{"choices":[{"delta":{"role":"x","tool_calls":[1]}}],"id":"b"}"#,
            Some(r#""a""#),
            "",
            r#"{"choices":[{"delta":{"tool_calls":[1]}}],"id":"a"}"#,
        );
        assert_rewritten(r#"{"id":"b","choices":[]}"#, None, "", r#"{"id":"b","choices":[]}"#);
    }
}
