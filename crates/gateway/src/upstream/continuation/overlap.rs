//! Removes the overlap between a text and its continuation.
//!
//! It works on text, not on events.

/// A shorter repetition may be intended, in bytes.
const MIN_OVERLAP_BYTES: usize = 16;
/// Bytes of the first text's end that are compared.
const MAX_OVERLAP_BYTES: usize = 2 << 10;

/// The end of a text, and the beginning of its continuation while that may still repeat it.
#[derive(Debug)]
pub(crate) struct OverlapTrimmer {
    end: String,
    /// `None` once the overlap is decided: everything is new.
    held: Option<String>,
}

impl OverlapTrimmer {
    /// Creates the overlap state behind a text.
    pub(crate) fn after(text: &str) -> Self {
        let from = text.len().saturating_sub(MAX_OVERLAP_BYTES);
        let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        Self { end: text[from..].to_owned(), held: Some(String::new()) }
    }

    /// Adds text and returns the part that is certainly new.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let Some(held) = &mut self.held else { return text.to_owned() };
        held.push_str(text);
        if self.suffix_lengths(|end, held| end.starts_with(held)).next().is_some() {
            return String::new();
        }
        self.finish()
    }

    /// Whether text is held back.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.is_empty())
    }

    /// Ends the text and returns the new part of what is held back.
    pub(crate) fn finish(&mut self) -> String {
        // The longest repetition contains all shorter ones.
        let repeated =
            self.suffix_lengths(|end, held| held.starts_with(end)).next().unwrap_or_default();
        self.held.take().unwrap_or_default().split_off(repeated)
    }

    /// Lengths of the ends of the first text, the longest first, for which `stand` holds with the
    /// held text.
    fn suffix_lengths(&self, stand: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = usize> {
        let held = self.held.as_deref().unwrap_or_default();
        let ends = self.end.char_indices().map(|(at, _)| &self.end[at..]);
        let long = ends.take_while(|end| end.len() >= MIN_OVERLAP_BYTES);
        long.filter(move |end| stand(end, held)).map(str::len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::OverlapTrimmer;

    /// Text that is shown of a continuation in pieces of `size` characters.
    fn shown(before: &str, after: &str, size: usize) -> String {
        let mut trimmer = OverlapTrimmer::after(before);
        let all: Vec<char> = after.chars().collect();
        let pieces = all.chunks(size).map(|piece| trimmer.push(&piece.iter().collect::<String>()));
        let mut text: String = pieces.collect();
        text += &trimmer.finish();
        text
    }

    #[track_caller]
    fn assert_shown(before: &str, after: &str, expected: &str) {
        for size in [1, 2, 3, 7, 1_000] {
            assert_eq!(shown(before, after, size), expected, "{size} at a time");
        }
    }

    #[test]
    fn repetition_is_cut_and_nothing_else() {
        let said = "It was a dark and stormy night; the rain";
        assert_shown(said, " fell in torrents", " fell in torrents");
        assert_shown(said, "stormy night; the rain fell", " fell");
        assert_shown(said, "It was a dark and stormy night; the rain fell", " fell");
        assert_shown(said, said, "");
        assert_shown(said, "the rain", "the rain");
        assert_shown(said, "night; the rain", "night; the rain");
        assert_shown(said, "stormy night; the rainbow", "bow");
        assert_shown(said, "stormy night; the sun", "stormy night; the sun");
        assert_shown("夜は暗く嵐であった", "暗く嵐であった。雨が", "。雨が");
        assert_shown("", "Hello", "Hello");
    }

    #[test]
    fn longer_of_two_repetitions_is_cut() {
        let wave = "over and over and over and over";
        assert_shown(wave, "over and over and over and over again", " again");
    }

    #[test]
    fn repetition_before_the_compared_end_is_kept() {
        let long = "é".repeat(5_000) + "and this is the end";
        assert_shown(&long, "and this is the end of it", " of it");
    }

    proptest! {
        #[test]
        fn overlap_is_independent_of_the_pieces(before in "[ab ]{0,60}", after in "[ab ]{0,60}", size in 1usize..9) {
            let whole = shown(&before, &after, 1_000);
            assert!(after.ends_with(&whole));
            assert_eq!(shown(&before, &after, size), whole);
            let cut = &after[..after.len() - whole.len()];
            assert!(cut.is_empty() || (cut.len() >= 16 && before.ends_with(cut)));
        }
    }
}
