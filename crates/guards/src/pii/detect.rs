//! Detection of personal data: the scan of a text, and the choice among overlapping findings.

use std::collections::BTreeMap;
use std::ops::Range;

use regex_lite::Regex;

use super::api_key::ApiKeyScanner;
use super::boundaries::is_word;
use super::{checksummed, email, ip, phone};
use crate::settings::{Pii, PiiKind};

/// Maximum number of passes over the rest of a text after masking.
const MAX_PASSES: usize = 3;

/// Maximum number of findings in a text. Each one takes memory of its own, so that many short ones
/// would take many times the length of the text.
pub const MAX_MATCHES: usize = 10_000;

/// Maximum length of a match of an operator's pattern, in bytes.
pub const MAX_CUSTOM_BYTES: usize = 4 << 10;

/// Bytes that an operator's pattern may read of a text, besides a few times its length: enough for as
/// many matches as there may be.
const CUSTOM_SCAN_BYTES: usize = MAX_MATCHES * 2 * MAX_CUSTOM_BYTES;

/// Part of a text that is personal or secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiiMatch {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// Kind of the datum.
    pub detector: PiiDetector,
}

/// Kind of a datum.
///
/// Of two findings in the same place with the same length, the lesser one counts: first the
/// operator's patterns, then kinds with a check digit or prefix, then kinds with a form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PiiDetector {
    /// Operator's pattern of this index.
    Custom(usize),
    /// Built-in kind.
    Kind(PiiKind),
}

impl PiiDetector {
    /// Low-cardinality name: `email`, or the name of the operator's pattern.
    pub fn label(self, pii: &Pii) -> &str {
        match self {
            Self::Custom(number) => &pii.custom[number].name,
            Self::Kind(PiiKind::Email) => "email",
            Self::Kind(PiiKind::Phone) => "phone",
            Self::Kind(PiiKind::ChineseId) => "cn_id",
            Self::Kind(PiiKind::Card) => "card",
            Self::Kind(PiiKind::Address) => "ip",
            Self::Kind(PiiKind::ApiKey) => "api_key",
        }
    }

    fn priority(self) -> usize {
        match self {
            Self::Custom(number) => number,
            Self::Kind(PiiKind::ApiKey) => usize::MAX - 5,
            Self::Kind(PiiKind::ChineseId) => usize::MAX - 4,
            Self::Kind(PiiKind::Card) => usize::MAX - 3,
            Self::Kind(PiiKind::Phone) => usize::MAX - 2,
            Self::Kind(PiiKind::Email) => usize::MAX - 1,
            Self::Kind(PiiKind::Address) => usize::MAX,
        }
    }
}

/// Detects the data in a text, in order and without overlap: the longest of overlapping findings,
/// then by [`PiiDetector`]'s order. `None` if there are more than [`MAX_MATCHES`].
pub fn detect(pii: &Pii, text: &str) -> Option<Vec<PiiMatch>> {
    let mut found = Vec::new();
    detect_built_in(&pii.detect, text, 0..text.len(), &mut found)?;
    for (number, custom) in pii.custom.iter().enumerate() {
        detect_custom(&custom.pattern, text, PiiDetector::Custom(number), &mut found)?;
    }
    let mut found = remove_overlaps(found);
    // A part of a longer finding may be complete once that one is masked.
    for _ in 0..MAX_PASSES {
        if found.is_empty() {
            break;
        }
        let (mut more, mut start) = (Vec::new(), 0);
        for end in found
            .iter()
            .map(|found| found.at.clone())
            .chain(std::iter::once(text.len()..text.len()))
        {
            detect_built_in(&pii.detect, text, start..end.start, &mut more)?;
            start = end.end;
        }
        if more.is_empty() {
            break;
        }
        found.extend(remove_overlaps(more));
        sorting::sort_by_key(&mut found, |found| found.at.start);
    }
    Some(found)
}

/// Finds the matches of an operator's pattern, each at most [`MAX_CUSTOM_BYTES`] long. `None` if
/// there are too many.
///
/// A pattern may read on to the end of its input before it settles for a short match, at every
/// match again. So it receives the text up to a bounded distance only.
fn detect_custom(
    pattern: &Regex,
    text: &str,
    detector: PiiDetector,
    found: &mut Vec<PiiMatch>,
) -> Option<()> {
    let mut budget = CUSTOM_SCAN_BYTES + 3 * text.len();
    let mut at = 0;
    while at < text.len() {
        let end = custom_end(text, at);
        budget = budget.checked_sub(end - at)?;
        let is_last = end == text.len();
        match pattern.find_at(&text[..end], at) {
            None if is_last => break,
            // The next match may have begun in the last part of this one's input.
            None => at = text.floor_char_boundary(end - MAX_CUSTOM_BYTES),
            // The match may be longer than the input.
            Some(one) if one.end() == end && !is_last && one.start() > at => at = one.start(),
            Some(one) if one.is_empty() => at = text.ceil_char_boundary(one.end() + 1),
            Some(one) => {
                found.push(PiiMatch { at: one.range(), detector });
                at = one.end();
            }
        }
        if found.len() > MAX_MATCHES {
            return None;
        }
    }
    Some(())
}

/// Returns the end of the input of an operator's pattern that is searched for from `at` on.
pub(super) fn custom_end(text: &str, at: usize) -> usize {
    text.ceil_char_boundary((at + 2 * MAX_CUSTOM_BYTES).min(text.len()))
}

/// Returns the number of bytes at the end of an incomplete text that may belong to a built-in kind
/// that is not complete. No built-in kind crosses their beginning.
pub fn undecided_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut start = bytes.len();
    while let Some(&byte) = start.checked_sub(1).map(|at| &bytes[at]) {
        let is_part = match byte {
            // Numbers contain spaces; words do not.
            b' ' => start >= 2 && matches!(bytes[start - 2], b'0'..=b'9' | b')'),
            b'+' | b'(' | b')' | b':' | b'@' => true,
            _ => email::is_local_byte(byte),
        };
        if !is_part {
            break;
        }
        start -= 1;
    }
    bytes.len() - start
}

/// Scans a part of a text once and tries at each place the kinds that may begin there. `None` if
/// there are too many.
fn detect_built_in(
    kinds: &[PiiKind],
    text: &str,
    part: Range<usize>,
    found: &mut Vec<PiiMatch>,
) -> Option<()> {
    let (text, start) = (&text.as_bytes()[part.clone()], part.start);
    let wants = |kind| kinds.contains(&kind);
    let [emails, phones, ids, cards, addresses, keys] = [
        wants(PiiKind::Email),
        wants(PiiKind::Phone),
        wants(PiiKind::ChineseId),
        wants(PiiKind::Card),
        wants(PiiKind::Address),
        wants(PiiKind::ApiKey),
    ];
    let mut push = |kind, at: Option<Range<usize>>| {
        let Some(at) = at.map(|at| start + at.start..start + at.end) else { return Some(()) };
        found.push(PiiMatch { at, detector: PiiDetector::Kind(kind) });
        (found.len() <= MAX_MATCHES).then_some(())
    };
    // End of the colons that were tried.
    let mut colons = 0;
    let mut secrets = ApiKeyScanner::default();
    let mut before = b' ';
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'@' if emails => push(PiiKind::Email, email::find_around(text, at))?,
            b'+' | b'(' if phones => push(PiiKind::Phone, phone::find_at(text, at))?,
            b'0'..=b'9' if !is_word(before) => {
                if phones {
                    push(PiiKind::Phone, phone::find_at(text, at))?;
                }
                if ids {
                    push(PiiKind::ChineseId, checksummed::chinese_id(text, at))?;
                }
                if cards {
                    push(PiiKind::Card, checksummed::card(text, at))?;
                }
                if addresses {
                    push(PiiKind::Address, ip::find_ipv4(text, at))?;
                }
            }
            b':' if addresses && at >= colons => {
                let (end, address) = ip::find_ipv6(text, at);
                colons = end;
                push(PiiKind::Address, address)?;
            }
            b'a'..=b'z' | b'A'..=b'Z' if keys && !is_word(before) => {
                push(PiiKind::ApiKey, secrets.find_at(text, at))?;
            }
            _ => {}
        }
        before = byte;
    }
    Some(())
}

/// Removes findings that overlap a longer or more certain one.
fn remove_overlaps(mut found: Vec<PiiMatch>) -> Vec<PiiMatch> {
    let is_apart =
        |found: &[PiiMatch]| found.windows(2).all(|two| two[0].at.end <= two[1].at.start);
    if is_apart(&found) {
        return found;
    }
    sorting::sort_by_key(&mut found, |found| {
        (usize::MAX - found.at.len(), found.detector.priority(), found.at.start)
    });
    let mut kept: BTreeMap<usize, PiiMatch> = BTreeMap::new();
    for found in found {
        let last = kept.range(..found.at.end).next_back();
        if last.is_none_or(|(_, last)| last.at.end <= found.at.start) {
            kept.insert(found.at.start, found);
        }
    }
    kept.into_values().collect()
}
