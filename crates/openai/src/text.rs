//! How much text there is, without keeping any of it: what a token estimate needs.

use std::ops::AddAssign;

use memchr::memchr;

/// Characters of a text, by how densely tokenizers pack them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Characters of alphabetic scripts, digits, punctuation.
    pub narrow: u64,
    /// Characters of scripts without spaces between words (Chinese, Japanese, Korean), and emoji.
    pub wide: u64,
}

impl Weight {
    /// Weighs a text. Takes JSON as well as plain text: quotes and braces count as characters.
    pub fn of(text: &str) -> Self {
        // Continuation bytes aside, every byte begins a character; a lead byte of 0xE2 and above
        // with three or four bytes is a wide script but for general punctuation (U+2000..U+2DFF).
        let mut weight = Self::default();
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            // Most text is ASCII, and this is on every limited request's way: eight at once.
            if u64::from_ne_bytes(*word) & NOT_ASCII == 0 {
                weight.narrow += 8;
            } else {
                word.iter().for_each(|byte| weight.see(*byte));
            }
        }
        rest.iter().for_each(|byte| weight.see(*byte));
        weight
    }

    fn see(&mut self, byte: u8) {
        match byte {
            0x00..=0x7F | 0xC0..=0xE2 => self.narrow += 1,
            0x80..=0xBF => {}
            0xE3..=0xFF => self.wide += 1,
        }
    }

    /// Weighs every string inside a JSON value but for the names of members, whatever its shape: text,
    /// tool calls, parts, audio. It looks at the bytes alone, so neither deep nesting nor half a
    /// surrogate pair can make it fail.
    pub fn of_json(value: &str) -> Self {
        let mut weight = Self::default();
        let mut rest = value.as_bytes();
        while let Some(quote) = memchr(b'"', rest) {
            let (string, behind) = string_at(&rest[quote + 1..]);
            rest = behind;
            if !rest.trim_ascii_start().starts_with(b":") {
                weight += string;
            }
        }
        weight
    }

    /// Weighs a prompt: as [`Weight::of`], but for what is embedded in base64 (`data:` URLs of images
    /// and files), of which each piece counts as `embedded` characters however long it is: a provider
    /// bills pictures by their size in pixels. What only looks so within a text is text, and so is a
    /// list of tokens, each of which counts for one.
    pub fn of_prompt(text: &str, embedded: u64) -> Self {
        let mut weight = Self::default();
        if text
            .trim_start_matches(['[', ' ', '\n'])
            .starts_with(|first: char| first.is_ascii_digit())
        {
            let commas = memchr::memchr_iter(b',', text.as_bytes()).count() as u64;
            weight = Self::of(text);
            weight.narrow = weight.narrow.max((commas + 1) * CHARACTERS);
            return weight;
        }
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest.as_bytes(), BASE64) {
            let (before, from) = rest.split_at(at + BASE64.len());
            weight += Self::of(before);
            rest = from;
            if is_embedded(before) {
                let end = memchr(b'"', from.as_bytes()).unwrap_or(from.len());
                weight.narrow += embedded;
                rest = &from[end..];
            }
        }
        weight += Self::of(rest);
        weight
    }

    /// Whether there is no text.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The highest bit of each of eight bytes.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
/// What stands before embedded data (RFC 2397).
const BASE64: &[u8] = b";base64,";
/// The members whose text is a URL or a file, and none that is read as it stands.
const EMBEDDING: [&str; 5] = ["url", "image_url", "video_url", "audio_url", "file_data"];
/// What a token counts for, in characters.
const CHARACTERS: u64 = 4;

/// Whether JSON ends in the beginning of a `data:` URL where one belongs.
fn is_embedded(before: &str) -> bool {
    let member = before.rsplit_once('"').filter(|(_, url)| url.starts_with("data:"));
    let name = member
        .and_then(|(name, _)| name.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"'))
        .and_then(|name| name.rsplit_once('"'));
    // A quote behind a backslash is part of a text.
    name.is_some_and(|(head, name)| EMBEDDING.contains(&name) && !head.ends_with('\\'))
}

/// Weighs the string whose opening quote has just been passed, and gives what is behind its end.
fn string_at(bytes: &[u8]) -> (Weight, &[u8]) {
    let mut weight = Weight::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (weight, &bytes[at + 1..]),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                // The first two digits tell the script; the second half of a pair counts for nothing.
                let digits =
                    bytes.get(at + 2..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(0xDC..=0xDF) => {}
                    Some(0x30..=0xFF) => weight.wide += 1,
                    Some(_) | None => weight.narrow += 1,
                }
                at += 6;
            }
            b'\\' => {
                weight.narrow += 1;
                at += 2;
            }
            _ => {
                weight.see(*byte);
                at += 1;
            }
        }
    }
    (weight, &[])
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.narrow += other.narrow;
        self.wide += other.wide;
    }
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn eight_at_once_weigh_as_one_by_one(text in "[ -~é“你🙂]{0,40}") {
            let mut weight = super::Weight::default();
            text.bytes().for_each(|byte| weight.see(byte));
            assert_eq!(super::Weight::of(&text), weight);
        }
    }

    #[test]
    fn a_picture_is_not_read_as_text() {
        let text = |data: &str| format!("[{{\"url\":\"data:image/png;base64,{data}\"}},\"you\"]");
        let (short, long) = (text("QUJD"), text(&"QUJD".repeat(9_000)));
        assert_eq!(super::Weight::of_prompt(&short, 100), super::Weight::of_prompt(&long, 100));
        let bare = super::Weight::of(&text(""));
        assert_eq!(super::Weight::of_prompt(&long, 100).narrow, bare.narrow + 100);
        assert_eq!(super::Weight::of_prompt("plain", 100), super::Weight::of("plain"));
        for text in [
            format!(r#"[{{"content":"x;base64,{}"}}]"#, "word ".repeat(9_000)),
            format!(r#"[{{"content":"data:x;base64,{}"}}]"#, "word ".repeat(9_000)),
            format!(r#"[{{"content":"{{\"url\":\"data:x;base64,{}"}}]"#, "word ".repeat(9_000)),
        ] {
            assert_eq!(super::Weight::of_prompt(&text, 100), super::Weight::of(&text));
        }
    }

    #[test]
    fn a_list_of_tokens_counts_each() {
        for text in ["[1,2,3]", "[[1,2],[3]]", "[ 1, 2, 3 ]"] {
            assert_eq!(super::Weight::of_prompt(text, 100).narrow, 12, "{text}");
        }
    }

    use super::Weight;

    #[test]
    fn scripts_are_told_apart() {
        assert_eq!(Weight::of("Hello, wörld…"), Weight { narrow: 13, wide: 0 });
        assert_eq!(Weight::of("你好 hi 🐦"), Weight { narrow: 4, wide: 3 });
    }

    #[test]
    fn json_is_weighed_by_its_strings() {
        let weight = |narrow, wide| Weight { narrow, wide };
        assert_eq!(Weight::of_json(r#""Hello""#), weight(5, 0));
        assert_eq!(Weight::of_json("null"), weight(0, 0));
        assert_eq!(
            Weight::of_json(r#"[{"name" : "f","arguments":"{\"a\":1}"},{"n":7}]"#),
            weight(8, 0)
        );
        assert_eq!(Weight::of_json(r#""\u4f60\u00e9\n""#), weight(2, 1));
        assert_eq!(Weight::of_json(r#""\ud83d\ude00 \ud83d""#), weight(1, 2));
        assert_eq!(Weight::of_json(r#""unfinished \u4"#), weight(12, 0));
        assert_eq!(Weight::of_json(&"[".repeat(100_000)), weight(0, 0));
    }
}
