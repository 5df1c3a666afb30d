//! Texts of JSON that is neither an answer nor a chunk, but that a caller may take for one.
//!
//! A choice with an index of another form (`"0"`, `0.0`) belongs to the choice that it names, so that
//! a text cannot be hidden by splitting it over both forms.

use std::borrow::Cow;
use std::fmt;

use json::{MemberName, Members};
use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::TextCollector;
use super::field::Unreadable;
use super::walk::decode_text;

/// Maximum number of members of a choice.
const MAX_CHOICE_MEMBERS: usize = 1_000;

/// Collects every text of a value.
pub(super) fn collect<'a>(
    value: &'a str,
    collector: &mut TextCollector<'a>,
) -> Result<(), Unreadable> {
    if !value.starts_with('{') {
        collector.add(None, value);
        return Ok(());
    }
    serde_json::Deserializer::from_str(value)
        .deserialize_map(Answer(collector))
        .map_err(|_| Unreadable)
}

/// Visits the members of an object with choices.
struct Answer<'c, 'a>(&'c mut TextCollector<'a>);

impl<'a> Visitor<'a> for Answer<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = members.next_key::<MemberName<'a>>()? {
            let value: &'a RawValue = members.next_value()?;
            if name == "choices" && value.get().starts_with('[') {
                let choices = serde_json::Deserializer::from_str(value.get())
                    .deserialize_seq(Choices(&mut *self.0));
                choices.map_err(A::Error::custom)?;
            } else {
                self.0.begin_choice(&"");
                self.0.add(Some(&name), value.get());
            }
        }
        Ok(())
    }
}

/// Visits the items of a list of choices.
struct Choices<'c, 'a>(&'c mut TextCollector<'a>);

impl<'a> Visitor<'a> for Choices<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("choices")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'a RawValue>()? {
            collect_choice(item.get(), self.0).map_err(|_| A::Error::custom("unreadable"))?;
        }
        Ok(())
    }
}

fn collect_choice<'a>(
    choice: &'a str,
    collector: &mut TextCollector<'a>,
) -> Result<(), Unreadable> {
    if !choice.starts_with('{') {
        collector.begin_choice(&0);
        collector.add(None, choice);
        return Ok(());
    }
    let Members(members) = serde_json::from_str(choice).map_err(|_| Unreadable)?;
    if members.len() > MAX_CHOICE_MEMBERS {
        return Err(Unreadable);
    }
    let find = |name: &str| members.iter().rev().find(|(other, _)| other == name);
    let index = find("index").map_or(Cow::Borrowed("0"), |(_, raw)| parse_index(raw.get()));
    let reason = find("finish_reason").map(|(_, reason)| reason.get());
    if reason.is_some_and(|reason| !matches!(reason, "null" | "\"\""))
        && let Ok(index) = index.parse()
    {
        collector.finish_choice(index);
    }
    for (name, value) in members {
        collector.begin_choice(&index);
        match &*name {
            "index" => {}
            "logprobs" => collector.add_logprobs(value),
            "text" => collector.add(None, value.get()),
            "delta" | "message" if value.get().starts_with('{') => {
                let Members(parts) = serde_json::from_str(value.get()).map_err(|_| Unreadable)?;
                parts.into_iter().for_each(|(name, part)| collector.add(Some(&name), part.get()));
            }
            "delta" | "message" => collector.add(None, value.get()),
            name => collector.add(Some(name), value.get()),
        }
    }
    Ok(())
}

/// Returns the name of a choice: its number, if the index states one in any form.
fn parse_index(raw: &str) -> Cow<'_, str> {
    let quoted = raw.starts_with('"').then(|| decode_text(raw).ok()).flatten();
    let text = quoted.unwrap_or(Cow::Borrowed(raw));
    if matches!(text.trim(), "null" | "") {
        return Cow::Borrowed("0");
    }
    match text.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX) => {
            // Minus zero is zero.
            Cow::Owned(format!("{:.0}", number.abs()))
        }
        Ok(_) | Err(_) => match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        },
    }
}
