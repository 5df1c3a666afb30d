//! Converts the chunks of a stream to a completion, without loss or not at all. Unknown members are
//! kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use openai::{Endpoint, Event, Framer, Usage};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::merged::{Merged, MergedObject, for_each_item, members};

/// The data of every event of a stream up to `[DONE]`.
pub(crate) fn event_data(stream: &Bytes) -> Vec<Bytes> {
    let mut framer = Framer::new(usize::MAX);
    // Some servers omit the blank line after their last event.
    let whole: Bytes = [stream, b"\n\n".as_slice()].concat().into();
    let mut all = Vec::new();
    if framer.push(whole).is_err() {
        return all;
    }
    while let Some(event) = framer.next_event() {
        let event = framer.slice(event);
        let Some(data) = Event::parse(&event).data else { continue };
        match data.trim_ascii() {
            b"[DONE]" => break,
            b"" => {}
            trimmed => all.push(match &data {
                Cow::Borrowed(_) => event.slice_ref(trimmed),
                Cow::Owned(_) => Bytes::copy_from_slice(trimmed),
            }),
        }
    }
    all
}

/// Completion for a caller who did not request a stream.
#[derive(Debug, Default)]
pub(crate) struct Completion<'a> {
    /// Members apart from the choices and the usage, each as it first came.
    members: BTreeMap<Cow<'a, str>, &'a str>,
    usage: Option<&'a str>,
    choices: BTreeMap<u64, MergedObject<'a>>,
}

impl<'a> Completion<'a> {
    /// Puts chunks together. `None` if one cannot be read, or something would be lost.
    pub(crate) fn from_chunks(endpoint: Endpoint, chunks: &'a [Bytes]) -> Option<Self> {
        let mut completion = Self::default();
        for chunk in chunks {
            completion.add(str::from_utf8(chunk).ok()?)?;
        }
        if completion.choices.is_empty() {
            return None;
        }
        if endpoint == Endpoint::ChatCompletions {
            completion.members.insert(Cow::Borrowed("object"), "\"chat.completion\"");
            completion.choices.values_mut().try_for_each(finish_choice)?;
        }
        Some(completion)
    }

    fn add(&mut self, chunk: &'a str) -> Option<()> {
        for (name, value) in members(chunk)? {
            let value = value.get();
            match (&*name, value.as_bytes().first()?) {
                ("choices", b'[') => for_each_item(value, |choice| self.add_choice(choice))?,
                // Some providers report running totals, and zeros at the end.
                ("usage", b'{') => {
                    let size = |usage: &str| {
                        let usage = Usage::parse(usage).unwrap_or_default();
                        usage.input.saturating_add(usage.output).max(usage.total)
                    };
                    if self.usage.is_none_or(|known| size(known) <= size(value)) {
                        self.usage = Some(value);
                    }
                }
                ("usage", b'n') => {}
                _ => {
                    let known = self.members.entry(name).or_insert("null");
                    if *known == "null" {
                        *known = value;
                    }
                }
            }
        }
        Some(())
    }

    fn add_choice(&mut self, chunk: &'a str) -> Option<()> {
        let members = members(chunk)?;
        let index = members.iter().rev().find(|(name, _)| name == "index");
        let index = index.map_or("null", |(_, index)| index.get());
        let index = if index == "null" { "0" } else { index };
        let choice = self.choices.entry(index.parse().ok()?).or_default();
        choice.member(Cow::Borrowed("index"))?.set(index);
        for (name, value) in members {
            let value = value.get();
            match &*name {
                "index" => {}
                "delta" => choice.member(Cow::Borrowed("message"))?.add(value, "message")?,
                "text" | "logprobs" => {
                    let own = name.clone();
                    choice.member(name)?.add(value, &own)?;
                }
                _ => {
                    let known = choice.member(name)?;
                    if value != "null" {
                        known.set(value);
                    }
                }
            }
        }
        Some(())
    }

    /// Whether the provider has reported its usage.
    pub(crate) fn has_usage(&self) -> bool {
        self.usage.is_some()
    }

    /// Returns the completion as JSON, with the new id if it has one, and with this usage if it has
    /// none.
    pub(crate) fn to_json(&self, new_id: Option<&str>, usage: Option<&str>) -> String {
        let mut choices = String::from("[");
        for choice in self.choices.values() {
            if choices.len() > 1 {
                choices.push(',');
            }
            choice.write(&mut choices);
        }
        choices.push(']');
        let mut members: BTreeMap<&str, &str> = BTreeMap::new();
        members.extend(self.members.iter().map(|(name, value)| (name.as_ref(), *value)));
        members.insert("choices", &choices);
        if let Some(usage) = self.usage.or(usage) {
            members.insert("usage", usage);
        }
        let new_id = new_id.map(super::merged::to_json);
        if let Some(new_id) = &new_id
            && let Some(known) = members.get_mut("id").filter(|known| known.starts_with('"'))
        {
            *known = new_id;
        }
        let mut out = String::from("{");
        for (name, value) in members {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&super::merged::to_json(name));
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }

    /// The text of the first choice; `None` if it has none, or calls a tool.
    fn first_text(&self) -> Option<String> {
        let choice = self.choices.values().next()?;
        let Merged::Object(message) = choice.get("message")? else { return None };
        if message.get("tool_calls").is_some_and(|calls| !calls.is_empty()) {
            return None;
        }
        message.get("content")?.text().map(Cow::into_owned).filter(|text| !text.is_empty())
    }
}

/// The text of a chat's first choice; `None` if it has none, or calls a tool.
pub(crate) fn first_choice_text(stream: bool, body: &Bytes) -> Option<String> {
    if stream {
        let chunks = event_data(body);
        return Completion::from_chunks(Endpoint::ChatCompletions, &chunks)?.first_text();
    }
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        choices: FirstItem<'a>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        message: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
        #[serde(borrow)]
        tool_calls: Option<&'a RawValue>,
    }
    let answer: Answer<'_> = json::from_bytes(body).ok()?;
    let choice: Choice<'_> = json::from_text(answer.choices.0?.get()).ok()?;
    let message: Message<'_> = json::from_text(choice.message.get()).ok()?;
    let calls = message.tool_calls.map_or("null", RawValue::get);
    let has_calls = calls.strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'));
    let text =
        json::decode_string(message.content.get()).filter(|text| !text.is_empty() && !has_calls)?;
    Some(text.into_owned())
}

/// First item of a list; `None` if the list is empty.
struct FirstItem<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for FirstItem<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = FirstItem<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let first = items.next_element()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstItem(first))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// Turns the merged deltas of a choice into its message.
fn finish_choice(choice: &mut MergedObject<'_>) -> Option<()> {
    let message = choice.member(Cow::Borrowed("message"))?;
    let mut object = match std::mem::replace(message, Merged::Raw("null")) {
        Merged::Object(object) => object,
        Merged::Raw(raw) => {
            let mut object = MergedObject::default();
            if raw.starts_with('{') {
                object.add(raw)?;
            } else if raw != "null" {
                return None;
            }
            object
        }
        Merged::Text(_) | Merged::Items(_) | Merged::Indexed(_) => return None,
    };
    let role = object.member(Cow::Borrowed("role"))?;
    if matches!(role, Merged::Raw("null")) {
        role.set("\"assistant\"");
    }
    object.member(Cow::Borrowed("content"))?;
    object.member(Cow::Borrowed("tool_calls"))?.remove_indices()?;
    object.remove_if_null("tool_calls");
    *message = Merged::Object(object);
    Some(())
}
