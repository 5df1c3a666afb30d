//! Telephone numbers: Chinese, American with separators, and international after a `+`. Ten digits
//! alone are no American number: they may be anything.

use std::ops::Range;

use super::boundaries::{byte_before, digits_end, is_digit_at, is_standalone, is_word};

/// Detects the number that begins at a digit, a `+`, or a `(`.
pub(super) fn find_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    match text[at] {
        b'+' => international(text, at),
        _ => chinese(text, at)
            .or_else(|| american(text, at))
            .filter(|(end, by)| is_standalone(text, &(at..*end), *by))
            .map(|(end, _)| at..end),
    }
}

/// Returns the end of a Chinese number and the separator of its groups.
fn chinese(text: &[u8], at: usize) -> Option<(usize, Option<u8>)> {
    let first = digits_end(text, at);
    let rest = &text[at..first];
    let country = if rest.starts_with(b"0086") { 4 } else { 2 };
    if rest.starts_with(b"0086") || rest.starts_with(b"86") {
        if rest.len() > country {
            return mobile(text, at + country).filter(|(_, by)| by.is_none());
        }
        return matches!(text.get(first), Some(b' ' | b'-'))
            .then(|| mobile(text, first + 1))
            .flatten();
    }
    mobile(text, at).or_else(|| landline(text, at))
}

/// `13800138000`, `138 0013 8000`, `138-0013-8000`
fn mobile(text: &[u8], at: usize) -> Option<(usize, Option<u8>)> {
    let end = digits_end(text, at);
    if !matches!(text.get(at..at + 2), Some([b'1', b'3'..=b'9'])) {
        return None;
    }
    if end - at == 11 {
        return Some((end, None));
    }
    let by = *text.get(end).filter(|by| matches!(by, b' ' | b'-'))?;
    let end = (end - at == 3).then(|| group_end(text, end, by, 4)).flatten()?;
    Some((group_end(text, end, by, 4)?, Some(by)))
}

/// `010-12345678`, `0755-1234567`
fn landline(text: &[u8], at: usize) -> Option<(usize, Option<u8>)> {
    let area = digits_end(text, at);
    let is_area = matches!(&text[at..area], [b'0', b'1' | b'2', _] | [b'0', b'3'..=b'9', _, _]);
    let end =
        is_area.then(|| group_end(text, area, b'-', 8).or_else(|| group_end(text, area, b'-', 7)));
    end.flatten().map(|end| (end, Some(b'-')))
}

/// `212-555-1234`, `(212) 555-1234`, `1 212 555 1234`
fn american(text: &[u8], at: usize) -> Option<(usize, Option<u8>)> {
    let is_area = |at: usize| {
        digits_end(text, at) == at + 3 && matches!(text[at..at + 3], [b'2'..=b'9', b'0'..=b'8', _])
    };
    match text[at] {
        b'1' if matches!(text.get(at + 1), Some(b' ' | b'-' | b'.')) => {
            let next = *text.get(at + 2)?;
            let is_start = next == b'(' || is_area(at + 2);
            is_start.then(|| american(text, at + 2)).flatten()
        }
        b'(' => {
            let shut = is_area(at + 1) && text.get(at + 4) == Some(&b')');
            let middle = at + 5 + usize::from(text.get(at + 5) == Some(&b' '));
            let by = *text.get(middle + 3).filter(|by| matches!(by, b' ' | b'-' | b'.'))?;
            let is_exchange = matches!(text[middle], b'2'..=b'9');
            let end = (shut && is_exchange && digits_end(text, middle) == middle + 3)
                .then(|| group_end(text, middle + 3, by, 4))
                .flatten()?;
            Some((end, Some(by)))
        }
        b'2'..=b'9' if is_area(at) => {
            let by = *text.get(at + 3).filter(|by| matches!(by, b' ' | b'-' | b'.'))?;
            let is_exchange = matches!(text.get(at + 4), Some(b'2'..=b'9'));
            let end = is_exchange.then(|| group_end(text, at + 3, by, 3)).flatten()?;
            Some((group_end(text, end, by, 4)?, Some(by)))
        }
        _ => None,
    }
}

/// Number after a `+`: at most 15 digits (E.164), in groups.
fn international(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_sum = byte_before(text, at).is_some_and(|byte| byte == b'+' || is_word(byte));
    if is_sum || !matches!(text.get(at + 1), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut number, mut count, mut start, mut longest) = ([0; 15], 0, at + 1, None);
    loop {
        let end = digits_end(text, start);
        let group = &text[start..end];
        if group.is_empty() || count + group.len() > number.len() {
            return longest;
        }
        number[count..count + group.len()].copy_from_slice(group);
        count += group.len();
        let is_number = match number {
            [b'1', ..] => count == 11 && number[1] >= b'2',
            [b'8', b'6', b'1', b'3'..=b'9', ..] => count == 13,
            _ => count >= 8,
        };
        if is_number && is_standalone(text, &(at..end), Some(b'-')) {
            longest = Some(at..end);
        }
        // One separator between groups, or two with brackets.
        start = match (text.get(end), text.get(end + 1)) {
            (Some(b' ' | b'-' | b'.'), Some(b'(')) | (Some(b')'), Some(b' ' | b'-')) => end + 2,
            (Some(b' ' | b'-' | b'.' | b'(' | b')'), Some(_)) => end + 1,
            _ => return longest,
        };
    }
}

/// Returns the end of a group of `count` digits after a separator.
fn group_end(text: &[u8], at: usize, by: u8, count: usize) -> Option<usize> {
    let is_group = text.get(at) == Some(&by)
        && is_digit_at(text, at + 1)
        && digits_end(text, at + 1) == at + 1 + count;
    is_group.then_some(at + 1 + count)
}
