//! Edits of bytes in place: the bytes between edits stay as they are.

use std::borrow::Cow;
use std::ops::Range;

/// Replacements of byte ranges, ordered by range and without overlap.
#[derive(Debug, Default)]
pub struct Edits<'a>(Vec<(Range<usize>, Cow<'a, str>)>);

impl<'a> Edits<'a> {
    /// Adds a replacement of a range; an empty range inserts. It follows the edits that begin at
    /// the same byte.
    ///
    /// Constant time if the range follows all others. Otherwise the later edits move: callers with
    /// many edits add them in order.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Cow<'a, str>>) {
        let at = self.0.partition_point(|(other, _)| other.start <= range.start);
        self.0.insert(at, (range, text.into()));
    }

    /// Whether there are no edits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the edited copy of `source`. All ranges must be inside of it.
    pub fn apply(&self, source: &[u8]) -> Vec<u8> {
        let added: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(source.len() + added);
        let mut end = 0;
        for (range, text) in &self.0 {
            out.extend_from_slice(&source[end..range.start]);
            out.extend_from_slice(text.as_bytes());
            end = range.end;
        }
        out.extend_from_slice(&source[end..]);
        out
    }

    /// Returns the edited copy of a text. All ranges must be inside of it, on character borders.
    pub fn apply_to_text(&self, source: &str) -> String {
        String::from_utf8(self.apply(source.as_bytes())).expect("ranges end on character borders")
    }
}

/// Returns the byte range of a part of `whole`, which must borrow from it.
pub fn range_in(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::Edits;

    #[test]
    fn edits_in_any_order_are_applied_by_range() {
        let mut edits = Edits::default();
        edits.replace(4..6, "EE");
        edits.replace(0..1, "");
        edits.replace(3..3, String::from("<"));
        edits.replace(3..3, ">");
        assert_eq!(edits.apply_to_text("aécdef"), "é<>cEEf");
    }

    #[test]
    fn no_edits_return_the_source() {
        let edits = Edits::default();
        assert!(edits.is_empty());
        assert_eq!(edits.apply(b"\xff"), b"\xff");
    }
}
