//! A list of words, and where a text has them.
//!
//! Words of scripts with spaces are found whole: `word` is not in `word1`. Those of scripts without
//! spaces (Chinese, Japanese, Thai, …) are found anywhere, since there is no dictionary here that
//! would say where words begin: an entry with `!` before it is a longer harmless word in which
//! shorter ones do not count. There is no stemming and no guessing at misspellings.

mod index;
mod normalize;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use index::WordIndex;
use normalize::{is_within_word, is_word_char, normalize, original_ranges, word_prefix_length};
use sha2::{Digest, Sha256};

/// Words that may not be said.
///
/// A text is gone through once, with one look into a table for each word, or for each character of a
/// script without spaces.
#[derive(Default)]
pub struct WordList {
    entries: WordIndex,
    digest: u64,
}

/// What a look at a text has come to.
enum ScanResult {
    /// There is a word, at these bytes of the folded text.
    Found(Range<usize>),
    /// From this byte of the folded text on, it depends on what follows.
    Undecided(usize),
}

impl WordList {
    /// Takes in words; those of which nothing can be seen are left out. One with `!` before it is
    /// harmless, and so is what it contains.
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

    /// Stands for the words as they were given.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many words there are, harmless ones among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// The characters of the longest word. A text may have more of them for it, where it runs white
    /// space together or hides something unseen in it: [`WordList::undecided`] knows.
    pub fn max_chars(&self) -> usize {
        self.entries.max_chars
    }

    /// The first word in a text that is complete, in bytes of the text as it is.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.find_first(text, 0, false)
    }

    /// The same in a text that goes on: a word that may become a part of another one, or of a
    /// harmless one, is not there yet. Words that begin before `from` do not count; what stands there
    /// only says whether a word begins at `from`: its last character is enough.
    pub fn find_so_far(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.find_first(text, from, true)
    }

    /// The same at the end of a text.
    pub fn find_at_end(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.find_first(text, from, false)
    }

    /// How many bytes at the end of a text that goes on, after `from`, may be the beginning of a
    /// word: a stream that holds them back shows no part of a word, however it is cut.
    pub fn undecided(&self, text: &str, from: usize) -> usize {
        let folded = normalize(&text[from..]);
        let mut open = None;
        self.scan(&folded, is_within_word(&text[..from]), true, |look| {
            if let ScanResult::Undecided(at) = look {
                open = Some(at);
            }
            false
        });
        let Some(open) = open else { return 0 };
        let rest = open..folded.len();
        let rest = original_ranges(&text[from..], std::slice::from_ref(&rest));
        rest.first().map_or(0, |rest| text.len() - from - rest.start)
    }

    /// All words in a complete text that do not overlap: of those that begin together the longest.
    pub fn find_all(&self, text: &str) -> Vec<Range<usize>> {
        let folded = normalize(text);
        let mut found: Vec<Range<usize>> = Vec::new();
        self.scan(&folded, false, false, |look| {
            if let ScanResult::Found(at) = look
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
        self.scan(&folded, is_within_word(&text[..from]), goes_on, |look| match look {
            ScanResult::Found(at) => {
                found = Some(at);
                true
            }
            ScanResult::Undecided(_) => false,
        });
        let at = original_ranges(&text[from..], &[found?]);
        at.first().map(|at| from + at.start..from + at.end)
    }

    /// Goes through a folded text and says what there is, until told to stop or nothing is certain.
    fn scan(
        &self,
        text: &str,
        is_within_word: bool,
        goes_on: bool,
        mut seen: impl FnMut(ScanResult) -> bool,
    ) {
        let entries = &self.entries;
        // Where a harmless word begins, and up to where it reaches.
        let (mut safe_from, mut safe) = (0, 0);
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
                // What excuses it must be seen with it.
                seen(ScanResult::Undecided(if begin < safe { safe_from } else { begin }));
                return;
            }
            let mut word = 0;
            for head in heads.into_iter().filter(|head| (1..=entries.max_head_bytes).contains(head))
            {
                let Some(bucket) = entries.bucket(&rest[..head]) else { continue };
                entries.prefixes(bucket, rest, |entry| {
                    let length = entries.length(entry);
                    if entries.is_exception(entry) {
                        if begin + length > safe {
                            (safe_from, safe) = (begin, begin + length);
                        }
                    } else {
                        word = word.max(length);
                    }
                });
            }
            if begin + word > safe && word > 0 && seen(ScanResult::Found(begin..begin + word)) {
                return;
            }
        }
    }
}

impl fmt::Debug for WordList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lexicon({} words)", self.len())
    }
}
