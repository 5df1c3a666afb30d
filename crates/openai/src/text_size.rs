//! Amount of text, as the input of a token estimate. No text is kept.

use std::ops::AddAssign;

use memchr::memchr;

/// Characters of a text, grouped by how densely tokenizers pack them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSize {
    /// Characters of alphabetic scripts, digits, punctuation. Those of Greek, Cyrillic, Hebrew,
    /// Arabic and their neighbors count twice, since tokenizers pack them less densely than Latin.
    pub narrow: u64,
    /// Characters of scripts without spaces between words (Chinese, Japanese, Korean, Thai), of
    /// Indic, Ethiopic and other scripts that tokenizers hardly pack, and emoji.
    pub wide: u64,
}

impl TextSize {
    /// Measures plain text or JSON; in JSON, quotes and braces count as characters.
    pub fn measure(text: &str) -> Self {
        let mut size = Self::default();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            // Most text is ASCII, and every limited request comes through here: eight bytes at
            // once.
            if let Some(word) = bytes[at..].first_chunk::<8>()
                && u64::from_ne_bytes(*word) & HIGH_BITS == 0
            {
                size.narrow += 8;
                at += 8;
            } else {
                size.add_byte(bytes[at], bytes.get(at + 1).copied());
                at += 1;
            }
        }
        size
    }

    /// Adds a byte, with the one after it. Every byte but a continuation byte begins a character.
    ///
    /// Lead bytes 0xCE..=0xDF begin Greek (U+0380) to Syriac (U+07FF), 0xE0 Indic, Thai, Lao and
    /// Tibetan (U+0800..=U+0FFF), 0xE1 up to U+1CFF Myanmar, Georgian, Ethiopic, Khmer and more, then
    /// additions to Latin and Greek. 0xE2 begins general punctuation, 0xE3 and above wide scripts.
    fn add_byte(&mut self, byte: u8, next: Option<u8>) {
        match byte {
            0x00..=0x7F | 0xC0..=0xCD | 0xE2 => self.narrow += 1,
            0xCE..=0xDF => self.narrow += 2,
            0x80..=0xBF => {}
            0xE1 if next.is_some_and(|next| next >= 0xB4) => self.narrow += 1,
            0xE0 | 0xE1 | 0xE3..=0xFF => self.wide += 1,
        }
    }

    /// Measures every string inside a JSON value except the names of members: text, tool calls,
    /// parts, audio. It scans bytes, so deep nesting and lone surrogates cannot make it fail.
    pub fn measure_json(value: &str) -> Self {
        let mut size = Self::default();
        let mut rest = value.as_bytes();
        while let Some(quote) = memchr(b'"', rest) {
            let (string, rest_of_json) = measure_string(&rest[quote + 1..]);
            rest = rest_of_json;
            if !rest.trim_ascii_start().starts_with(b":") {
                size += string;
            }
        }
        size
    }

    /// Measures a prompt like [`TextSize::measure`], with two exceptions. Each piece of base64
    /// (`data:` URLs of images and files) counts as `embedded` characters at any length, since
    /// providers bill pictures by pixels. Each number in a list of tokens counts as one token.
    pub fn measure_prompt(text: &str, embedded: u64) -> Self {
        let mut size = Self::default();
        if text
            .trim_start_matches(['[', ' ', '\t', '\n', '\r'])
            .starts_with(|first: char| first.is_ascii_digit())
        {
            let commas = memchr::memchr_iter(b',', text.as_bytes()).count() as u64;
            size = Self::measure(text);
            size.narrow = size.narrow.max((commas + 1) * CHARS_PER_TOKEN);
            return size;
        }
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest.as_bytes(), BASE64) {
            let (before, from) = rest.split_at(at + BASE64.len());
            size += Self::measure(before);
            rest = from;
            if is_embedded(before) {
                let end = memchr(b'"', from.as_bytes()).unwrap_or(from.len());
                size.narrow += embedded;
                rest = &from[end..];
            }
        }
        size += Self::measure(rest);
        size
    }

    /// Whether there is no text.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Highest bit of each of eight bytes.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// Marker before embedded data (RFC 2397).
const BASE64: &[u8] = b";base64,";
/// Members that hold a URL or a file, and no text that the model reads.
const EMBEDDED_MEMBERS: [&str; 5] = ["url", "image_url", "video_url", "audio_url", "file_data"];
/// Characters for each token of a list.
const CHARS_PER_TOKEN: u64 = 4;

/// Whether JSON ends with the beginning of a `data:` URL in a member for URLs.
fn is_embedded(before: &str) -> bool {
    let member = before.rsplit_once('"').filter(|(_, url)| url.starts_with("data:"));
    let name = member
        .and_then(|(name, _)| name.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"'))
        .and_then(|name| name.rsplit_once('"'));
    // A quote after a backslash is part of a text.
    name.is_some_and(|(head, name)| EMBEDDED_MEMBERS.contains(&name) && !head.ends_with('\\'))
}

/// Measures the string whose opening quote was just consumed, and returns the bytes after its end.
fn measure_string(bytes: &[u8]) -> (TextSize, &[u8]) {
    let mut size = TextSize::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (size, &bytes[at + 1..]),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                // The first two digits determine the script; the second half of a surrogate pair
                // does not count.
                let digits =
                    bytes.get(at + 2..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(0xDC..=0xDF) => {}
                    Some(0x08..=0x1C | 0x30..=0xFF) => size.wide += 1,
                    Some(0x04..=0x07) => size.narrow += 2,
                    Some(_) | None => size.narrow += 1,
                }
                at += 6;
            }
            b'\\' => {
                size.narrow += 1;
                at += 2;
            }
            _ => {
                size.add_byte(*byte, bytes.get(at + 1).copied());
                at += 1;
            }
        }
    }
    (size, &[])
}

impl AddAssign for TextSize {
    fn add_assign(&mut self, other: Self) {
        self.narrow += other.narrow;
        self.wide += other.wide;
    }
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn measure_by_words_agrees_with_bytes(text in "[ -~é“你🙂йกếअ]{0,40}") {
            let mut weight = super::TextSize::default();
            let next = text.bytes().skip(1).map(Some).chain([None]);
            text.bytes().zip(next).for_each(|(byte, next)| weight.add_byte(byte, next));
            assert_eq!(super::TextSize::measure(&text), weight);
        }
    }

    #[test]
    fn embedded_image_counts_as_constant() {
        let text = |data: &str| format!("[{{\"url\":\"data:image/png;base64,{data}\"}},\"you\"]");
        let (short, long) = (text("QUJD"), text(&"QUJD".repeat(9_000)));
        assert_eq!(
            super::TextSize::measure_prompt(&short, 100),
            super::TextSize::measure_prompt(&long, 100)
        );
        let bare = super::TextSize::measure(&text(""));
        assert_eq!(super::TextSize::measure_prompt(&long, 100).narrow, bare.narrow + 100);
        assert_eq!(
            super::TextSize::measure_prompt("plain", 100),
            super::TextSize::measure("plain")
        );
        for text in [
            format!(r#"[{{"content":"x;base64,{}"}}]"#, "word ".repeat(9_000)),
            format!(r#"[{{"content":"data:x;base64,{}"}}]"#, "word ".repeat(9_000)),
            format!(r#"[{{"content":"{{\"url\":\"data:x;base64,{}"}}]"#, "word ".repeat(9_000)),
        ] {
            assert_eq!(
                super::TextSize::measure_prompt(&text, 100),
                super::TextSize::measure(&text)
            );
        }
    }

    #[test]
    fn token_list_counts_each_token() {
        for text in
            ["[1,2,3]", "[[1,2],[3]]", "[ 1, 2, 3 ]", "[\t1,2,3]", "[\r\n1,2,3]", "[\n[\t\r1],2,3]"]
        {
            assert_eq!(super::TextSize::measure_prompt(text, 100).narrow, 12, "{text}");
        }
    }

    use super::TextSize;

    #[test]
    fn narrow_and_wide_scripts_are_counted() {
        assert_eq!(TextSize::measure("Hello, wörld…"), TextSize { narrow: 13, wide: 0 });
        assert_eq!(TextSize::measure("你好 hi 🐦"), TextSize { narrow: 4, wide: 3 });
        // Thai, Hindi, Amharic and Burmese are as dense as Chinese.
        for text in ["สวัสดี", "नमस्ते", "ሰላምታ", "မင်္ဂလာ", "བཀྲ་ཤིས"]
        {
            let wide = text.chars().count() as u64;
            assert_eq!(TextSize::measure(text), TextSize { narrow: 0, wide }, "{text}");
            let escaped: String =
                text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = TextSize::measure_json(&format!("\"{escaped}\""));
            assert_eq!(json, TextSize { narrow: 0, wide }, "{text}");
        }
        for text in ["Привет", "שלום", "مرحبا"] {
            let narrow = 2 * text.chars().count() as u64;
            assert_eq!(TextSize::measure(text), TextSize { narrow, wide: 0 }, "{text}");
        }
        // Vietnamese is Latin.
        assert_eq!(TextSize::measure("tiếng Việt"), TextSize { narrow: 10, wide: 0 });
    }

    #[test]
    fn json_counts_only_its_strings() {
        let size = |narrow, wide| TextSize { narrow, wide };
        assert_eq!(TextSize::measure_json(r#""Hello""#), size(5, 0));
        assert_eq!(TextSize::measure_json("null"), size(0, 0));
        assert_eq!(
            TextSize::measure_json(r#"[{"name" : "f","arguments":"{\"a\":1}"},{"n":7}]"#),
            size(8, 0)
        );
        assert_eq!(TextSize::measure_json(r#""\u4f60\u00e9\n""#), size(2, 1));
        assert_eq!(TextSize::measure_json(r#""\ud83d\ude00 \ud83d""#), size(1, 2));
        assert_eq!(TextSize::measure_json(r#""unfinished \u4"#), size(12, 0));
        assert_eq!(TextSize::measure_json(&"[".repeat(100_000)), size(0, 0));
    }
}
