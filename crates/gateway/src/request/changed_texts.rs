//! Changes of texts in the Chat form of a body, applied to the caller's own body.
//!
//! Each text of the Chat form stands in the caller's body too, as a string or within one that holds JSON. So a
//! text that a guard has masked is found there by its value.

use std::collections::{BTreeMap, BTreeSet};

use json::Edits;

/// Returns the caller's body with the changes between two Chat forms of the same shape. `None` if a changed
/// text is not found in it.
pub(super) fn apply(original: &[u8], before: &str, after: &str) -> Option<Vec<u8>> {
    let mut changes = BTreeMap::new();
    collect_changes(before, after, &mut changes)?;
    let original = str::from_utf8(original).ok()?;
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    missing.extend(changes.keys().map(String::as_str));
    let mut edits = Edits::default();
    for token in string_tokens(original) {
        let text = json::decode_string(token);
        let Some((old, new)) = text.and_then(|text| changes.get_key_value(&*text)) else {
            continue;
        };
        let new = serde_json::to_string(new).expect("a string always serializes");
        edits.replace(json::range_in(original, token), new);
        missing.remove(old.as_str());
    }
    missing.is_empty().then(|| edits.apply(original.as_bytes()))
}

/// Collects the texts that differ, by their old values. A text of JSON, such as a call's arguments, is an object
/// in some protocols, so its strings are compared.
fn collect_changes(
    before: &str,
    after: &str,
    changes: &mut BTreeMap<String, String>,
) -> Option<()> {
    let (mut old, mut new) = (string_tokens(before), string_tokens(after));
    loop {
        let (old, new) = match (old.next(), new.next()) {
            (Some(old), Some(new)) => (old, new),
            (None, None) => return Some(()),
            _ => return None,
        };
        if old == new {
            continue;
        }
        let (old, new) = (json::decode_string(old)?, json::decode_string(new)?);
        if old.trim_start().starts_with('{')
            && let mut inner = BTreeMap::new()
            && collect_changes(&old, &new, &mut inner).is_some()
            && !inner.is_empty()
        {
            changes.append(&mut inner);
        } else {
            changes.insert(old.into_owned(), new.into_owned());
        }
    }
}

/// The strings of a JSON text with their quotation marks, names of members included.
fn string_tokens(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + memchr::memchr(b'"', &bytes[at..])?;
        let mut end = start + 1;
        loop {
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            if bytes[end] == b'"' {
                break;
            }
            end += 2;
        }
        at = end + 1;
        Some(&text[start..at])
    })
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[track_caller]
    fn assert_applied(original: &str, before: &str, after: &str, expected: Option<&str>) {
        let found = apply(original.as_bytes(), before, after);
        let found = found.map(|body| String::from_utf8(body).expect("text"));
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn changed_text_is_replaced_wherever_it_stands() {
        assert_applied(
            r#"{ "system":[{"text":"I am ann\u0040x.org"}],"x":1.0,"messages":["I am ann@x.org","other"]}"#,
            r#"{"messages":["I am ann@x.org","other"]}"#,
            r#"{"messages":["I am [EMAIL_1]","other"]}"#,
            Some(
                r#"{ "system":[{"text":"I am [EMAIL_1]"}],"x":1.0,"messages":["I am [EMAIL_1]","other"]}"#,
            ),
        );
        assert_applied(
            r#"{"input":{"to":"ann@x.org"}}"#,
            r#"{"arguments":"{\"to\":\"ann@x.org\"}"}"#,
            r#"{"arguments":"{\"to\":\"[EMAIL_1]\"}"}"#,
            Some(r#"{"input":{"to":"[EMAIL_1]"}}"#),
        );
    }

    #[test]
    fn text_that_is_not_found_is_no_change() {
        assert_applied(r#"{"a":"ann"}"#, r#"{"a":"Error: ann"}"#, r#"{"a":"Error: X"}"#, None);
        assert_applied(r#"{"a":"ann"}"#, r#"{"a":"ann"}"#, r#"{"a":"X","b":"Y"}"#, None);
        assert_applied("{\"a\":\"ann", r#"{"a":"ann"}"#, r#"{"a":"X"}"#, None);
    }
}
