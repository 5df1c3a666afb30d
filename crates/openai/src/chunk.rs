//! One chunk of a streamed answer, read for what steers the gateway and nothing else.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::name::Name;
use crate::text::Weight;
use crate::usage::Usage;

/// What the `data` of one event says. Unknown members are passed over, wrong ones are not an error:
/// an upstream's novelty must not end a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// It holds something to show: text, reasoning, a tool call, a refusal. A role alone is not that.
    pub has_content: bool,
    /// How much text that is.
    pub weight: Weight,
    /// The choices that it names.
    pub seen: ChoiceSet,
    /// The choices that end with it.
    pub finished: ChoiceSet,
    /// The usage it reports.
    pub usage: Option<Usage>,
    /// It is an error instead of a chunk.
    pub is_error: bool,
}

/// Choices of an answer by their `index`. OpenAI allows 128 of them; others are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceSet(u128);

impl ChoiceSet {
    /// The set with one choice.
    pub fn of(index: u32) -> Self {
        Self(1u128.checked_shl(index).unwrap_or(0))
    }

    /// Whether no choice is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes in the choices of another set.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether every choice of another set is in it.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

impl Chunk {
    /// Reads an event's data. `None`: it is not JSON.
    pub fn read(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        if let Ok(members) = serde_json::from_str::<Members<'_>>(text) {
            return Some(Self {
                has_content: members.choices.has_content,
                weight: members.choices.weight,
                seen: members.choices.seen,
                finished: members.choices.finished,
                usage: members.usage.map(RawValue::get).and_then(Usage::read),
                is_error: members.error.is_some_and(|error| error.get() != "null"),
            });
        }
        // JSON of another shape is the upstream's affair; it counts as content, so that it is shown,
        // and all of its text, since what is shown is charged.
        serde_json::from_str::<IgnoredAny>(text).ok().map(|_| Self {
            has_content: true,
            weight: Weight::of_json(text),
            seen: ChoiceSet::of(0),
            ..Self::default()
        })
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
    pub(crate) seen: ChoiceSet,
    pub(crate) finished: ChoiceSet,
}

#[derive(Deserialize)]
struct Choice<'a> {
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
    fn add(&mut self, choice: &Choice<'_>) {
        self.count += 1;
        let before = self.weight;
        for part in [choice.delta, choice.message, choice.text].into_iter().flatten() {
            self.weight += weight_of_part(part.get());
        }
        self.has_content |= self.weight != before;
        self.seen.insert(ChoiceSet::of(choice.index));
        if choice.finish_reason.is_some_and(|reason| !matches!(reason.get(), "null" | "\"\"")) {
            self.finished.insert(ChoiceSet::of(choice.index));
        }
    }
}

/// Weighs a text, or a message's members but for those that only say who speaks.
fn weight_of_part(part: &str) -> Weight {
    match part.starts_with('{').then(|| serde_json::from_str::<Message>(part)) {
        Some(Ok(Message(weight))) => weight,
        // A text; or names that are not even text: whatever it is, it is something.
        Some(Err(_)) | None => Weight::of_json(part),
    }
}

struct Message(Weight);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Message, A::Error> {
                let mut weight = Weight::default();
                while let Some(Name(name)) = members.next_key::<Name<'de>>()? {
                    let value: &RawValue = members.next_value()?;
                    if name != "role" && name != "name" {
                        weight += Weight::of_json(value.get());
                    }
                }
                Ok(Message(weight))
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
                while let Some(choice) = items.next_element::<Choice<'de>>()? {
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
    use crate::{Usage, Weight};

    /// A chunk of the choice 0.
    const PLAIN: Chunk = Chunk {
        has_content: false,
        weight: Weight { narrow: 0, wide: 0 },
        seen: ChoiceSet(1),
        finished: ChoiceSet(0),
        usage: None,
        is_error: false,
    };

    #[track_caller]
    fn check(data: &str, expected: Chunk) {
        assert_eq!(Chunk::read(data.as_bytes()), Some(expected), "{data}");
    }

    #[test]
    fn what_steers_is_read() {
        let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        check(role, PLAIN);
        check(
            r#"{"choices":[{"delta":{"role":"assistant","name":"MM","content":null,"tool_calls":[]}}]}"#,
            PLAIN,
        );
        let text =
            |narrow, wide| Chunk { has_content: true, weight: Weight { narrow, wide }, ..PLAIN };
        check(r#"{"choices":[{"delta":{"content":"Hello"}}],"usage":null}"#, text(5, 0));
        check(r#"{"choices":[{"delta":{"reasoning_content":"想"}}]}"#, text(0, 1));
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        check(call, text(3, 0));
        check(r#"{"choices":[{"text":"ab"},{"text":"c"}]}"#, text(3, 0));
        check(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            Chunk { finished: ChoiceSet(1), ..PLAIN },
        );
        let usage = Some(Usage { input: 3, output: 2, ..Usage::default() });
        let usage = Chunk { usage, ..Chunk::default() };
        check(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, usage);
        check(
            r#"{"error":{"message":"overloaded"}}"#,
            Chunk { is_error: true, ..Chunk::default() },
        );
        assert_eq!(Chunk::read(b"{\"choices\":["), None);
        assert_eq!(Chunk::read(b"\xff"), None);
    }

    #[test]
    fn choices_are_told_apart() {
        let two = r#"{"choices":[{"index":1,"delta":{"content":"a"}},{"index":127,"finish_reason":"stop"}]}"#;
        let chunk = Chunk::read(two.as_bytes()).expect("a chunk");
        assert_eq!((chunk.seen, chunk.finished), (ChoiceSet(2 | 1 << 127), ChoiceSet(1 << 127)));
        assert!(chunk.seen.covers(chunk.finished) && !chunk.finished.covers(chunk.seen));
        assert!(ChoiceSet::of(128).is_empty());
    }

    #[test]
    fn odd_text_does_not_hide_the_rest() {
        let half = r#"{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;
        let chunk = Chunk::read(half.as_bytes()).expect("a chunk");
        assert!(chunk.has_content && !chunk.finished.is_empty() && chunk.usage.is_some());
        let deep = format!(
            r#"{{"choices":[{{"delta":{{"x":{}{}}}}}]}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        check(&deep, PLAIN);
        let weight = Weight::of("soon");
        check(r#"{"choices":"soon"}"#, Chunk { has_content: true, weight, ..PLAIN });
    }
}
