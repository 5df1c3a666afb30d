//! JSON within a text: the arguments of a tool call are a string that contains JSON, in which any
//! character may be written as `\u` and four digits.

use std::borrow::Cow;

/// Maximum length of an escaped phrase across a split, in characters of the escaped text.
pub const LOOKBEHIND_CHARS: usize = 60;

/// Returns the text without its JSON escapes. `None` if it has none. The text may be incomplete:
/// anything that is not an escape stays.
pub fn unescape(text: &str) -> Option<String> {
    text.contains('\\').then(|| {
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            plain.push_str(&rest[..at]);
            let (shown, length) = unescape_first(&rest[at..]);
            plain.push_str(&shown);
            rest = &rest[at + length..];
        }
        plain.push_str(rest);
        plain
    })
}

/// Decodes the escape at the beginning of a text. Returns the replacement and the length of the
/// escape in bytes.
fn unescape_first(text: &str) -> (Cow<'static, str>, usize) {
    match text.as_bytes().get(1) {
        Some(b'n' | b'r' | b't' | b'b' | b'f') => (Cow::Borrowed(" "), 2),
        Some(b'"') => (Cow::Borrowed("\""), 2),
        Some(b'/') => (Cow::Borrowed("/"), 2),
        Some(b'\\') => (Cow::Borrowed("\\"), 2),
        Some(b'u') => {
            let first = parse_utf16_unit(text);
            let pair = first.filter(|unit| (0xD800..0xDC00).contains(unit));
            let second = pair.and_then(|_| parse_utf16_unit(text.get(6..)?));
            let units = [first, second].into_iter().flatten();
            let decoded: Result<String, _> = char::decode_utf16(units).collect();
            match (first, decoded) {
                (Some(_), Ok(decoded)) => {
                    (Cow::Owned(decoded), if second.is_some() { 12 } else { 6 })
                }
                (Some(_), Err(_)) => (Cow::Borrowed("\u{FFFD}"), 6),
                (None, _) => (Cow::Borrowed("\\"), 1),
            }
        }
        Some(_) | None => (Cow::Borrowed("\\"), 1),
    }
}

/// Parses the number after `\u`.
fn parse_utf16_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[track_caller]
    fn assert_unescaped(text: &str, expected: Option<&str>) {
        assert_eq!(unescape(text).as_deref(), expected);
    }

    #[test]
    fn escapes_are_decoded() {
        assert_unescaped("违禁词", None);
        assert_unescaped(r#"{"q":"\u8fdd\u7981词\n\"x\""}"#, Some("{\"q\":\"违禁词 \"x\"\"}"));
        assert_unescaped(r"\ud83d\ude00\u0062ad", Some("😀bad"));
        assert_unescaped(r"\\u8fdd \x", Some(r"\u8fdd \x"));
    }

    #[test]
    fn text_that_is_no_escape_stays() {
        assert_unescaped(r"\u8f", Some(r"\u8f"));
        assert_unescaped(r"\u8f违禁", Some(r"\u8f违禁"));
        assert_unescaped(r"\u+123", Some(r"\u+123"));
        assert_unescaped(r"\ud83d\u0061", Some("\u{FFFD}a"));
        assert_unescaped("\\", Some("\\"));
    }
}
