//! Borders of words and numbers in a text.

use std::ops::Range;

/// Whether a byte is part of a word. Characters outside ASCII are not: numbers follow Chinese text
/// without a space.
pub(super) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

pub(super) fn byte_before(text: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).map(|at| text[at])
}

pub(super) fn is_digit_at(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(u8::is_ascii_digit)
}

/// Returns the end of the digits that begin at a place.
pub(super) fn digits_end(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Whether a number is no part of a longer number or word. `by` separates the groups of its digits.
pub(super) fn is_standalone(text: &[u8], at: &Range<usize>, by: Option<u8>) -> bool {
    let joins = |byte: u8| byte == b'.' || (byte == b'-' && by == Some(b'-'));
    let open = match byte_before(text, at.start).filter(|_| text[at.start] != b'(') {
        Some(byte) if is_word(byte) => false,
        Some(byte) if joins(byte) => at.start < 2 || !is_digit_at(text, at.start - 2),
        Some(_) | None => true,
    };
    let shut = match text.get(at.end) {
        Some(&byte) if is_word(byte) => false,
        Some(&byte) if joins(byte) => !is_digit_at(text, at.end + 1),
        Some(_) | None => true,
    };
    open && shut
}
