//! JSON within a text: the arguments of a tool call are a text that is JSON, in which a program may
//! write any character as `\u` and four digits.

use std::borrow::Cow;

/// How far back an escaped phrase may begin, in characters of the text as it is.
pub const LOOKBEHIND_CHARS: usize = 60;

/// A text as whoever reads it as JSON understands it; `None`: there is nothing to understand. It need not
/// be whole: what is no escape stays.
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

/// What stands for the escape with which a text begins, and how many bytes that has.
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

/// The number behind `\u`.
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
    fn escapes_are_read() {
        assert_unescaped("违禁词", None);
        assert_unescaped(r#"{"q":"\u8fdd\u7981词\n\"x\""}"#, Some("{\"q\":\"违禁词 \"x\"\"}"));
        assert_unescaped(r"\ud83d\ude00\u0062ad", Some("😀bad"));
        assert_unescaped(r"\\u8fdd \x", Some(r"\u8fdd \x"));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_unescaped(r"\u8f", Some(r"\u8f"));
        assert_unescaped(r"\u8f违禁", Some(r"\u8f违禁"));
        assert_unescaped(r"\u+123", Some(r"\u+123"));
        assert_unescaped(r"\ud83d\u0061", Some("\u{FFFD}a"));
        assert_unescaped("\\", Some("\\"));
    }
}
