//! Chunk of a streamed answer: reads only the members that steer the gateway.

use std::fmt;

use json::MemberName;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

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

/// Set of choices, by `index`. OpenAI allows 128 of them; higher indices are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceSet(u128);

impl ChoiceSet {
    /// Creates a set of one choice.
    pub fn single(index: u32) -> Self {
        Self(1u128.checked_shl(index).unwrap_or(0))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds the choices of another set.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether the set contains every choice of another set.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

impl Chunk {
    /// Parses the data of an event. `None` if it is not JSON.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        if let Ok(members) = serde_json::from_str::<ChunkMembers<'_>>(text) {
            return Some(Self {
                has_content: members.choices.has_content,
                text_size: members.choices.text_size,
                choices: members.choices.choices,
                finished_choices: members.choices.finished_choices,
                usage: members.usage.map(RawValue::get).and_then(Usage::parse),
                is_error: members.error.is_some_and(|error| error.get() != "null"),
            });
        }
        // JSON of another shape counts as content, so that it passes. All its text counts, since
        // text that is delivered is charged.
        serde_json::from_str::<IgnoredAny>(text).ok().map(|_| Self {
            has_content: true,
            text_size: TextSize::measure_json(text),
            choices: ChoiceSet::single(0),
            ..Self::default()
        })
    }
}

#[derive(Deserialize)]
struct ChunkMembers<'a> {
    #[serde(default)]
    choices: Choices,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Sum over all choices of a chunk (`delta`), an answer (`message`), or a completion (`text`).
#[derive(Default)]
pub(crate) struct Choices {
    pub(crate) count: usize,
    pub(crate) has_content: bool,
    pub(crate) text_size: TextSize,
    pub(crate) choices: ChoiceSet,
    pub(crate) finished_choices: ChoiceSet,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

impl Choices {
    fn add(&mut self, choice: &ChunkChoice<'_>) {
        self.count += 1;
        let before = self.text_size;
        for part in [choice.delta, choice.message, choice.text].into_iter().flatten() {
            self.text_size += part_text_size(part.get());
        }
        self.has_content |= self.text_size != before;
        self.choices.insert(ChoiceSet::single(choice.index));
        if choice.finish_reason.is_some_and(|reason| !matches!(reason.get(), "null" | "\"\"")) {
            self.finished_choices.insert(ChoiceSet::single(choice.index));
        }
    }
}

/// Measures a text, or the members of a message except the role and the name.
fn part_text_size(part: &str) -> TextSize {
    match part.starts_with('{').then(|| serde_json::from_str::<MessageSize>(part)) {
        Some(Ok(MessageSize(size))) => size,
        // A plain text, or an object with names that are not valid text: all of it counts.
        Some(Err(_)) | None => TextSize::measure_json(part),
    }
}

struct MessageSize(TextSize);

impl<'de> Deserialize<'de> for MessageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = MessageSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<MessageSize, A::Error> {
                let mut size = TextSize::default();
                while let Some(MemberName(name)) = members.next_key::<MemberName<'de>>()? {
                    let value: &RawValue = members.next_value()?;
                    if name != "role" && name != "name" {
                        size += TextSize::measure_json(value.get());
                    }
                }
                Ok(MessageSize(size))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_unit<E>(self) -> Result<Choices, E> {
                Ok(Choices::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Choices, A::Error> {
                let mut choices = Choices::default();
                while let Some(choice) = items.next_element::<ChunkChoice<'de>>()? {
                    choices.add(&choice);
                }
                Ok(choices)
            }
        }
        deserializer.deserialize_any(List)
    }
}

#[cfg(test)]
mod tests {
    use super::{ChoiceSet, Chunk};
    use crate::{TextSize, Usage};

    /// Chunk of choice 0 without content.
    const PLAIN: Chunk = Chunk {
        has_content: false,
        text_size: TextSize { narrow: 0, wide: 0 },
        choices: ChoiceSet(1),
        finished_choices: ChoiceSet(0),
        usage: None,
        is_error: false,
    };

    #[track_caller]
    fn assert_chunk(data: &str, expected: Chunk) {
        assert_eq!(Chunk::parse(data.as_bytes()), Some(expected), "{data}");
    }

    #[test]
    fn chunk_members_that_steer_are_read() {
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        assert_chunk(role, PLAIN);
        assert_chunk(
            r#"{"choices":[{"delta":{"role":"assistant","name":"MM","content":null,"tool_calls":[]}}]}"#,
            PLAIN,
        );
        let text = |narrow, wide| Chunk {
            has_content: true,
            text_size: TextSize { narrow, wide },
            ..PLAIN
        };
        assert_chunk(r#"{"choices":[{"delta":{"content":"Hello"}}],"usage":null}"#, text(5, 0));
        assert_chunk(r#"{"choices":[{"delta":{"reasoning_content":"想"}}]}"#, text(0, 1));
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_chunk(call, text(3, 0));
        assert_chunk(r#"{"choices":[{"text":"ab"},{"text":"c"}]}"#, text(3, 0));
        assert_chunk(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            Chunk { finished_choices: ChoiceSet(1), ..PLAIN },
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
        assert_eq!(
            (chunk.choices, chunk.finished_choices),
            (ChoiceSet(2 | 1 << 127), ChoiceSet(1 << 127))
        );
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
        assert_chunk(&deep, PLAIN);
        let size = TextSize::measure("soon");
        assert_chunk(
            r#"{"choices":"soon"}"#,
            Chunk { has_content: true, text_size: size, ..PLAIN },
        );
    }
}
