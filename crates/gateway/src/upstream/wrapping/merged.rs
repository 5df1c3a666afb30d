//! JSON that is put together from the chunks of a stream.
//!
//! A value stays as it came until another one is added to it. A tree of all values would take many
//! times the length of the stream.

use std::borrow::Cow;
use std::collections::BTreeMap;

use json::Members;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Members of a message that are sent whole, once or repeatedly; all other texts are sent in parts.
const WHOLE_MEMBERS: [&str; 4] = ["role", "id", "type", "name"];

/// Maximum number of members of an object that several chunks add to.
const MAX_MEMBERS: usize = 64;

/// Maximum nesting of values that several chunks add to.
const MAX_DEPTH: usize = 16;

/// Value from one chunk or several.
#[derive(Debug)]
pub(super) enum Merged<'a> {
    /// Value of one chunk, as it came.
    Raw(&'a str),
    /// Text of several chunks.
    Text(String),
    /// Object of several chunks.
    Object(MergedObject<'a>),
    /// Items without an `index`: all of them, with commas between them.
    Items(String),
    /// Items that are told apart by their `index`, in the order in which they came.
    Indexed(Box<Indexed<'a>>),
}

/// Object of several chunks.
#[derive(Debug, Default)]
pub(super) struct MergedObject<'a>(Vec<(Cow<'a, str>, Merged<'a>)>);

/// Items by their `index`.
#[derive(Debug, Default)]
pub(super) struct Indexed<'a> {
    items: Vec<Merged<'a>>,
    positions: BTreeMap<u64, usize>,
}

impl<'a> MergedObject<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Merged<'a>> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Returns a member, which is null if it is new. `None` if there are too many.
    pub(super) fn member(&mut self, name: Cow<'a, str>) -> Option<&mut Merged<'a>> {
        let position = self.0.iter().position(|(other, _)| *other == name);
        if position.is_none() {
            if self.0.len() == MAX_MEMBERS {
                return None;
            }
            self.0.push((name, Merged::Raw("null")));
        }
        let position = position.unwrap_or(self.0.len() - 1);
        Some(&mut self.0[position].1)
    }

    /// Adds the members of an object. `None` if that would lose something.
    pub(super) fn add(&mut self, object: &'a str) -> Option<()> {
        self.add_nested(object, MAX_DEPTH)
    }

    fn add_nested(&mut self, object: &'a str, depth: usize) -> Option<()> {
        for (name, value) in members(object)? {
            let own = name.clone();
            self.member(name)?.add_nested(value.get(), &own, depth)?;
        }
        Some(())
    }

    /// Removes a member that is null.
    pub(super) fn remove_if_null(&mut self, name: &str) {
        self.0.retain(|(other, value)| other != name || !matches!(value, Merged::Raw("null")));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// Appends the object as JSON, its members in the order of their names.
    pub(super) fn write(&self, out: &mut String) {
        let mut members: Vec<&(Cow<'_, str>, Merged<'_>)> = self.0.iter().collect();
        sorting::sort_by(&mut members, |(one, _), (other, _)| one.cmp(other));
        out.push('{');
        for (number, (name, value)) in members.into_iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            out.push_str(&to_json(name));
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

impl<'a> Merged<'a> {
    /// Adds the value of another chunk: texts and lists grow, items of lists are matched by their
    /// `index`. `None` if that would lose something.
    pub(super) fn add(&mut self, more: &'a str, name: &str) -> Option<()> {
        self.add_nested(more, name, MAX_DEPTH)
    }

    /// Replaces a value.
    pub(super) fn set(&mut self, value: &'a str) {
        *self = Self::Raw(value);
    }

    fn add_nested(&mut self, more: &'a str, name: &str, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        if self.is_empty() && more != "null" {
            *self =
                if more.starts_with('[') { Self::Items(String::new()) } else { Self::Raw(more) };
        }
        match (&mut *self, more.as_bytes().first()?) {
            (_, b'n') => Some(()),
            (Self::Raw(known), _) if std::ptr::eq(*known, more) => Some(()),
            (_, _) if matches!(more, "\"\"" | "[]" | "{}") => Some(()),
            (Self::Raw(_) | Self::Text(_), b'"') => self.add_text(more, name),
            (Self::Object(known), b'{') => known.add_nested(more, depth),
            (Self::Raw(known), b'{') if known.starts_with('{') => {
                let mut object = MergedObject::default();
                object.add_nested(known, depth)?;
                object.add_nested(more, depth)?;
                *self = Self::Object(object);
                Some(())
            }
            (Self::Items(_) | Self::Indexed(_), b'[') => self.add_items(more, name, depth),
            (Self::Raw(known), b'[') if known.starts_with('[') => {
                let known = *known;
                *self = Self::Items(String::new());
                self.add_items(known, name, depth)?;
                self.add_items(more, name, depth)
            }
            // Some providers repeatedly report running totals.
            (Self::Raw(known), b'-' | b'0'..=b'9' | b't' | b'f')
                if !known.starts_with(['{', '[', '"']) =>
            {
                *self = Self::Raw(more);
                Some(())
            }
            // Values of different kinds: one of them would be lost.
            _ => None,
        }
    }

    fn add_text(&mut self, more: &'a str, name: &str) -> Option<()> {
        let more = json::decode_string(more)?;
        let mut known = match &mut *self {
            Self::Text(text) => std::mem::take(text),
            other => other.text()?.into_owned(),
        };
        if !WHOLE_MEMBERS.contains(&name) {
            known.push_str(&more);
        } else if known != more {
            return None;
        }
        *self = Self::Text(known);
        Some(())
    }

    fn add_items(&mut self, list: &'a str, name: &str, depth: usize) -> Option<()> {
        let visitor = Items(|item: &'a str| {
            let index = item.starts_with('{').then(|| index(item)).flatten();
            match (&mut *self, index) {
                (Self::Items(items), None) => {
                    if !items.is_empty() {
                        items.push(',');
                    }
                    items.push_str(item);
                    Some(())
                }
                (Self::Items(items), Some(_)) if items.is_empty() => {
                    *self = Self::Indexed(Box::default());
                    self.add_indexed(item, index?, name, depth)
                }
                (Self::Indexed(_), Some(index)) => self.add_indexed(item, index, name, depth),
                // An item without an index has no place among those with one.
                _ => None,
            }
        });
        serde_json::Deserializer::from_str(list).deserialize_seq(visitor).ok()
    }

    fn add_indexed(&mut self, item: &'a str, index: u64, name: &str, depth: usize) -> Option<()> {
        let Self::Indexed(list) = self else { return None };
        match list.positions.get(&index) {
            Some(at) => list.items[*at].add_nested(item, name, depth),
            None => {
                list.positions.insert(index, list.items.len());
                list.items.push(Self::Raw(item));
                Some(())
            }
        }
    }

    /// Removes the `index` of all items. `None` if an item has too many members.
    pub(super) fn remove_indices(&mut self) -> Option<()> {
        let Self::Indexed(list) = self else { return Some(()) };
        for item in &mut list.items {
            if let Self::Raw(raw) = item {
                let mut object = MergedObject::default();
                for (name, value) in members(raw)? {
                    object.member(name)?.set(value.get());
                }
                *item = Self::Object(object);
            }
            if let Self::Object(object) = item {
                object.remove("index");
            }
        }
        Some(())
    }

    /// Whether the value holds nothing that could be lost.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Raw(raw) => matches!(*raw, "null" | "\"\"" | "[]" | "{}"),
            Self::Text(text) | Self::Items(text) => text.is_empty(),
            Self::Object(_) | Self::Indexed(_) => false,
        }
    }

    /// The text; `None` if it is none.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Raw(raw) => json::decode_string(raw),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Object(_) | Self::Items(_) | Self::Indexed(_) => None,
        }
    }

    /// Appends the value as JSON.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(text) => out.push_str(&to_json(text)),
            Self::Object(object) => object.write(out),
            Self::Items(items) => {
                out.push('[');
                out.push_str(items);
                out.push(']');
            }
            Self::Indexed(list) => {
                out.push('[');
                for (number, item) in list.items.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
        }
    }
}

/// Calls a function for each item of a list, until it returns `None`.
struct Items<F>(F);

impl<'de, F: FnMut(&'de str) -> Option<()>> Visitor<'de> for Items<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            (self.0)(item.get()).ok_or_else(|| serde::de::Error::custom("lossy"))?;
        }
        Ok(())
    }
}

/// Calls a function for each item of a list. `None` if the function returns it, or it is no list.
pub(super) fn for_each_item<'a>(
    list: &'a str,
    each: impl FnMut(&'a str) -> Option<()>,
) -> Option<()> {
    serde_json::Deserializer::from_str(list).deserialize_seq(Items(each)).ok()
}

/// Returns the members of an object.
pub(super) fn members(object: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let Members(members) = serde_json::from_str(object).ok()?;
    Some(members)
}

/// Returns the `index` of an item.
fn index(item: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        index: Option<u64>,
    }
    json::from_text::<Numbered>(item).ok()?.index
}

pub(super) fn to_json(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}

#[cfg(test)]
mod tests {
    use super::Merged;

    #[track_caller]
    fn assert_merged(name: &str, values: &[&str], expected: Option<&str>) {
        let mut merged = Merged::Raw("null");
        let added = values.iter().try_for_each(|value| merged.add(value, name));
        let written = added.map(|()| {
            let mut out = String::new();
            merged.write(&mut out);
            out
        });
        assert_eq!(written.as_deref(), expected, "{values:?}");
    }

    #[test]
    fn values_grow_or_are_not_merged() {
        for (name, values, expected) in [
            ("x", &["\"a\"", "\"b\\n\"", "null", "\"\""][..], Some("\"ab\\n\"")),
            ("role", &["\"a\"", "\"\"", "\"a\""], Some("\"a\"")),
            ("role", &["\"a\"", "\"b\""], None),
            ("x", &["1", "2.0"], Some("2.0")),
            ("x", &["true", "false"], Some("false")),
            ("x", &["[1]", "[2,\"a\"]"], Some("[1,2,\"a\"]")),
            ("x", &["\"\"", "[1]", "null", "[2]"], Some("[1,2]")),
            ("x", &["[ ]", "[1]"], Some("[1]")),
            ("x", &["{\"a\":\"b\"}", "{\"a\":\"c\",\"d\":1}"], Some("{\"a\":\"bc\",\"d\":1}")),
            (
                "x",
                &["[{\"index\":1,\"a\":\"b\"},{\"index\":0}]", "[{\"index\":1,\"a\":\"c\"}]"],
                Some("[{\"a\":\"bc\",\"index\":1},{\"index\":0}]"),
            ),
            ("x", &["[{\"index\":1}]", "[{}]"], None),
            ("x", &["[{}]", "[{\"index\":1}]"], None),
            // Values of different kinds.
            ("x", &["\"a\"", "[1]"], None),
            ("x", &["[1]", "\"a\""], None),
            ("x", &["[1]", "\"\"", "{}"], Some("[1]")),
            ("x", &["{\"a\":1}", "[1]"], None),
            ("x", &["{\"a\":1}", "\"a\""], None),
            ("x", &["1", "\"a\""], None),
            ("x", &["\"a\"", "1"], None),
            ("x", &["{\"a\":\"b\"}", "{\"a\":[1]}"], None),
        ] {
            assert_merged(name, values, expected);
        }
    }

    #[test]
    fn depth_and_members_of_merged_objects_are_bounded() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert_merged("x", &[&deep(10), &deep(10)], Some(&deep(10)));
        assert_merged("x", &[&deep(17), &deep(17)], None);
        assert_merged("x", &[&deep(100_000)], Some(&deep(100_000)));
        let wide = |count: usize| {
            let members: Vec<String> = (0..count).map(|at| format!("\"{at:03}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_merged("x", &[&wide(64), &wide(64)], Some(&wide(64)));
        assert_merged("x", &[&wide(65), &wide(65)], None);
    }
}
