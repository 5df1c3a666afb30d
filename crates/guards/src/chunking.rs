//! Splits a long text into chunks for a service, and joins the edits of chunks into edits of the
//! text.
//!
//! It cuts after a sentence, else at a space, else within a word. After a cut of the last two kinds
//! the next chunk repeats the end of this one, since a finding may cross the cut.

use std::ops::Range;

use super::Edit;

/// Overlap of two chunks after a cut that is not at the end of a sentence, in characters: longer
/// than nearly every term and number, and cheap in comparison with a chunk. At most a quarter of a
/// chunk.
pub const OVERLAP_CHARS: usize = 64;

/// Replaces text that overlapping chunks mask in different ways.
const CONFLICT_MASK: &str = "****";

/// Place to cut.
#[derive(Clone, Copy)]
struct CutPoint {
    /// Byte offset.
    at: usize,
    /// Whether a sentence or the text ends here.
    is_clean: bool,
}

/// Splits a text into chunks of at most `max` characters, as byte ranges in order. Every
/// character is in one chunk, and in two only within [`OVERLAP_CHARS`]. An empty text has no chunk.
///
/// A character beyond Unicode's first plane counts as two, as in services written in Java.
pub fn chunk_text(text: &str, max: usize) -> Vec<Range<usize>> {
    let overlap = OVERLAP_CHARS.min(max / 4);
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let cut = find_cut(&text[start..], max);
        let end = start + cut.at;
        chunks.push(start..end);
        start = if cut.is_clean { end } else { end - suffix_bytes(&text[start..end], overlap) };
    }
    chunks
}

/// Finds the end of the first chunk of a text. It searches only the second half: short chunks would
/// cost many calls.
fn find_cut(text: &str, max: usize) -> CutPoint {
    let (mut length, mut sentence, mut space) = (0, None, None);
    for (at, character) in text.char_indices() {
        length += character.len_utf16();
        if length > max && at > 0 {
            let hard = CutPoint { at, is_clean: false };
            return sentence.or(space).unwrap_or(hard);
        }
        if length < max.div_ceil(2) {
            continue;
        }
        let end = at + character.len_utf8();
        if ends_sentence(character, text[end..].chars().next()) {
            sentence = Some(CutPoint { at: end, is_clean: true });
        } else if character.is_whitespace() {
            space = Some(CutPoint { at: end, is_clean: false });
        }
    }
    CutPoint { at: text.len(), is_clean: true }
}

/// Whether a sentence ends with this character. A full stop inside a word (`example.com`, `3.14`)
/// ends none.
fn ends_sentence(character: char, next: Option<char>) -> bool {
    match character {
        '。' | '！' | '？' | '\n' => true,
        '.' | '!' | '?' => next.is_some_and(char::is_whitespace),
        _ => false,
    }
}

/// Returns the number of bytes of the last characters of a text.
fn suffix_bytes(text: &str, max: usize) -> usize {
    let mut length = 0;
    let fits = text.chars().rev().take_while(|character| {
        length += character.len_utf16();
        length <= max
    });
    fits.map(char::len_utf8).sum()
}

/// Joins the edits of chunks into edits of the text, in order and each once. Overlapping edits that
/// differ become one mask over everything that any of them masks.
pub fn join_edits(parts: impl IntoIterator<Item = (Range<usize>, Vec<Edit>)>) -> Vec<Edit> {
    let shifted = parts.into_iter().flat_map(|(chunk, edits)| {
        edits.into_iter().map(move |edit| Edit {
            at: chunk.start + edit.at.start..chunk.start + edit.at.end,
            text: edit.text,
        })
    });
    let mut edits: Vec<Edit> = shifted.collect();
    sorting::sort_by_key(&mut edits, |edit| (edit.at.start, edit.at.end));
    edits.dedup();
    let mut joined: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        match joined.last_mut().filter(|last| {
            edit.at.start < last.at.end || (edit.at == last.at && edit.at.is_empty())
        }) {
            Some(last) => {
                last.at.end = last.at.end.max(edit.at.end);
                last.text = CONFLICT_MASK.to_owned();
            }
            None => joined.push(edit),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Edit;

    use super::{OVERLAP_CHARS, chunk_text, join_edits};

    #[track_caller]
    fn assert_chunks(text: &str, max: usize, expected: &[&str]) {
        let found: Vec<&str> = chunk_text(text, max).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn chunks_end_at_sentences_then_at_spaces() {
        assert_chunks("", 8, &[]);
        assert_chunks("short", 8, &["short"]);
        assert_chunks("exactly8", 8, &["exactly8"]);
        assert_chunks("你好吗？我很好。再见", 8, &["你好吗？我很好。", "再见"]);
        assert_chunks("one two. three", 12, &["one two.", " three"]);
        assert_chunks("one\ntwo three", 6, &["one\n", "two ", " three"]);
        // A full stop within a word ends no sentence. The chunk after a space or a cut within a
        // word overlaps.
        assert_chunks("aaaa bb.cc", 9, &["aaaa ", "a bb.cc"]);
        assert_chunks("abcdefghijkl", 8, &["abcdefgh", "ghijkl"]);
        // A sentence that ends in the first half would make a short chunk.
        assert_chunks("a. bcdefghijk", 8, &["a. bcdef", "efghijk"]);
    }

    #[test]
    fn chunk_below_character_width_holds_one_character() {
        assert_chunks("😀😀😀", 4, &["😀😀", "😀"]);
        assert_chunks("😀é", 1, &["😀", "é"]);
        assert_chunks("ab", 0, &["a", "b"]);
    }

    fn edit(at: std::ops::Range<usize>, text: &str) -> Edit {
        Edit { at, text: text.to_owned() }
    }

    #[test]
    fn edits_of_chunks_are_joined() {
        let apart = [(0..10, vec![edit(1..3, "x")]), (10..20, vec![edit(0..2, "y")])];
        assert_eq!(join_edits(apart), [edit(1..3, "x"), edit(10..12, "y")]);
        let twice = [(0..10, vec![edit(7..9, "x")]), (6..20, vec![edit(1..3, "x")])];
        assert_eq!(join_edits(twice), [edit(7..9, "x")]);
        let halves = [(0..10, vec![edit(7..10, "x")]), (6..20, vec![edit(2..8, "y")])];
        assert_eq!(join_edits(halves), [edit(7..14, "****")]);
    }

    const TEXT: &str = "[a-d 。.\n!😀界]{0,120}";

    proptest! {
        #[test]
        fn chunks_cover_text_within_limit(text in TEXT, max in 0_usize..40) {
            let chunks = chunk_text(&text, max);
            let mut seen = 0;
            for (index, at) in chunks.iter().enumerate() {
                prop_assert!(text.is_char_boundary(at.start) && text.is_char_boundary(at.end));
                let length = text[at.clone()].encode_utf16().count();
                let is_one = text[at.clone()].chars().count() == 1;
                prop_assert!(length <= max || is_one);
                prop_assert!(at.start <= seen && at.end > seen, "{:?}", chunks);
                if index > 0 {
                    let again = text[at.start..seen].encode_utf16().count();
                    prop_assert!(again <= OVERLAP_CHARS.min(max / 4));
                }
                seen = at.end;
            }
            prop_assert_eq!(seen, text.len());
        }

        #[test]
        fn term_across_cut_is_whole_in_some_chunk(
            before in "[a-c 界]{0,300}", term in "[a-e 界]{1,50}", after in "[a-c 界]{0,300}",
        ) {
            // Without sentence ends every cut but the last is at a space or within a word.
            let text = format!("{before}{term}{after}");
            let at = before.len()..before.len() + term.len();
            let holds = |chunk: &std::ops::Range<usize>| chunk.start <= at.start && at.end <= chunk.end;
            prop_assert!(chunk_text(&text, 220).iter().any(holds));
        }
    }
}
