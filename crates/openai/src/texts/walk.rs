//! Walk over the strings of a JSON value.

use std::borrow::Cow;
use std::fmt;

use json::MemberName;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::field::Unreadable;

/// Maximum nesting of messages.
pub(super) const MAX_DEPTH: usize = 17;

/// Maximum number of texts in a request, and in an answer or an event. Each one takes memory of its
/// own, so that many short ones would take many times the length of the body.
pub const MAX_TEXTS: usize = 20_000;

/// Longest id, type, or role, in bytes. A longer value is a text under the name of one.
const MAX_TOKEN_BYTES: usize = 128;

/// Whether a member of this name and value holds a value of the protocol, such as an id, and no text.
///
/// The name alone is not enough: a provider that ignores the member shows the model the whole
/// message all the same.
pub(super) fn is_protocol_value(name: &str, value: &str) -> bool {
    match name {
        "role" | "id" | "type" | "index" | "object" | "finish_reason" | "detail" | "format"
        | "tool_call_id" => {
            let is_token = |byte: u8| byte.is_ascii_graphic();
            value.len() <= MAX_TOKEN_BYTES && value.bytes().all(is_token)
        }
        "data" | "file_data" => is_embedded_data(value),
        _ => false,
    }
}

/// Shortest file in base64 that is recognized without a `data:` URL around it. Words that are joined by
/// hyphens have the same characters.
const MIN_FILE_BYTES: usize = 64;

/// Whether a value is a file in base64, or a `data:` URL that holds it.
fn is_embedded_data(value: &str) -> bool {
    let (data, is_short) = match value.split_once(";base64,") {
        Some((head, data)) if is_url(head) => (data, false),
        Some(_) | None => (value, value.len() < MIN_FILE_BYTES),
    };
    let is_part =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    !is_short && data.bytes().all(is_part)
}

/// Whether a text is a URL of an image, sound, or film: without spaces, which only a text has.
pub(super) fn is_url(text: &str) -> bool {
    let has_scheme = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    ["https://", "http://", "data:"].into_iter().any(has_scheme)
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Receiver of the texts of a value: the path of each, and its JSON string.
pub(super) type VisitText<'v, 'a> = &'v mut dyn FnMut(&str, &'a str) -> Result<(), Unreadable>;

/// Visits every string that may be text, with its path, at most `levels` deep.
pub(super) fn visit_texts<'a>(
    value: &'a str,
    path: &mut String,
    levels: usize,
    visit: VisitText<'_, 'a>,
) -> Result<(), Unreadable> {
    let levels = levels.checked_sub(1).ok_or(Unreadable)?;
    let mut reader = serde_json::Deserializer::from_str(value);
    let container = Container { path, levels, visit };
    match value.as_bytes().first() {
        Some(b'"') => return (container.visit)(container.path, value),
        Some(b'{') => reader.deserialize_map(container),
        Some(b'[') => reader.deserialize_seq(container),
        Some(_) | None => Ok(()),
    }
    .map_err(|_| Unreadable)
}

/// Visits every string of a member that may be text, at most `levels` deep.
pub(super) fn visit_member<'a>(
    name: &str,
    value: &'a str,
    path: &mut String,
    levels: usize,
    visit: VisitText<'_, 'a>,
) -> Result<(), Unreadable> {
    // In a schema such a name may be a property, whose value is then an object or an array.
    let is_plain = value.starts_with('"');
    if is_plain && (name == "name" || is_protocol_value(name, &decode_text(value)?)) {
        return Ok(());
    }
    let length = path.len();
    path.push('.');
    path.push_str(name);
    visit_texts(value, path, levels, visit)?;
    path.truncate(length);
    Ok(())
}

/// Visits the members or items of a container, one after the other.
struct Container<'p, 'v, 'a> {
    path: &'p mut String,
    levels: usize,
    visit: VisitText<'v, 'a>,
}

impl<'a> Visitor<'a> for Container<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = members.next_key::<MemberName<'a>>()? {
            let value: &RawValue = members.next_value()?;
            visit_member(&name, value.get(), self.path, self.levels, self.visit)
                .map_err(|_| A::Error::custom("unreadable"))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.path.len();
        let mut position = 0;
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.path.push('.');
            let index = item_index(item.get()).unwrap_or(position);
            self.path.push_str(&index.to_string());
            visit_texts(item.get(), self.path, self.levels, self.visit)
                .map_err(|_| A::Error::custom("unreadable"))?;
            self.path.truncate(length);
            position += 1;
        }
        Ok(())
    }
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
    if let Some(text) = json::decode_string(raw) {
        return Ok(text);
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
