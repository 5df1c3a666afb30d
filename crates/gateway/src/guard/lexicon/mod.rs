//! A list of words, and where a text has them.
//!
//! Words of scripts with spaces are found whole: `word` is not in `word1`. Those of scripts without
//! spaces (Chinese, Japanese, Thai, …) are found anywhere, since there is no dictionary here that
//! would say where words begin: an entry with `!` before it is a longer harmless word in which
//! shorter ones do not count. There is no stemming and no guessing at misspellings.

mod entries;
mod fold;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};

use entries::Entries;
use fold::{fold, is_joined, is_within_word, joined, originals};

/// Words that may not be said.
///
/// A text is gone through once, with one look into a table for each word, or for each character of a
/// script without spaces.
#[derive(Default)]
pub struct Lexicon {
    entries: Entries,
    digest: u64,
}

/// What a look at a text has come to.
enum Look {
    /// There is a word, at these bytes of the folded text.
    Found(Range<usize>),
    /// From this byte of the folded text on, it depends on what follows.
    Open(usize),
}

impl Lexicon {
    /// Takes in words; those of which nothing can be seen are left out. One with `!` before it is
    /// harmless, and so is what it contains.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        let entries = Entries::new(words.into_iter().inspect(|word| {
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
    /// space together or hides something unseen in it: [`Lexicon::undecided`] knows.
    pub fn longest(&self) -> usize {
        self.entries.longest
    }

    /// The first word in a text that is complete, in bytes of the text as it is.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.first(text, 0, false)
    }

    /// The same in a text that goes on: a word that may become a part of another one, or of a
    /// harmless one, is not there yet. Words that begin before `from` do not count; what stands there
    /// only says whether a word begins at `from`: its last character is enough.
    pub fn find_so_far(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.first(text, from, true)
    }

    /// The same at the end of a text.
    pub fn find_at_end(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.first(text, from, false)
    }

    /// How many bytes at the end of a text that goes on, after `from`, may be the beginning of a
    /// word: a stream that holds them back shows no part of a word, however it is cut.
    pub fn undecided(&self, text: &str, from: usize) -> usize {
        let folded = fold(&text[from..]);
        let mut open = None;
        self.look(&folded, is_within_word(&text[..from]), true, |look| {
            if let Look::Open(at) = look {
                open = Some(at);
            }
            false
        });
        let Some(open) = open else { return 0 };
        let rest = open..folded.len();
        let rest = originals(&text[from..], std::slice::from_ref(&rest));
        rest.first().map_or(0, |rest| text.len() - from - rest.start)
    }

    /// All words in a complete text that do not overlap: of those that begin together the longest.
    pub fn find_all(&self, text: &str) -> Vec<Range<usize>> {
        let folded = fold(text);
        let mut found: Vec<Range<usize>> = Vec::new();
        self.look(&folded, false, false, |look| {
            if let Look::Found(at) = look
                && found.last().is_none_or(|last| last.end <= at.start)
            {
                found.push(at);
            }
            false
        });
        originals(text, &found)
    }

    fn first(&self, text: &str, from: usize, goes_on: bool) -> Option<Range<usize>> {
        let folded = fold(&text[from..]);
        let mut found = None;
        self.look(&folded, is_within_word(&text[..from]), goes_on, |look| match look {
            Look::Found(at) => {
                found = Some(at);
                true
            }
            Look::Open(_) => false,
        });
        let at = originals(&text[from..], &[found?]);
        at.first().map(|at| from + at.start..from + at.end)
    }

    /// Goes through a folded text and says what there is, until told to stop or nothing is certain.
    fn look(
        &self,
        text: &str,
        is_within_word: bool,
        goes_on: bool,
        mut seen: impl FnMut(Look) -> bool,
    ) {
        let entries = &self.entries;
        // Where a harmless word begins, and up to where it reaches.
        let (mut safe_from, mut safe) = (0, 0);
        let mut at = if is_within_word { joined(text) } else { 0 };
        while let Some(first) = text[at..].chars().next() {
            let begin = at;
            let mut heads = [0, 0];
            if is_joined(first) {
                heads[0] = joined(&text[at..]);
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
            if goes_on && rest.len() <= entries.longest_bytes && entries.is_open(rest, heads[0]) {
                // What excuses it must be seen with it.
                seen(Look::Open(if begin < safe { safe_from } else { begin }));
                return;
            }
            let mut word = 0;
            for head in heads.into_iter().filter(|head| (1..=entries.longest_head).contains(head)) {
                let Some(bucket) = entries.bucket(&rest[..head]) else { continue };
                entries.prefixes(bucket, rest, |entry| {
                    let length = entries.length(entry);
                    if entries.is_harmless(entry) {
                        if begin + length > safe {
                            (safe_from, safe) = (begin, begin + length);
                        }
                    } else {
                        word = word.max(length);
                    }
                });
            }
            if begin + word > safe && word > 0 && seen(Look::Found(begin..begin + word)) {
                return;
            }
        }
    }
}

impl fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lexicon({} words)", self.len())
    }
}
