//! One chunk of a streamed answer, read for what steers the gateway and nothing else.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::text::{Weigh, Weight};
use crate::usage::Usage;

/// What the `data` of one event says. Unknown members are passed over, wrong ones are not an error:
/// an upstream's novelty must not end a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// It holds something to show: text, reasoning, a tool call, a refusal. A role alone is not that.
    pub has_content: bool,
    /// How much text that is.
    pub weight: Weight,
    /// A choice ended.
    pub finished: bool,
    /// There are no choices in it.
    pub choiceless: bool,
    /// The usage it reports.
    pub usage: Option<Usage>,
    /// It is an error instead of a chunk.
    pub is_error: bool,
}

impl Chunk {
    /// Reads an event's data. `None`: it is not JSON.
    pub fn read(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        if let Ok(members) = serde_json::from_str::<Members<'_>>(text) {
            return Some(Self {
                has_content: members.choices.has_content,
                weight: members.choices.weight,
                finished: members.choices.finished,
                choiceless: members.choices.count == 0,
                usage: members.usage.map(RawValue::get).and_then(Usage::read),
                is_error: members.error.is_some_and(|error| error.get() != "null"),
            });
        }
        // JSON of another shape is the upstream's affair; it counts as content, so that it is shown.
        serde_json::from_str::<IgnoredAny>(text)
            .ok()
            .map(|_| Self { has_content: true, ..Self::default() })
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(default)]
    choices: Choices,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The sum over all choices, of a chunk (`delta`), an answer (`message`) or a completion (`text`).
#[derive(Default)]
pub(crate) struct Choices {
    pub(crate) count: usize,
    pub(crate) has_content: bool,
    pub(crate) weight: Weight,
    pub(crate) finished: bool,
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
                while let Some(choice) = items.next_element::<Choice>()? {
                    choices.count += 1;
                    choices.has_content |= choice.content.has_any;
                    choices.weight += choice.content.weight;
                    choices.finished |= choice.finished;
                }
                Ok(choices)
            }
        }
        deserializer.deserialize_any(List)
    }
}

#[derive(Default)]
struct Choice {
    content: Content,
    finished: bool,
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(default)]
            delta: Content,
            #[serde(default)]
            message: Content,
            #[serde(default)]
            text: Content,
            #[serde(borrow)]
            finish_reason: Option<&'a RawValue>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let mut content = wire.delta;
        content += wire.message;
        content += wire.text;
        Ok(Self {
            content,
            finished: wire
                .finish_reason
                .is_some_and(|reason| !matches!(reason.get(), "null" | "\"\"")),
        })
    }
}

/// A delta's members but for its role, or a plain text.
#[derive(Default)]
struct Content {
    has_any: bool,
    weight: Weight,
}

impl std::ops::AddAssign for Content {
    fn add_assign(&mut self, other: Self) {
        self.has_any |= other.has_any;
        self.weight += other.weight;
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message, a part of one, or text")
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content { has_any: !text.is_empty(), weight: Weight::of(text) })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content, A::Error> {
                let mut content = Content::default();
                while let Some(name) = members.next_key::<Member>()? {
                    if name == Member::Role {
                        members.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let before = content.weight;
                    members.next_value_seed(Weigh(&mut content.weight))?;
                    content.has_any |= content.weight != before;
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Member {
    Role,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::Chunk;
    use crate::{Usage, Weight};

    #[track_caller]
    fn check(data: &str, expected: Chunk) {
        assert_eq!(Chunk::read(data.as_bytes()), Some(expected), "{data}");
    }

    #[test]
    fn what_steers_is_read() {
        let role = Chunk::default();
        check(
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            role,
        );
        check(
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}"#,
            Chunk::default(),
        );
        let text = |narrow, wide| Chunk {
            has_content: true,
            weight: Weight { narrow, wide },
            ..Chunk::default()
        };
        check(r#"{"choices":[{"delta":{"content":"Hello"}}],"usage":null}"#, text(5, 0));
        check(r#"{"choices":[{"delta":{"reasoning_content":"想"}}]}"#, text(0, 1));
        check(
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#,
            text(3, 0),
        );
        check(r#"{"choices":[{"text":"ab"},{"text":"c"}]}"#, text(3, 0));
        check(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            Chunk { finished: true, ..Chunk::default() },
        );
        let usage = Some(Usage { input: 3, output: 2, ..Usage::default() });
        check(
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            Chunk { choiceless: true, usage, ..Chunk::default() },
        );
        check(
            r#"{"error":{"message":"overloaded"}}"#,
            Chunk { choiceless: true, is_error: true, ..Chunk::default() },
        );
        check(r#"{"choices":"soon"}"#, Chunk { has_content: true, ..Chunk::default() });
        assert_eq!(Chunk::read(b"{\"choices\":["), None);
        assert_eq!(Chunk::read(b"\xff"), None);
    }
}
