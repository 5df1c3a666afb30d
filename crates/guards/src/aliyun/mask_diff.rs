//! Difference between a text and its masked form from the service.

use crate::Edit;

/// Way to mask a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MaskDiff {
    /// Edits, at least one.
    Edits(Vec<Edit>),
    /// No mask: the service does not give one.
    Nothing,
}

/// Computes the difference between a text and its masked form. Texts with the same number of
/// characters are compared character by character and may differ in several places. Others differ
/// in their middle.
pub(super) fn diff(text: &str, mask: &str) -> MaskDiff {
    if mask.trim().is_empty() || mask == text {
        return MaskDiff::Nothing;
    }
    if text.chars().count() == mask.chars().count() {
        return MaskDiff::Edits(positional_diff(text, mask));
    }
    let (start, end) = common_affixes(text, mask);
    let edit = Edit { at: start..text.len() - end, text: mask[start..mask.len() - end].to_owned() };
    MaskDiff::Edits(vec![edit])
}

/// Returns the runs of characters that differ.
fn positional_diff(text: &str, mask: &str) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for ((at, one), other) in text.char_indices().zip(mask.chars()) {
        if one == other {
            continue;
        }
        let end = at + one.len_utf8();
        match edits.last_mut().filter(|last| last.at.end == at) {
            Some(last) => {
                last.at.end = end;
                last.text.push(other);
            }
            None => edits.push(Edit { at: at..end, text: other.to_string() }),
        }
    }
    edits
}

/// Returns the number of bytes that two texts share at their beginnings and, apart from those, at
/// their ends.
fn common_affixes(one: &str, other: &str) -> (usize, usize) {
    let same = |(a, b): &(char, char)| a == b;
    let bytes = |pairs: &mut dyn Iterator<Item = (char, char)>| {
        pairs.take_while(same).map(|(character, _)| character.len_utf8()).sum::<usize>()
    };
    let start = bytes(&mut one.chars().zip(other.chars()));
    let (one, other) = (&one[start..], &other[start..]);
    (start, bytes(&mut one.chars().rev().zip(other.chars().rev())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MaskDiff, diff};

    fn apply(text: &str, mask: &str) -> String {
        let MaskDiff::Edits(edits) = diff(text, mask) else { return text.to_owned() };
        let (mut out, mut seen) = (String::new(), 0);
        for edit in edits {
            out.push_str(&text[seen..edit.at.start]);
            out.push_str(&edit.text);
            seen = edit.at.end;
        }
        out + &text[seen..]
    }

    #[track_caller]
    fn assert_diff(text: &str, mask: &str, expected: &[(std::ops::Range<usize>, &str)]) {
        let found = match diff(text, mask) {
            MaskDiff::Edits(edits) => edits,
            MaskDiff::Nothing => Vec::new(),
        };
        let found: Vec<_> =
            found.iter().map(|edit| (edit.at.clone(), edit.text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn diff_edits_only_differing_characters() {
        assert_diff("我的号码 13912345678。", "我的号码 139****5678。", &[(16..20, "****")]);
        assert_diff("a 12 b 34 c", "a ** b ** c", &[(2..4, "**"), (7..9, "**")]);
        assert_diff("call 13912345678 now", "call <phone> now", &[(5..16, "<phone>")]);
        assert_diff("aaa", "aa", &[(2..3, "")]);
        assert_diff("é1", "**", &[(0..3, "**")]);
        assert_diff("same", "same", &[]);
        assert_diff("some", " ", &[]);
    }

    proptest! {
        #[test]
        fn diff_edits_produce_masked_text(text in "[ab1é界]{0,12}", mask in "[ab*é界]{1,12}") {
            prop_assert_eq!(apply(&text, &mask), mask);
        }
    }
}
