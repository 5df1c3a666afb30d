//! Numbers with a check digit: Chinese identity numbers and bank cards.

use std::ops::Range;

use super::boundaries::{digits_end, is_standalone};

/// Detects the identity number of a Chinese resident (GB 11643): place, day of birth, check digit.
pub(super) fn chinese_id(text: &[u8], at: usize) -> Option<Range<usize>> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let end = match digits_end(text, at) - at {
        18 => at + 18,
        17 if matches!(text.get(at + 17), Some(b'X' | b'x')) => at + 18,
        _ => return None,
    };
    let id = &text[at..end];
    let number = |part: &[u8]| part.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let (year, month, day) = (number(&id[6..10]), number(&id[10..12]), number(&id[12..14]));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let sum: u32 =
        WEIGHTS.iter().zip(id).map(|(weight, digit)| weight * u32::from(digit - b'0')).sum();
    // ISO 7064 MOD 11-2
    let check = b"10X98765432"[sum as usize % 11];
    let is_one = (b'1'..=b'9').contains(&id[0])
        && (1800..2100).contains(&year)
        && (1..=last).contains(&day)
        && id[17].to_ascii_uppercase() == check;
    (is_one && is_standalone(text, &(at..end), None)).then_some(at..end)
}

/// Detects a bank card number: 13 to 19 digits of a known issuer that pass Luhn's check, in one
/// group or in several with the same space or hyphen between them.
pub(super) fn card(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut number = [0; 19];
    let (mut count, mut start, mut by, mut longest) = (0, at, None, None);
    loop {
        let end = digits_end(text, start);
        let group = &text[start..end];
        // Cards are printed 4-4-4-4, 4-6-5 or, in China, 6-13.
        let is_group = start > at || group.len() == 4 || group.len() == 6 || group.len() >= 13;
        if !is_group || group.is_empty() || count + group.len() > number.len() {
            return longest;
        }
        number[count..count + group.len()].copy_from_slice(group);
        count += group.len();
        if is_card(&number[..count]) && is_standalone(text, &(at..end), by) {
            longest = Some(at..end);
        }
        match text.get(end) {
            Some(&next @ (b' ' | b'-')) if by.is_none_or(|by| by == next) && group.len() > 2 => {
                by = Some(next);
            }
            Some(_) | None => return longest,
        }
        start = end + 1;
    }
}

fn is_card(number: &[u8]) -> bool {
    let luhn = |sum: u32, (place, digit): (usize, &u8)| {
        let digit = u32::from(digit - b'0') << (place % 2);
        sum + digit / 10 + digit % 10
    };
    number.len() >= 13
        && has_known_issuer(number)
        && number.iter().rev().enumerate().fold(0, luhn) % 10 == 0
}

/// Whether an issuer uses numbers with this prefix and length.
fn has_known_issuer(number: &[u8]) -> bool {
    let lead = number[..4].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match lead {
        // Visa
        4000..=4999 => matches!(number.len(), 13 | 16 | 19),
        // American Express
        3400..=3499 | 3700..=3799 => number.len() == 15,
        // Mastercard
        5100..=5599 | 2221..=2720 => number.len() == 16,
        // Diners Club
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&number.len()),
        // Mir, JCB
        2200..=2204 | 3528..=3589 => (16..=19).contains(&number.len()),
        // Discover and RuPay (60, 64, 65, 81, 82), UnionPay (62, 81), Maestro
        6000..=6099 | 6440..=6599 | 6200..=6299 | 8100..=8299 => (16..=19).contains(&number.len()),
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true,
        // Old cards of ICBC
        9558 => number.len() == 19,
        _ => false,
    }
}
