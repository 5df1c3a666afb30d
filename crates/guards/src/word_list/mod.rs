//! Word lists: search for the words of a list in a text.
//!
//! Words of scripts with spaces must match whole: `word` is not in `word1`. Words of scripts
//! without spaces (Chinese, Japanese, Thai, …) match anywhere, since without a dictionary the
//! borders of words are unknown. An entry with `!` before it is an exception: a longer harmless
//! word in which shorter ones do not count. There is no stemming and no matching of misspellings.
//!
//! The algorithm is not Aho–Corasick. For each position that may begin a word it looks up the head in
//! a hash table, then searches the entries with that head by bisection (see `index`). The
//! `aho-corasick` and `daachorse` crates provide neither whole words by script nor exceptions. Nor
//! do they report the end of an incomplete text that is still undecided, which a stream requires.

mod index;
mod normalize;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use index::WordIndex;
pub use normalize::normalize_char;
use normalize::{is_within_word, is_word_char, normalize, original_ranges, word_prefix_length};
use sha2::{Digest, Sha256};

/// List of blocked words.
///
/// A search is one pass over the text, with one table lookup for each word, or for each character
/// of a script without spaces.
#[derive(Default)]
pub struct WordList {
    entries: WordIndex,
    digest: u64,
}

/// Event of a scan.
enum ScanResult {
    /// Word at these bytes of the normalized text.
    Found(Range<usize>),
    /// The result from this byte of the normalized text on depends on the following text.
    Undecided(usize),
}

impl WordList {
    /// Builds a list. Words without visible characters are left out. A word with `!` before it is
    /// an exception.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        let entries = WordIndex::new(words.into_iter().inspect(|word| {
            hash.update(word);
            hash.update("\n");
        }));
        let digest =
            hash.finalize().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        Self { entries, digest }
    }

    /// Digest of the words as given.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Number of words and exceptions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are neither words nor exceptions.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Finds the first word in a complete text, in bytes of the original text.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.find_first(text, 0, false)
    }

    /// Finds the first word in an incomplete text. A word that may become part of a longer word or
    /// exception does not count yet. Words that begin before `from` do not count; that text only
    /// shows whether a word begins at `from`, and its last character is enough.
    pub fn find_so_far(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.find_first(text, from, true)
    }

    /// Finds the first word at the end of a text, like [`WordList::find_so_far`].
    pub fn find_at_end(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.find_first(text, from, false)
    }

    /// Returns the number of bytes at the end of an incomplete text, after `from`, that may be the
    /// beginning of a word. A stream that holds them back shows no part of a word under any split.
    pub fn undecided(&self, text: &str, from: usize) -> usize {
        let folded = normalize(&text[from..]);
        let mut open = None;
        self.scan(&folded, is_within_word(&text[..from]), true, |result| {
            if let ScanResult::Undecided(at) = result {
                open = Some(at);
            }
            false
        });
        let Some(open) = open else { return 0 };
        let rest = open..folded.len();
        let rest = original_ranges(&text[from..], std::slice::from_ref(&rest));
        rest.first().map_or(0, |rest| text.len() - from - rest.start)
    }

    /// Finds all words in a complete text that do not overlap; the longest of those that begin
    /// together.
    #[cfg(test)]
    fn find_all(&self, text: &str) -> Vec<Range<usize>> {
        let folded = normalize(text);
        let mut found: Vec<Range<usize>> = Vec::new();
        self.scan(&folded, false, false, |result| {
            if let ScanResult::Found(at) = result
                && found.last().is_none_or(|last| last.end <= at.start)
            {
                found.push(at);
            }
            false
        });
        original_ranges(text, &found)
    }

    fn find_first(&self, text: &str, from: usize, goes_on: bool) -> Option<Range<usize>> {
        let folded = normalize(&text[from..]);
        let mut found = None;
        self.scan(&folded, is_within_word(&text[..from]), goes_on, |result| match result {
            ScanResult::Found(at) => {
                found = Some(at);
                true
            }
            ScanResult::Undecided(_) => false,
        });
        let at = original_ranges(&text[from..], &[found?]);
        at.first().map(|at| from + at.start..from + at.end)
    }

    /// Scans a normalized text and reports its events, until `report` returns true or the rest is
    /// undecided.
    fn scan(
        &self,
        text: &str,
        is_within_word: bool,
        goes_on: bool,
        mut report: impl FnMut(ScanResult) -> bool,
    ) {
        let entries = &self.entries;
        // Range of the last exception.
        let (mut exception_start, mut exception_end) = (0, 0);
        let mut at = if is_within_word { word_prefix_length(text) } else { 0 };
        while let Some(first) = text[at..].chars().next() {
            let begin = at;
            let mut heads = [0, 0];
            if is_word_char(first) {
                heads[0] = word_prefix_length(&text[at..]);
                at += heads[0];
            } else {
                let one = first.len_utf8();
                heads[0] = one + text[at + one..].chars().next().map_or(0, char::len_utf8);
                heads[1] = if entries.has_single && heads[0] > one { one } else { 0 };
                at += one;
                if first == ' ' {
                    continue;
                }
            }
            let rest = &text[begin..];
            if goes_on && rest.len() <= entries.max_bytes && entries.is_open(rest, heads[0]) {
                // An undecided word is checked again together with its exception.
                report(ScanResult::Undecided(if begin < exception_end {
                    exception_start
                } else {
                    begin
                }));
                return;
            }
            let mut word = 0;
            for head in heads.into_iter().filter(|head| (1..=entries.max_head_bytes).contains(head))
            {
                let Some(bucket) = entries.bucket(&rest[..head]) else { continue };
                entries.prefixes(bucket, rest, |entry| {
                    let length = entries.length(entry);
                    if entries.is_exception(entry) {
                        if begin + length > exception_end {
                            (exception_start, exception_end) = (begin, begin + length);
                        }
                    } else {
                        word = word.max(length);
                    }
                });
            }
            if begin + word > exception_end
                && word > 0
                && report(ScanResult::Found(begin..begin + word))
            {
                return;
            }
        }
    }
}

impl fmt::Debug for WordList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WordList({} words)", self.len())
    }
}
