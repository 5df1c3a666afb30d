//! E-mail addresses of ASCII letters in their common form: no quotes, no comments, no bare hosts.

use std::ops::Range;

/// Maximum lengths of the part before the `@` and of the domain (RFC 5321).
const MAX_LOCAL_LENGTH: usize = 64;
const MAX_DOMAIN_LENGTH: usize = 255;

/// Detects the address around an `@`.
pub(super) fn find_around(text: &[u8], at: usize) -> Option<Range<usize>> {
    let local = text[..at]
        .iter()
        .rev()
        .take(MAX_LOCAL_LENGTH + 1)
        .take_while(|byte| is_local_byte(**byte))
        .count();
    if local > MAX_LOCAL_LENGTH {
        return None;
    }
    // Punctuation before the first letter or digit belongs to the sentence.
    let lead = text[at - local..at].iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
    let is_doubtful = lead == local || text[at - 1] == b'.';
    let end = at + 1 + domain_length(&text[at + 1..])?;
    (!is_doubtful).then_some(at - local + lead..end)
}

/// Returns the length of the domain at the beginning of a text, in bytes: labels, the last of them
/// letters.
fn domain_length(text: &[u8]) -> Option<usize> {
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let (mut start, mut end) = (0, None);
    loop {
        let label = text[start..].iter().take(64).take_while(|byte| is_label(byte)).count();
        let label = &text[start..start + label];
        let trimmed = label.iter().rposition(|byte| *byte != b'-').map_or(0, |last| last + 1);
        if trimmed == 0 || trimmed > 63 || label[0] == b'-' || start + trimmed > MAX_DOMAIN_LENGTH {
            return end;
        }
        let is_top =
            start > 0 && trimmed >= 2 && label[..trimmed].iter().all(u8::is_ascii_alphabetic);
        if is_top || (start > 0 && label.starts_with(b"xn--")) {
            end = Some(start + trimmed);
        }
        start += label.len();
        if trimmed < label.len() || text.get(start) != Some(&b'.') {
            return end;
        }
        start += 1;
    }
}

/// Whether a byte may appear before the `@`.
pub(super) fn is_local_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-'".contains(&byte)
}
