//! Chunk of a streamed answer: reads only the members that steer the gateway.

use std::fmt;

use json::MemberName;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::choices::{ChoiceSet, Choices, ChoicesSeed, ContentSink};
use crate::text_size::TextSize;
use crate::usage::Usage;

/// Content of the `data` of one event. Unknown members are skipped and members of a wrong type are
/// no error: a new upstream feature must not end a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk holds content to show: text, reasoning, a tool call, a refusal. A role alone is
    /// not content.
    pub has_content: bool,
    /// Size of that content.
    pub text_size: TextSize,
    /// Choices in the chunk.
    pub choices: ChoiceSet,
    /// Choices that finish with the chunk.
    pub finished_choices: ChoiceSet,
    /// Usage reported by the provider.
    pub usage: Option<Usage>,
    /// The chunk is an error object.
    pub is_error: bool,
}

impl Chunk {
    /// Parses the data of an event. `None` if it is not JSON.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        match ChunkMembers::parse(text, &mut ()) {
            Ok(members) => Some(Self::from_members(&members)),
            Err(_) => Self::from_other_json(text),
        }
    }

    pub(crate) fn from_members(members: &ChunkMembers<'_>) -> Self {
        Self {
            has_content: members.choices.has_content,
            text_size: members.choices.text_size,
            choices: members.choices.choices,
            finished_choices: members.choices.finished_choices,
            usage: members.usage.map(RawValue::get).and_then(Usage::parse),
            is_error: members.error.is_some_and(|error| error.get() != "null"),
        }
    }

    /// Describes data that is not a chunk. `None` if it is not JSON.
    ///
    /// JSON of another shape counts as content, so that it passes. All its text counts, since text
    /// that is delivered is charged.
    pub(crate) fn from_other_json(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok().map(|_| Self {
            has_content: true,
            text_size: TextSize::measure_json(text),
            choices: ChoiceSet::single(0),
            ..Self::default()
        })
    }
}

/// Members of a chunk.
#[derive(Default)]
pub(crate) struct ChunkMembers<'a> {
    choices: Choices,
    usage: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    /// `id`, as JSON.
    pub id: Option<&'a RawValue>,
}

impl<'a> ChunkMembers<'a> {
    /// Parses an object, and passes the content of its choices to a sink.
    pub(crate) fn parse(
        object: &'a str,
        sink: &mut impl ContentSink<'a>,
    ) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let members = deserializer.deserialize_map(ChunkVisitor(sink))?;
        deserializer.end().map(|()| members)
    }
}

struct ChunkVisitor<'s, S>(&'s mut S);

impl<'de, S: ContentSink<'de>> Visitor<'de> for ChunkVisitor<'_, S> {
    type Value = ChunkMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chunk")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = ChunkMembers::default();
        let mut choices = None;
        while let Some(MemberName(name)) = map.next_key::<MemberName<'de>>()? {
            let raw = match &*name {
                "choices" if choices.is_none() => {
                    choices = Some(map.next_value_seed(ChoicesSeed(&mut *self.0))?);
                    continue;
                }
                "choices" => return Err(A::Error::duplicate_field("choices")),
                "usage" => &mut members.usage,
                "error" => &mut members.error,
                "id" => &mut members.id,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if raw.is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
            *raw = map.next_value()?;
        }
        members.choices = choices.unwrap_or_default();
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::Chunk;
    use crate::choices::ChoiceSet;
    use crate::{TextSize, Usage};

    /// Chunk of choice 0 without content.
    fn plain() -> Chunk {
        Chunk { choices: ChoiceSet::single(0), ..Chunk::default() }
    }

    #[track_caller]
    fn assert_chunk(data: &str, expected: Chunk) {
        assert_eq!(Chunk::parse(data.as_bytes()), Some(expected), "{data}");
    }

    #[test]
    fn chunk_members_that_steer_are_read() {
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        assert_chunk(role, plain());
        assert_chunk(
            r#"{"choices":[{"delta":{"role":"assistant","name":"MM","content":null,"tool_calls":[]}}]}"#,
            plain(),
        );
        let text = |narrow, wide| Chunk {
            has_content: true,
            text_size: TextSize { narrow, wide },
            ..plain()
        };
        assert_chunk(r#"{"choices":[{"delta":{"content":"Hello"}}],"usage":null}"#, text(5, 0));
        assert_chunk(r#"{"choices":[{"delta":{"reasoning_content":"想"}}]}"#, text(0, 1));
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_chunk(call, text(3, 0));
        assert_chunk(r#"{"choices":[{"text":"ab"},{"text":"c"}]}"#, text(3, 0));
        assert_chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            Chunk { finished_choices: ChoiceSet::single(0), ..plain() },
        );
        let usage = Some(Usage { input: 3, output: 2, ..Usage::default() });
        let usage = Chunk { usage, ..Chunk::default() };
        assert_chunk(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, usage);
        assert_chunk(
            r#"{"error":{"message":"overloaded"}}"#,
            Chunk { is_error: true, ..Chunk::default() },
        );
        assert_eq!(Chunk::parse(b"{\"choices\":["), None);
        assert_eq!(Chunk::parse(b"\xff"), None);
    }

    #[test]
    fn choices_are_distinguished_by_index() {
        let two = r#"{"choices":[{"index":1,"delta":{"content":"a"}},{"index":127,"finish_reason":"stop"}]}"#;
        let chunk = Chunk::parse(two.as_bytes()).expect("a chunk");
        let mut both = ChoiceSet::single(1);
        both.insert(ChoiceSet::single(127));
        assert_eq!((chunk.choices, chunk.finished_choices), (both, ChoiceSet::single(127)));
        assert!(
            chunk.choices.covers(chunk.finished_choices)
                && !chunk.finished_choices.covers(chunk.choices)
        );
        assert!(ChoiceSet::single(128).is_empty());
    }

    #[test]
    fn odd_text_keeps_other_members_readable() {
        let half = r#"{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;
        let chunk = Chunk::parse(half.as_bytes()).expect("a chunk");
        assert!(chunk.has_content && !chunk.finished_choices.is_empty() && chunk.usage.is_some());
        let deep = format!(
            r#"{{"choices":[{{"delta":{{"x":{}{}}}}}]}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_chunk(&deep, plain());
        let size = TextSize::measure("soon");
        assert_chunk(
            r#"{"choices":"soon"}"#,
            Chunk { has_content: true, text_size: size, ..plain() },
        );
    }
}
