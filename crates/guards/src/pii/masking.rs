//! What takes the place of personal data in one request, and how it comes back in the answer.
//!
//! It restores what it made and nothing that looks like it: a model that writes `[Email_1]` or drops
//! a bracket is shown as it is. It keeps nothing after the request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;

use regex_lite::Regex;
use sha2::{Digest, Sha256};

use crate::settings::{Pii, PiiAction, PiiKind};

use super::super::{Dimension, Edit, Finding, Level, Verdict};
use super::{PiiDetector, PiiMatch, detect, undecided_bytes};

/// The masks of one request.
///
/// The same datum has the same mask in all its texts. A mask that two data share, as the operator's
/// own replacement may be, is not taken back.
#[derive(Default)]
pub struct Masks {
    /// By the kind's name in capitals and the datum.
    masks: BTreeMap<(String, String), String>,
    /// `None`: the mask stands for more than one.
    originals: BTreeMap<String, Option<String>>,
    /// The last number given, by name.
    numbers: BTreeMap<String, u32>,
    /// What the caller has written that looks like a placeholder.
    reserved: BTreeSet<String>,
    /// The bytes of the longest mask that may be restored, and the bytes with which masks begin: one
    /// bit for each.
    max_mask_bytes: usize,
    starts: [u64; 4],
}

impl Masks {
    /// Whether nothing can be restored.
    pub fn is_empty(&self) -> bool {
        self.originals.is_empty()
    }

    /// Keeps clear of what a text already has that looks like a placeholder. To be shown every text of
    /// a request before the first of them is masked.
    pub fn reserve_placeholders(&mut self, text: &str) {
        for (at, _) in text.match_indices('[') {
            let rest = &text[at..];
            let is_part = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
            let end = 1 + rest.as_bytes()[1..].iter().take_while(|byte| is_part(byte)).count();
            if rest[end..].starts_with(']') && rest[..end].contains('_') {
                self.reserved.insert(rest[..=end].to_owned());
            }
        }
    }

    /// What a guard says of a complete text.
    pub fn mask(&mut self, pii: &Pii, text: &str) -> Verdict {
        self.verdict(pii, text, &detect(pii, text))
    }

    /// The same of a text that goes on: what may yet grow is not looked at.
    pub fn mask_so_far(&mut self, pii: &Pii, text: &str) -> Verdict {
        let decided = text.len() - undecided_bytes(text);
        let mut found = detect(pii, text);
        found.retain(|found| found.at.end <= decided);
        self.verdict(pii, text, &found)
    }

    /// What takes the place of masks in a complete text, or in a text without its pending end.
    pub fn restore(&self, text: &str) -> Vec<Edit> {
        let mut edits = Vec::new();
        self.scan(text, false, |at, original| {
            let original = original.map(|text| Edit { at, text: text.to_owned() });
            edits.extend(original);
        });
        edits
    }

    /// How many bytes at the end of a text that goes on may be the beginning of a mask.
    pub fn undecided_bytes(&self, text: &str) -> usize {
        text.len() - self.scan(text, true, |_, _| {})
    }

    fn verdict(&mut self, pii: &Pii, text: &str, found: &[PiiMatch]) -> Verdict {
        self.reserve_placeholders(text);
        if found.is_empty() {
            return Verdict::Pass;
        }
        let findings = findings(pii, found);
        if pii.action == PiiAction::Refuse {
            return Verdict::Block(findings);
        }
        let mask =
            |found: &PiiMatch| Edit { at: found.at.clone(), text: self.mask_of(pii, text, found) };
        Verdict::Mask(found.iter().map(mask).collect(), findings)
    }

    fn mask_of(&mut self, pii: &Pii, text: &str, found: &PiiMatch) -> String {
        let original = &text[found.at.clone()];
        let name = placeholder_name(found.detector.label(pii));
        let key = (name, original.to_owned());
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
            (None, PiiAction::Replace | PiiAction::Refuse) => self.placeholder(&key.0),
        };
        if pii.restore && !mask.is_empty() {
            self.max_mask_bytes = self.max_mask_bytes.max(mask.len());
            let start = mask.as_bytes()[0];
            self.starts[usize::from(start >> 6)] |= 1 << (start & 63);
            let stands_for = self.originals.entry(mask.clone());
            let stands_for = stands_for.or_insert_with(|| Some(original.to_owned()));
            if stands_for.as_deref() != Some(original) {
                *stands_for = None;
            }
        }
        self.masks.insert(key, mask.clone());
        mask
    }

    /// The next placeholder of a kind that the caller has not written.
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

    /// Calls for each mask in a text, from the left, of two that begin together the longer. Where the
    /// text goes on, it stops before what may be the beginning of one. Returns where it stopped.
    fn scan(
        &self,
        text: &str,
        goes_on: bool,
        mut each: impl FnMut(Range<usize>, Option<&str>),
    ) -> usize {
        let is_start = |byte: u8| self.starts[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0;
        let mut at = 0;
        // A byte with which a mask begins never stands within a character.
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

    /// Whether a text is the beginning of a mask, and not all of it.
    fn is_mask_prefix(&self, text: &str) -> bool {
        let masks = self.originals.range::<str, _>((Included(text), Unbounded)).take(2);
        text.len() < self.max_mask_bytes && { masks }
            .any(|(mask, _)| mask.len() > text.len() && mask.starts_with(text))
    }

    /// The longest mask with which a text begins.
    fn longest_mask(&self, text: &str) -> Option<(&String, &Option<String>)> {
        let mut limit = &text[..text.floor_char_boundary(self.max_mask_bytes)];
        loop {
            // The last mask that is not after the limit; if it is no prefix of it, then what both
            // have in common is the longest that a prefix can be.
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

/// One finding for each kind, in the order in which they are found.
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

/// A name as it stands in a placeholder.
fn placeholder_name(name: &str) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(capital).collect()
}

/// The operator's replacement with what the groups of the pattern have found.
fn expand_replacement(pattern: &Regex, template: &str, text: &str, found: &PiiMatch) -> String {
    let mut mask = String::new();
    if let Some(captures) = pattern.captures_at(text, found.at.start) {
        captures.expand(template, &mut mask);
    }
    mask
}

/// SHA-256 in 64 hexadecimal digits.
fn sha256_hex(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text))
}
