//! Normalization of characters for comparison, and borders of words.
//!
//! It uses no knowledge of languages: no synonyms, no mapping of traditional to simplified
//! characters, no look-alike letters of other scripts, no removal of accents.

use std::ops::Range;

/// Normalizes a text: lower case, half width, one space for any white space, no invisible
/// characters.
pub(super) fn normalize(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    normalize_into(&mut folded, text);
    folded
}

/// Appends the normalized form of a text.
pub(super) fn normalize_into(folded: &mut String, text: &str) {
    let mut was_space = false;
    for character in text.chars() {
        // Most characters; they cost no more than a copy.
        if matches!(character, '!'..='~') {
            folded.push(character.to_ascii_lowercase());
            was_space = false;
            continue;
        }
        let Some(character) = normalize_char(character) else { continue };
        if !(was_space && character == ' ') {
            folded.push(character);
        }
        was_space = character == ' ';
    }
}

/// Maps ranges of the normalized text to ranges of the original. The ranges are in order and apart.
pub(super) fn original_ranges(text: &str, folded: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut originals: Vec<Range<usize>> = Vec::with_capacity(folded.len());
    let (mut length, mut was_space, mut start) = (0, false, 0);
    for (at, character) in text.char_indices() {
        let Some(wanted) = folded.get(originals.len()) else { break };
        let Some(folded_to) = normalize_char(character) else { continue };
        let is_more_space = was_space && folded_to == ' ';
        was_space = folded_to == ' ';
        if is_more_space {
            continue;
        }
        if length == wanted.start {
            start = at;
        }
        length += folded_to.len_utf8();
        if length == wanted.end {
            originals.push(start..at + character.len_utf8());
        }
    }
    originals
}

/// Normalizes a character. `None` if it is invisible, or only drawn over the one before it.
pub fn normalize_char(character: char) -> Option<char> {
    match character {
        ' '..='~' => Some(character.to_ascii_lowercase()),
        '\u{3041}'..='\u{3163}' | '\u{3165}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7FF}' => {
            Some(character)
        }
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character) - 0xFEE0).map(|narrow| narrow.to_ascii_lowercase())
        }
        _ if is_invisible(character) => None,
        // The one letter with another form at the end of a word.
        'ς' => Some('σ'),
        _ if character.is_whitespace() => Some(' '),
        _ => styled_letter(character).or_else(|| character.to_lowercase().next()),
    }
}

/// Whether a character has no appearance of its own.
fn is_invisible(character: char) -> bool {
    match character {
        // Control characters, except white space.
        '\t'..='\r' | '\u{85}' => false,
        _ if character.is_control() => true,
        // Unicode's Default_Ignorable_Code_Point: soft hyphen, joiners, direction marks, fillers,
        // variation selectors, tags.
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' => true,
        // Annotation marks, and a Braille pattern without dots.
        '\u{FFF9}'..='\u{FFFB}' | '\u{2800}' => true,
        // Marks that are drawn over other characters or around them, and belong to no script.
        '\u{334}'..='\u{338}' | '\u{20D0}'..='\u{20F0}' | '\u{FE20}'..='\u{FE2F}' => true,
        _ => false,
    }
}

/// Returns the plain form of a letter or digit in a style of mathematics, or in a circle, square, or
/// parentheses.
fn styled_letter(character: char) -> Option<char> {
    let code = u32::from(character);
    let letter = |number: u32| char::from_u32(u32::from('a') + number % 26);
    let digit = |number: u32| char::from_digit(number, 10);
    match code {
        0x1D400..=0x1D6A3 => letter(code - 0x1D400),
        0x1D7CE..=0x1D7FF => digit((code - 0x1D7CE) % 10),
        0x2460..=0x2468 => digit(code - 0x2460 + 1),
        0x2474..=0x247C => digit(code - 0x2474 + 1),
        0x2488..=0x2490 => digit(code - 0x2488 + 1),
        0x24EA | 0x24FF => Some('0'),
        0x24F5..=0x24FD => digit(code - 0x24F5 + 1),
        0x249C..=0x24B5 => letter(code - 0x249C),
        0x24B6..=0x24E9 => letter(code - 0x24B6),
        0x1F110..=0x1F129 => letter(code - 0x1F110),
        0x1F130..=0x1F149 => letter(code - 0x1F130),
        0x1F150..=0x1F169 => letter(code - 0x1F150),
        0x1F170..=0x1F189 => letter(code - 0x1F170),
        // Letters of these styles that Unicode had before.
        _ => Some(match character {
            'ℂ' | 'ℭ' => 'c',
            'ℊ' => 'g',
            'ℋ' | 'ℌ' | 'ℍ' | 'ℎ' => 'h',
            'ℐ' | 'ℑ' => 'i',
            'ℒ' | 'ℓ' => 'l',
            'ℕ' => 'n',
            'ℙ' => 'p',
            'ℚ' => 'q',
            'ℛ' | 'ℜ' | 'ℝ' => 'r',
            'ℤ' | 'ℨ' => 'z',
            'ℬ' => 'b',
            'ℯ' | 'ℰ' => 'e',
            'ℱ' => 'f',
            'ℳ' => 'm',
            'ℴ' => 'o',
            _ => return None,
        }),
    }
}

/// Whether a character forms a word with its neighbors: letters, digits, and `_`, except in scripts
/// without spaces between words and in Korean, whose particles attach to words.
pub(super) fn is_word_char(character: char) -> bool {
    match character {
        '\0'..='\x7F' => character == '_' || character.is_ascii_alphanumeric(),
        // Marks on letters, and the scripts of India, whose vowels are marks.
        '\u{964}' | '\u{965}' => false,
        '\u{300}'..='\u{36F}' | '\u{900}'..='\u{DFF}' => true,
        // Thai, Lao, Tibetan, Burmese
        '\u{E00}'..='\u{109F}'
        | '\u{1100}'..='\u{11FF}'
        // Khmer
        | '\u{1780}'..='\u{17FF}'
        // Chinese, Japanese, Korean
        | '\u{2E80}'..='\u{2FFF}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{31FF}'
        | '\u{3400}'..='\u{9FFF}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FFDC}'
        | '\u{1B000}'..='\u{1B16F}'
        | '\u{20000}'..='\u{3FFFF}' => false,
        _ => character.is_alphanumeric(),
    }
}

/// Whether a letter after a text would continue a word.
pub(super) fn is_within_word(text: &str) -> bool {
    text.chars().rev().find_map(normalize_char).is_some_and(is_word_char)
}

/// Length of the word at the beginning of a text, in bytes.
pub(super) fn word_prefix_length(text: &str) -> usize {
    let plain =
        text.bytes().take_while(|byte| *byte == b'_' || byte.is_ascii_alphanumeric()).count();
    if text.as_bytes().get(plain).is_none_or(u8::is_ascii) {
        return plain;
    }
    let rest = &text[plain..];
    plain + rest.find(|character| !is_word_char(character)).unwrap_or(rest.len())
}
