//! Choices of a chunk, an answer or a completion, and the visit of their parts.

use std::fmt;

use json::MemberName;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::text_size::TextSize;
use crate::usage::Usage;

/// Members of one choice that the gateway reads.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default)]
    pub index: Index,
    #[serde(borrow)]
    pub delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Finish reasons of an answer that failed: OpenRouter and Mistral, DeepSeek, Zhipu, SGLang.
const FAILURE_REASONS: [&str; 4] =
    ["\"error\"", "\"insufficient_system_resource\"", "\"network_error\"", "\"abort\""];

/// Whether the value of a member `error` is an error: some providers send an empty one with every
/// answer.
pub(crate) fn is_error(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "false" | "\"\"" | "[]")
}

impl Choice<'_> {
    /// Whether the choice finishes here. Some providers send an empty reason with every chunk.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish_reason.is_some_and(|reason| !matches!(reason.get(), "null" | "\"\""))
    }

    /// Whether the choice ends at its maximum length.
    fn is_cut(&self) -> bool {
        self.finish_reason.is_some_and(|reason| reason.get() == "\"length\"")
    }

    /// Whether the choice reports a failure of the provider in place of its end.
    fn has_failed(&self) -> bool {
        self.finish_reason.is_some_and(|reason| FAILURE_REASONS.contains(&reason.get()))
            || self.error.is_some_and(is_error)
    }
}

/// Index of a choice; 0 if it is missing or null.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index(pub u32);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Index;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an index")
            }

            fn visit_unit<E>(self) -> Result<Index, E> {
                Ok(Index::default())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Index, E> {
                u32::try_from(number).map(Index).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// Part of a choice that holds content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Addition to a message: `delta` of a chunk.
    Delta,
    /// `message` of an answer.
    Message,
    /// `text` of a completion.
    Text,
}

/// Receiver of the content of choices while they are parsed.
pub(crate) trait ContentSink<'a> {
    /// Receives the id of the answer.
    fn id(&mut self, _: &'a RawValue) {}

    /// Starts a choice.
    fn choice(&mut self, choice: &Choice<'a>);
    /// Receives a member of a part that is an object.
    fn member(&mut self, choice: &Choice<'a>, part: Part, name: &str, value: &'a RawValue);
    /// Receives a part that is no object, or an object whose members cannot be read to its end.
    fn value(&mut self, choice: &Choice<'a>, part: Part, value: &'a RawValue);
}

/// A sink, or `None` to discard the content. It is no type parameter, so that the parser is compiled
/// once: the bundle is smaller, and the compiler inlines it.
pub(crate) type Sink<'s, 'a> = Option<&'s mut (dyn ContentSink<'a> + 's)>;

impl<'a, S: ContentSink<'a>> ContentSink<'a> for Option<S> {
    fn id(&mut self, id: &'a RawValue) {
        if let Some(sink) = self {
            sink.id(id);
        }
    }

    fn choice(&mut self, choice: &Choice<'a>) {
        if let Some(sink) = self {
            sink.choice(choice);
        }
    }

    fn member(&mut self, choice: &Choice<'a>, part: Part, name: &str, value: &'a RawValue) {
        if let Some(sink) = self {
            sink.member(choice, part, name, value);
        }
    }

    fn value(&mut self, choice: &Choice<'a>, part: Part, value: &'a RawValue) {
        if let Some(sink) = self {
            sink.value(choice, part, value);
        }
    }
}

impl<'a, A: ContentSink<'a>, B: ContentSink<'a>> ContentSink<'a> for (A, B) {
    fn id(&mut self, id: &'a RawValue) {
        self.0.id(id);
        self.1.id(id);
    }

    fn choice(&mut self, choice: &Choice<'a>) {
        self.0.choice(choice);
        self.1.choice(choice);
    }

    fn member(&mut self, choice: &Choice<'a>, part: Part, name: &str, value: &'a RawValue) {
        self.0.member(choice, part, name, value);
        self.1.member(choice, part, name, value);
    }

    fn value(&mut self, choice: &Choice<'a>, part: Part, value: &'a RawValue) {
        self.0.value(choice, part, value);
        self.1.value(choice, part, value);
    }
}

/// Set of choices, by `index`. OpenAI allows 128 of them; higher indices are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceSet(u128);

impl ChoiceSet {
    /// Creates a set of one choice.
    pub fn single(index: u32) -> Self {
        Self(1u128.checked_shl(index).unwrap_or(0))
    }

    /// Whether there is no choice.
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

/// Sum over all choices of a chunk (`delta`), an answer (`message`), or a completion (`text`).
#[derive(Debug, Default)]
pub(crate) struct Choices {
    pub count: usize,
    pub has_content: bool,
    pub text_size: TextSize,
    pub choices: ChoiceSet,
    pub finished_choices: ChoiceSet,
    /// Whether a choice ends at its maximum length.
    pub is_cut: bool,
    /// Whether a choice reports a failure of the provider.
    pub has_failed: bool,
    /// Usage that some providers put into a choice.
    pub usage: Option<Usage>,
}

impl Choices {
    fn add<'a>(&mut self, choice: &Choice<'a>, sink: &mut Sink<'_, 'a>) {
        self.count += 1;
        if let Some(sink) = sink {
            sink.choice(choice);
        }
        let before = self.text_size;
        let parts = [
            (Part::Delta, choice.delta),
            (Part::Message, choice.message),
            (Part::Text, choice.text),
        ];
        for (part, value) in parts {
            if let Some(value) = value {
                self.text_size += visit_part(choice, part, value, sink);
            }
        }
        self.has_content |= self.text_size != before;
        let set = ChoiceSet::single(choice.index.0);
        self.choices.insert(set);
        if choice.is_finished() {
            self.finished_choices.insert(set);
        }
        self.is_cut |= choice.is_cut();
        self.has_failed |= choice.has_failed();
        let usage = choice.usage.and_then(|usage| Usage::parse(usage.get()));
        self.usage = Usage::merge_options(self.usage, usage);
    }
}

/// Passes a part to the sink, and returns the size of its text: all of it except role and name.
fn visit_part<'a>(
    choice: &Choice<'a>,
    part: Part,
    value: &'a RawValue,
    sink: &mut Sink<'_, 'a>,
) -> TextSize {
    let json = value.get();
    if json.starts_with('{') {
        let mut size = TextSize::default();
        let visit = MemberVisitor(|name: &str, value: &'a RawValue| {
            if name != "role" && name != "name" {
                size += TextSize::measure_json(value.get());
            }
            if let Some(sink) = sink {
                sink.member(choice, part, name, value);
            }
        });
        if serde_json::Deserializer::from_str(json).deserialize_map(visit).is_ok() {
            return size;
        }
    }
    // A plain text, or an object with names that are not valid text: all of it counts.
    if let Some(sink) = sink {
        sink.value(choice, part, value);
    }
    TextSize::measure_json(json)
}

/// Calls a function for each member of an object.
struct MemberVisitor<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for MemberVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = members.next_key::<MemberName<'de>>()? {
            (self.0)(&name, members.next_value()?);
        }
        Ok(())
    }
}

/// Parses a list of choices, and passes their content to a sink.
pub(crate) struct ChoicesSeed<'x, 's, 'a>(pub &'x mut Sink<'s, 'a>);

impl<'de> DeserializeSeed<'de> for ChoicesSeed<'_, '_, 'de> {
    type Value = Choices;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Choices, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ChoicesSeed<'_, '_, 'de> {
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
            choices.add(&choice, self.0);
        }
        Ok(choices)
    }
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ChoicesSeed(&mut None).deserialize(deserializer)
    }
}
