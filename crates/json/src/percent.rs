//! Percent coding (RFC 3986, 2.1): one encoder for any set of safe characters, and one decoder.

use std::borrow::Cow;

/// Characters that the encoder keeps as they are.
#[derive(Clone, Copy, Debug)]
pub struct SafeSet {
    /// One bit for each ASCII character.
    ascii: u128,
    keeps_non_ascii: bool,
}

/// RFC 3986's unreserved characters: letters, digits, `-`, `.`, `_`, and `~`. For a path segment or a
/// form field.
pub const UNRESERVED: SafeSet =
    SafeSet::only(b"-._~").with_range(b'0', b'9').with_range(b'A', b'Z').with_range(b'a', b'z');

/// Printable ASCII, the space included. For a header's value; a `%` in the text stays ambiguous.
pub const PRINTABLE_ASCII: SafeSet = SafeSet::only(b"").with_range(b' ', b'~');

impl SafeSet {
    /// Keeps these ASCII characters.
    pub const fn only(kept: &[u8]) -> Self {
        Self { ascii: bits(kept), keeps_non_ascii: false }
    }

    /// Keeps everything but these ASCII characters. Include `%` so that the result can be decoded.
    pub const fn all_except(encoded: &[u8]) -> Self {
        Self { ascii: !bits(encoded), keeps_non_ascii: true }
    }

    const fn with_range(self, first: u8, last: u8) -> Self {
        let mut ascii = self.ascii;
        let mut byte = first;
        while byte <= last {
            ascii |= 1 << byte;
            byte += 1;
        }
        Self { ascii, ..self }
    }

    fn contains(&self, character: char) -> bool {
        if character.is_ascii() {
            self.ascii >> u32::from(character) & 1 == 1
        } else {
            self.keeps_non_ascii
        }
    }
}

const fn bits(characters: &[u8]) -> u128 {
    let mut bits = 0;
    let mut index = 0;
    while index < characters.len() {
        assert!(characters[index].is_ascii());
        bits |= 1 << characters[index];
        index += 1;
    }
    bits
}

/// Appends `text` to `out`; each byte of a character that is not safe becomes `%XX` in upper case.
pub fn encode(text: &str, safe: &SafeSet, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for character in text.chars() {
        if safe.contains(character) {
            out.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Decodes every `%XX`; `None` if two hexadecimal digits do not follow a `%`, or the result is not UTF-8.
/// A `+` stays a `+`.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PRINTABLE_ASCII, SafeSet, UNRESERVED, decode, encode};

    #[track_caller]
    fn assert_encoded(text: &str, safe: &SafeSet, expected: &str) {
        let mut out = String::from("/");
        encode(text, safe, &mut out);
        assert_eq!(out.strip_prefix('/'), Some(expected), "{text}");
    }

    #[test]
    fn encode_safe_set_keeps_only_its_characters() {
        assert_encoded("gpt-4o/ü?", &UNRESERVED, "gpt-4o%2F%C3%BC%3F");
        assert_encoded("a+b*c~ d/é\n", &UNRESERVED, "a%2Bb%2Ac~%20d%2F%C3%A9%0A");
        assert_encoded("09AZaz-._~", &UNRESERVED, "09AZaz-._~");
        assert_encoded("@[`{/:\0\x7f", &UNRESERVED, "%40%5B%60%7B%2F%3A%00%7F");
        assert_encoded(" 100%~\x7f\t通义", &PRINTABLE_ASCII, " 100%~%7F%09%E9%80%9A%E4%B9%89");
        assert_encoded("a|b%7C é", &SafeSet::all_except(b"|%"), "a%7Cb%257C é");
    }

    #[test]
    fn decode_malformed_text_returns_none() {
        assert_eq!(decode("a%2Fb+%C3%BC%c3%bc").as_deref(), Some("a/b+üü"));
        assert_eq!(decode("").as_deref(), Some(""));
        for wrong in ["%", "%2", "%zz", "%ff", "%+1", "%é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn decode_encoded_text_returns_the_text(text in "(\\PC|[%|+ \\x00-\\x7f]){0,20}") {
            for safe in [UNRESERVED, SafeSet::all_except(b"|%")] {
                let mut out = String::new();
                encode(&text, &safe, &mut out);
                let decoded = decode(&out);
                prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
            }
        }
    }
}
