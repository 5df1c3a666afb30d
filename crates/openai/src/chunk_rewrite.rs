//! Event of a chat stream with another id and another text.
//!
//! Only the events of a continuation are rewritten. Every other stream passes unchanged.

use std::fmt::Write as _;

use json::{Edits, Members};
use serde_json::value::RawValue;

use crate::choices::{Choice, ContentSink, Part};
use crate::chunk::Chunk;
use crate::delta::{is_empty_value, parse_text};
use crate::sse::Event;

/// Returns an event with another id and text and without the role. Clients that accumulate deltas
/// would append a second role to the first one. `None` if the data of the event is no chunk.
pub(crate) fn rewrite_event(event: &[u8], id: Option<&str>, text: &str) -> Option<Vec<u8>> {
    let data = Event::parse(event).data?;
    let data = rewrite_chunk(str::from_utf8(&data).ok()?, id, text)?;
    let mut rewritten = Vec::with_capacity(data.len() + b"data: \n\n".len());
    // Data of several lines is JSON with line breaks between its parts, which no string holds.
    for line in data.lines() {
        rewritten.extend_from_slice(b"data: ");
        rewritten.extend_from_slice(line.as_bytes());
        rewritten.push(b'\n');
    }
    rewritten.push(b'\n');
    Some(rewritten)
}

fn rewrite_chunk(data: &str, id: Option<&str>, text: &str) -> Option<String> {
    let mut parts = RewrittenParts::default();
    Chunk::parse_object(data.trim_ascii(), Some(&mut parts)).ok()?;
    let mut edits = Edits::default();
    let old_id = parts.id.filter(|id| id.starts_with('"'));
    if let (Some(old), Some(new)) = (old_id, id) {
        edits.replace(json::range_in(data, old), new);
    }
    if let Some(delta) = parts.first_delta
        && let Ok(members) = serde_json::from_str(delta)
    {
        edits.replace(json::range_in(data, delta), write_delta(members, text));
    }
    Some(edits.apply_to_text(data))
}

/// Parts of a chunk that are rewritten, as JSON.
#[derive(Default)]
struct RewrittenParts<'a> {
    id: Option<&'a str>,
    first_delta: Option<&'a str>,
}

impl<'a> ContentSink<'a> for RewrittenParts<'a> {
    fn id(&mut self, id: &'a RawValue) {
        self.id = Some(id.get());
    }

    fn choice(&mut self, choice: &Choice<'a>) {
        self.first_delta = self.first_delta.or(choice.delta.map(RawValue::get));
    }

    fn member(&mut self, _: &Choice<'a>, _: Part, _: &str, _: &'a RawValue) {}
    fn value(&mut self, _: &Choice<'a>, _: Part, _: &'a RawValue) {}
}

/// Writes a delta with a text, and the members that are neither role nor text.
fn write_delta(members: Members<'_>, text: &str) -> String {
    let mut object = String::from("{");
    if !text.is_empty() {
        object.push_str("\"content\":");
        object.push_str(&serde_json::to_string(text).expect("a string always serializes"));
    }
    for (name, value) in members.0 {
        let is_replaced = match &*name {
            "role" => true,
            "content" => parse_text(value).is_some() || is_empty_value(value),
            _ => false,
        };
        if is_replaced {
            continue;
        }
        let comma = if object.len() > 1 { "," } else { "" };
        let name = serde_json::to_string(&name).expect("a string always serializes");
        write!(object, "{comma}{name}:{}", value.get()).expect("a string accepts any write");
    }
    object.push('}');
    object
}

#[cfg(test)]
mod tests {
    use super::{rewrite_chunk, rewrite_event};

    #[track_caller]
    fn assert_rewritten(data: &str, id: Option<&str>, text: &str, expected: &str) {
        assert_eq!(rewrite_chunk(data, id, text).as_deref(), Some(expected));
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

    #[test]
    fn data_with_a_form_feed_is_rewritten() {
        let event = b"data:  \x0c{\"id\":\"b\",\"choices\":[]} \x0c\n\n";
        let rewritten = rewrite_event(event, Some("\"a\""), "").expect("a chunk");
        assert_eq!(rewritten, b"data:  \x0c{\"id\":\"a\",\"choices\":[]} \x0c\n\n");
    }

    #[test]
    fn data_of_several_lines_stays_on_several_lines() {
        let event = b"event: x\ndata: {\"id\":\"b\",\ndata: \"choices\":[]}\n\n";
        let rewritten = rewrite_event(event, Some("\"a\""), "").expect("a chunk");
        assert_eq!(rewritten, b"data: {\"id\":\"a\",\ndata: \"choices\":[]}\n\n");
        assert_eq!(rewrite_event(b"data: [DONE]\n\n", None, ""), None);
    }
}
