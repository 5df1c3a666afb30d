//! Reading of members by name, without a tree: each value is borrowed from the text.
//!
//! Members of a wrong type are read as absent, since a provider's odd detail must not cost the
//! answer. Each nested object is read once per level, so that the steps are linear in the text: the
//! readers look into a fixed number of levels.

use std::borrow::Cow;
use std::fmt;

use json::MemberName;
use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `receive` with each member of an object, in order. `None` if the text is not an object.
pub(crate) fn each_member<'a>(
    text: &'a str,
    receive: &mut dyn FnMut(&str, &'a RawValue),
) -> Option<()> {
    struct Receiver<'r, 'a>(&'r mut dyn FnMut(&str, &'a RawValue));
    impl<'de> Visitor<'de> for Receiver<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(MemberName(name)) = map.next_key::<MemberName<'de>>()? {
                (self.0)(&name, map.next_value()?);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Receiver(receive)).ok()?;
    reader.end().ok()
}

/// Calls `receive` with each element of an array, in order. `None` if the text is not an array.
pub(crate) fn each_element<'a>(text: &'a str, receive: &mut dyn FnMut(&'a RawValue)) -> Option<()> {
    struct Receiver<'r, 'a>(&'r mut dyn FnMut(&'a RawValue));
    impl<'de> Visitor<'de> for Receiver<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while let Some(element) = list.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_seq(Receiver(receive)).ok()?;
    reader.end().ok()
}

/// Picks the members of the given names. `null` counts as absent; the last one of a name counts.
/// `None` if the text is not an object.
pub(crate) fn pick<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    let mut picked = [None; N];
    each_member(text, &mut |name, value| {
        if let Some(at) = names.iter().position(|other| *other == name) {
            picked[at] = (value.get() != "null").then_some(value);
        }
    })?;
    Some(picked)
}

/// Picks the members of a value that may be absent or of another type.
pub(crate) fn pick_in<'a, const N: usize>(
    value: Option<&'a RawValue>,
    names: [&str; N],
) -> [Option<&'a RawValue>; N] {
    value.and_then(|value| pick(value.get(), names)).unwrap_or([None; N])
}

/// Elements of a value that may be absent or of another type.
pub(crate) fn elements<'a>(
    value: Option<&'a RawValue>,
    receive: &mut dyn FnMut(&'a RawValue),
) -> bool {
    value.and_then(|value| each_element(value.get(), receive)).is_some()
}

/// A text, borrowed if it has no escapes.
pub(crate) fn text<'a>(value: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    let mut reader = serde_json::Deserializer::from_str(value?.get());
    MemberName::deserialize(&mut reader).ok().map(|MemberName(text)| text)
}

/// A text that is not empty.
pub(crate) fn some_text<'a>(value: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    text(value).filter(|text| !text.is_empty())
}

/// A count. Some providers send `12.0`. Negative numbers are absent.
pub(crate) fn count(value: Option<&RawValue>) -> Option<u64> {
    let text = value?.get();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    text.parse::<f64>().ok().filter(|count| *count >= 0.0).map(|count| count as u64)
}

/// Whether a text is one JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    each_member(text, &mut |_, _| {}).is_some()
}

#[cfg(test)]
mod tests {
    use super::{count, is_object, pick, some_text, text};

    #[test]
    fn pick_returns_last_value_and_no_null() {
        let found = pick(r#"{"a":1,"b":null,"\u0061":"x\n","c":[]}"#, ["a", "b", "d"]);
        let [a, b, d] = found.expect("an object");
        assert_eq!(text(a).as_deref(), Some("x\n"));
        assert!(b.is_none() && d.is_none());
        assert!(pick("[1]", ["a"]).is_none());
        assert!(pick(r#"{"a":1}x"#, ["a"]).is_none());
    }

    #[test]
    fn values_of_wrong_types_are_absent() {
        let found = pick(r#"{"a":12.0,"b":-1,"c":"","d":7}"#, ["a", "b", "c", "d"]);
        let [a, b, c, d] = found.expect("an object");
        assert_eq!((count(a), count(b), count(c), count(d)), (Some(12), None, None, Some(7)));
        assert_eq!((text(a), some_text(c)), (None, None));
    }

    #[test]
    fn object_is_recognized_at_any_depth() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(is_object(&deep) && is_object(" {} ") && !is_object("{") && !is_object("{}{}"));
    }
}
