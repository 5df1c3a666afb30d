//! Walk over the strings of a JSON value.

use std::borrow::Cow;
use std::fmt;

use json::Members;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use super::field::Unreadable;

/// Members whose strings are no text.
const NON_TEXT_MEMBERS: [&str; 12] = [
    "role",
    "id",
    "type",
    "name",
    "index",
    "object",
    "finish_reason",
    "detail",
    "format",
    "data",
    "file_data",
    "tool_call_id",
];
/// Maximum nesting of messages.
pub(super) const MAX_DEPTH: usize = 17;

/// Visits every string that may be text, with its path, at most `levels` deep.
pub(super) fn visit_texts<'a>(
    value: &'a str,
    path: &mut String,
    levels: usize,
    visit: &mut impl FnMut(&str, &'a str) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let levels = levels.checked_sub(1).ok_or(Unreadable)?;
    let length = path.len();
    match value.as_bytes().first() {
        Some(b'"') => visit(path, value)?,
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value).map_err(|_| Unreadable)?;
            for (name, raw) in members {
                visit_member(&name, raw.get(), path, levels, visit)?;
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value).map_err(|_| Unreadable)?;
            for (position, raw) in items.into_iter().enumerate() {
                path.push('.');
                path.push_str(&item_index(raw.get()).unwrap_or(position as u64).to_string());
                visit_texts(raw.get(), path, levels, visit)?;
                path.truncate(length);
            }
        }
        Some(_) | None => {}
    }
    Ok(())
}

/// Visits every string of a member that may be text, at most `levels` deep.
pub(super) fn visit_member<'a>(
    name: &str,
    value: &'a str,
    path: &mut String,
    levels: usize,
    visit: &mut impl FnMut(&str, &'a str) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    // In a schema such a name may be a property, whose value is then an object or an array.
    let is_plain = !value.starts_with(['{', '[']);
    if is_plain && NON_TEXT_MEMBERS.contains(&name) {
        return Ok(());
    }
    let length = path.len();
    path.push('.');
    path.push_str(name);
    visit_texts(value, path, levels, visit)?;
    path.truncate(length);
    Ok(())
}

/// Returns the `index` member of an item of a delta.
fn item_index(item: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        index: Option<u64>,
    }
    let numbered = item.starts_with('{').then(|| serde_json::from_str::<Numbered>(item));
    numbered?.ok()?.index
}

/// Decodes a JSON string. A lone surrogate, which no text can hold, becomes U+FFFD; the provider's
/// reading of it is unknown.
pub(super) fn decode_text(raw: &str) -> Result<Cow<'_, str>, Unreadable> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or(Unreadable)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        return Ok(Cow::Owned(text));
    }
    let bytes = serde_json::from_str::<Wtf8>(raw).map_err(|_| Unreadable)?;
    Ok(Cow::Owned(String::from_utf8_lossy(&bytes.0).into_owned()))
}

/// Bytes of a string with lone surrogates, as serde_json returns them (WTF-8).
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
