//! Masks personal data in a request and restores it in the answer.
//!
//! Only masks of this request are restored, and only exact ones: `[Email_1]` or a mask without its
//! bracket stays as the model wrote it. Nothing is kept after the request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;

use regex_lite::Regex;

use crate::settings::{Pii, PiiAction, PiiKind};
use crate::sha256::sha256_hex;
use crate::{Dimension, Edit, Finding, Level, Verdict};

use super::detect::{PiiDetector, PiiMatch, custom_end, detect, undecided_bytes};

/// Maximum number of masks that are kept. Further data share a mask without a number, which is not
/// restored.
const MAX_MASKS: usize = 10_000;

/// Longest datum that is restored, in bytes: a model may repeat the mask of a long one without cost.
const MAX_RESTORED_DATUM_BYTES: usize = 1 << 10;

/// Longest mask that is restored, in bytes. Only an operator's replacement can be longer.
const MAX_MASK_BYTES: usize = 256;

/// Maximum length of all data that one answer restores, in bytes. Further masks stay.
pub const MAX_RESTORED_BYTES: usize = 256 << 10;

/// Longest placeholder, in bytes. A longer text is none, whatever its form.
const MAX_PLACEHOLDER_BYTES: usize = 256;

/// Masks of one request.
///
/// The same datum has the same mask in all texts. A mask of two data, which the operator's own
/// replacement may be, is not restored.
#[derive(Default)]
pub struct Masks {
    /// Mask, by the kind's name in capitals and the datum, or the digest of a long one.
    masks: BTreeMap<(String, String), String>,
    /// Datum by mask; `None` if the mask stands for more than one.
    originals: BTreeMap<String, Option<String>>,
    /// Last number by kind.
    numbers: BTreeMap<String, u32>,
    /// Texts of the caller that look like placeholders.
    reserved: BTreeSet<String>,
    /// The caller has written more of them than are kept.
    has_too_many_reserved: bool,
    /// Length of the longest mask that may be restored, in bytes, and the first bytes of masks, one
    /// bit each.
    max_mask_bytes: usize,
    starts: [u64; 4],
}

impl Masks {
    /// Whether nothing can be restored.
    pub fn is_empty(&self) -> bool {
        self.originals.is_empty()
    }

    /// Reserves texts that look like placeholders. Requires every text of a request before the
    /// first one is masked.
    pub fn reserve_placeholders(&mut self, text: &str) {
        for (at, _) in text.match_indices('[') {
            let rest = &text[at..];
            let is_part = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
            let name = rest.as_bytes()[1..].iter().take(MAX_PLACEHOLDER_BYTES);
            let end = 1 + name.take_while(|byte| is_part(byte)).count();
            let is_placeholder = end < MAX_PLACEHOLDER_BYTES
                && rest[end..].starts_with(']')
                && rest[..end].contains('_');
            if !is_placeholder || self.reserved.contains(&rest[..=end]) {
                continue;
            }
            if self.reserved.len() == MAX_MASKS {
                self.has_too_many_reserved = true;
                return;
            }
            self.reserved.insert(rest[..=end].to_owned());
        }
    }

    /// Checks and masks a complete text.
    pub fn mask(&mut self, pii: &Pii, text: &str) -> Verdict {
        self.verdict(pii, text, detect(pii, text))
    }

    /// Checks and masks an incomplete text, except for the end that may still grow into a finding.
    pub fn mask_so_far(&mut self, pii: &Pii, text: &str) -> Verdict {
        let decided = text.len() - undecided_bytes(text);
        let mut found = detect(pii, text);
        if let Some(found) = &mut found {
            found.retain(|found| found.at.end <= decided);
        }
        self.verdict(pii, text, found)
    }

    /// Returns the edits that restore the masks of a text without an undecided end, with at most
    /// `max_bytes` of data. Further masks stay.
    pub fn restore(&self, text: &str, max_bytes: usize) -> Vec<Edit> {
        let (mut edits, mut left) = (Vec::new(), Some(max_bytes));
        self.scan(text, false, |at, original| {
            let Some(original) = original else { return };
            left = left.and_then(|left| left.checked_sub(original.len()));
            if left.is_some() {
                edits.push(Edit { at, text: original.to_owned() });
            }
        });
        edits
    }

    /// Returns the number of bytes at the end of an incomplete text that may be the beginning of a
    /// mask.
    pub fn undecided_bytes(&self, text: &str) -> usize {
        text.len() - self.scan(text, true, |_, _| {})
    }

    fn verdict(&mut self, pii: &Pii, text: &str, found: Option<Vec<PiiMatch>>) -> Verdict {
        self.reserve_placeholders(text);
        let Some(found) = found.as_deref() else { return Verdict::TooMany };
        if found.is_empty() {
            return Verdict::Pass;
        }
        let findings = findings(pii, found);
        if pii.action == PiiAction::Refuse {
            return Verdict::Block(findings);
        }
        if self.has_too_many_reserved {
            return Verdict::TooMany;
        }
        let mask =
            |found: &PiiMatch| Edit { at: found.at.clone(), text: self.mask_of(pii, text, found) };
        Verdict::Mask(found.iter().map(mask).collect(), findings)
    }

    fn mask_of(&mut self, pii: &Pii, text: &str, found: &PiiMatch) -> String {
        let original = &text[found.at.clone()];
        let name = placeholder_name(found.detector.label(pii));
        let datum = match original.len() {
            0..=MAX_RESTORED_DATUM_BYTES => original.to_owned(),
            _ => sha256_hex(original),
        };
        let key = (name, datum);
        if let Some(mask) = self.masks.get(&key) {
            return mask.clone();
        }
        let own = match found.detector {
            PiiDetector::Custom(number) => {
                let custom = &pii.custom[number];
                let template = custom.replacement.as_ref();
                template.map(|template| expand_replacement(&custom.pattern, template, text, found))
            }
            PiiDetector::Kind(_) => None,
        };
        let mask = match (own, pii.action) {
            (Some(own), _) => own,
            (None, PiiAction::Hash) => sha256_hex(original),
            (None, PiiAction::Replace | PiiAction::Refuse) if self.masks.len() >= MAX_MASKS => {
                return format!("[{}]", key.0);
            }
            (None, PiiAction::Replace | PiiAction::Refuse) => self.placeholder(&key.0),
        };
        if pii.restore && (1..=MAX_MASK_BYTES).contains(&mask.len()) {
            self.keep_original(&mask, original);
        }
        if self.masks.len() < MAX_MASKS {
            self.masks.insert(key, mask.clone());
        }
        mask
    }

    /// Keeps a datum for its mask. A mask of several data, or of a long one, stays as it is.
    fn keep_original(&mut self, mask: &str, original: &str) {
        if self.originals.len() >= MAX_MASKS && !self.originals.contains_key(mask) {
            return;
        }
        let is_short = original.len() <= MAX_RESTORED_DATUM_BYTES;
        self.max_mask_bytes = self.max_mask_bytes.max(mask.len());
        let start = mask.as_bytes()[0];
        self.starts[usize::from(start >> 6)] |= 1 << (start & 63);
        let stands_for = self.originals.entry(mask.to_owned());
        let stands_for = stands_for.or_insert_with(|| is_short.then(|| original.to_owned()));
        if stands_for.as_deref() != Some(original) {
            *stands_for = None;
        }
    }

    /// Returns the next placeholder of a kind that the caller has not written.
    fn placeholder(&mut self, name: &str) -> String {
        let number = self.numbers.entry(name.to_owned()).or_default();
        loop {
            *number += 1;
            let placeholder = format!("[{name}_{number}]");
            if !self.reserved.contains(&placeholder) {
                return placeholder;
            }
        }
    }

    /// Calls `each` for the masks in a text from the left, the longer one of two that begin
    /// together. In an incomplete text it stops before a possible beginning of a mask. Returns the
    /// place at which it stopped.
    fn scan(
        &self,
        text: &str,
        goes_on: bool,
        mut each: impl FnMut(Range<usize>, Option<&str>),
    ) -> usize {
        let is_start = |byte: u8| self.starts[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0;
        let mut at = 0;
        // The first byte of a mask is never inside a character.
        while let Some(skip) = text.as_bytes()[at..].iter().position(|byte| is_start(*byte)) {
            at += skip;
            let rest = &text[at..];
            if goes_on && self.is_mask_prefix(rest) {
                return at;
            }
            if let Some((mask, original)) = self.longest_mask(rest) {
                each(at..at + mask.len(), original.as_deref());
                at += mask.len();
            } else {
                at += rest.chars().next().map_or(0, char::len_utf8);
            }
        }
        text.len()
    }

    /// Whether a text is a proper prefix of a mask.
    fn is_mask_prefix(&self, text: &str) -> bool {
        let masks = self.originals.range::<str, _>((Included(text), Unbounded)).take(2);
        text.len() < self.max_mask_bytes && { masks }
            .any(|(mask, _)| mask.len() > text.len() && mask.starts_with(text))
    }

    /// Returns the longest mask at the beginning of a text.
    fn longest_mask(&self, text: &str) -> Option<(&String, &Option<String>)> {
        let mut limit = &text[..text.floor_char_boundary(self.max_mask_bytes)];
        loop {
            // Last mask that is not after the limit. If it is not a prefix of the limit, their
            // common part bounds the longest possible prefix.
            let last = self.originals.range::<str, _>((Unbounded, Included(limit))).next_back()?;
            let common = last.0.bytes().zip(limit.bytes()).take_while(|(one, other)| one == other);
            let common = common.count();
            if common == last.0.len() {
                return Some(last);
            }
            limit = &limit[..limit.floor_char_boundary(common)];
            if limit.is_empty() {
                return None;
            }
        }
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({} of them)", self.masks.len())
    }
}

/// Makes one finding of each kind, in the order of the text.
fn findings(pii: &Pii, found: &[PiiMatch]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for found in found {
        let label = found.detector.label(pii);
        if findings.iter().all(|finding| finding.label != label) {
            let level = match found.detector {
                PiiDetector::Kind(PiiKind::ChineseId | PiiKind::Card | PiiKind::ApiKey) => {
                    Level::High
                }
                PiiDetector::Kind(PiiKind::Email | PiiKind::Phone | PiiKind::Address)
                | PiiDetector::Custom(_) => Level::Medium,
            };
            let dimension = Dimension::SensitiveData;
            findings.push(Finding { dimension, level, label: label.to_owned() });
        }
    }
    findings
}

/// Converts the name of a kind for its placeholder.
fn placeholder_name(name: &str) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(capital).collect()
}

/// Expands the operator's replacement with the groups of the pattern.
fn expand_replacement(pattern: &Regex, template: &str, text: &str, found: &PiiMatch) -> String {
    let mut mask = String::new();
    let input = &text[..custom_end(text, found.at.start)];
    if let Some(captures) = pattern.captures_at(input, found.at.start) {
        captures.expand(template, &mut mask);
    }
    mask
}
