//! IP addresses. An IPv4 address cannot be distinguished from a version number with four parts; a
//! number with a `v` before it or with five parts is none.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::boundaries::{byte_before, digits_end, is_standalone, is_word};

/// Length of the longest IPv6 address, with an IPv4 address at its end.
const MAX_IPV6_LENGTH: usize = 45;

/// Detects the IPv4 address that begins at a digit.
pub(super) fn find_ipv4(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut start = at;
    for part in 0..4 {
        let end = digits_end(text, start);
        let digits = &text[start..end];
        let is_byte = match digits {
            [_] => true,
            [b'1'..=b'9', _] | [b'1', _, _] | [b'2', b'0'..=b'4', _] => true,
            [b'2', b'5', last] => *last <= b'5',
            _ => false,
        };
        if !is_byte {
            return None;
        }
        if part == 3 {
            return is_standalone(text, &(at..end), None).then_some(at..end);
        }
        if text.get(end) != Some(&b'.') {
            return None;
        }
        start = end + 1;
    }
    None
}

/// Detects the IPv6 address around a colon. Also returns the end of the colons that need no second
/// look.
pub(super) fn find_ipv6(text: &[u8], colon: usize) -> (usize, Option<Range<usize>>) {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let lead =
        text[..colon].iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = colon - lead;
    let run = text[colon..].iter().take_while(|byte| is_part(byte)).count();
    let (mut end, over) = (colon + run, colon + run);
    // Full stop or colon after the address.
    while end > colon && (text[end - 1] == b'.' || text[..end].ends_with(b":")) {
        if text[..end].ends_with(b"::") {
            break;
        }
        end -= 1;
    }
    let is_alone = !byte_before(text, start).is_some_and(|byte| is_word(byte) || byte == b'.')
        && !text.get(over).is_some_and(|byte| is_word(*byte));
    if lead > 4 || !is_alone || end - start > MAX_IPV6_LENGTH {
        return (over, None);
    }
    let token = &text[start..end];
    let colons = token.iter().filter(|byte| **byte == b':').count();
    let parts = token.split(|byte| *byte == b':').filter(|part| !part.is_empty()).count();
    // `a::b` is a name in some programming languages, and `::` is the unspecified address.
    let is_plain = colons >= 2 && (parts > 2 || token.iter().any(u8::is_ascii_digit));
    let parsed = is_plain.then(|| str::from_utf8(token).ok()?.parse::<Ipv6Addr>().ok()).flatten();
    (over, parsed.map(|_| start..end))
}
