//! JSON strings.

use std::borrow::Cow;

/// Decodes a JSON string, without a copy if it has no escapes. `None` if it is none, or holds half a
/// surrogate pair, which no text can hold.
pub fn decode_string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(inner)),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::decode_string;

    #[test]
    fn string_is_decoded() {
        assert!(matches!(decode_string("\"a é\""), Some(Cow::Borrowed("a é"))));
        assert_eq!(decode_string(r#""\"\u00e9""#).as_deref(), Some("\"é"));
        for other in ["", "\"", "a", "7", r#""\ud800""#] {
            assert_eq!(decode_string(other), None, "{other}");
        }
    }
}
