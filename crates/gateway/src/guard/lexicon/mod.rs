//! A list of words, and where a text has them.
//!
//! Words of scripts with spaces are found whole: `word` is not in `word1`. Those of scripts without
//! spaces (Chinese, Japanese, Thai, …) are found anywhere, since there is no dictionary here that
//! would say where words begin: an entry with `!` before it is a longer harmless word in which
//! shorter ones do not count. There is no stemming and no guessing at misspellings.

mod fold;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use fold::{fold, fold_into, is_joined, is_within_word, originals};

/// Words that may not be said.
///
/// Entries lie in one text, sorted by how they begin, beside a table of their beginnings: a few times
/// the size of the list, and one look into the table for each word (or unspaced character) of a text.
#[derive(Default)]
pub struct Lexicon {
    /// All entries, folded, one after the other: by head, then by what follows it.
    text: String,
    /// Where each entry ends.
    ends: Vec<u32>,
    /// The entries that are harmless, in order.
    harmless: Vec<u32>,
    /// The first entry with each head, and the number of entries.
    buckets: Vec<u32>,
    /// Open addressing: 0, or a part of the hash of the head whose bucket `slots` says.
    tags: Vec<u8>,
    slots: Vec<u32>,
    /// The characters and the bytes of the longest entry, and the bytes of the longest head.
    longest: usize,
    longest_bytes: usize,
    longest_head: usize,
    /// Whether a head is a single character of a script without spaces.
    has_single: bool,
}

/// An entry while the list is sorted.
struct Draft {
    /// The beginning of the head, so that most comparisons need not look at the text.
    key: u64,
    start: u32,
    head: u32,
    end: u32,
    is_harmless: bool,
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
        let mut text = String::new();
        let mut drafts = Vec::new();
        for word in words {
            let word = word.trim();
            let harmless = word.strip_prefix('!');
            let start = text.len();
            fold_into(&mut text, harmless.unwrap_or(word).trim());
            // Something unseen may have stood before or after a space.
            text.truncate(start + text[start..].trim_end().len());
            let lead = text[start..].len() - text[start..].trim_start().len();
            let start = start + lead;
            if start < text.len() {
                drafts.push(Draft::new(&text, start, harmless.is_some()));
            }
        }
        drafts.sort_unstable_by(|one, other| {
            let key = one.key.cmp(&other.key);
            key.then_with(|| one.order(&text).cmp(&other.order(&text)))
        });
        drafts.dedup_by(|one, other| one.order(&text) == other.order(&text));
        Self::sorted(&text, &drafts)
    }

    fn sorted(text: &str, drafts: &[Draft]) -> Self {
        let mut this = Self {
            text: String::with_capacity(text.len()),
            ends: Vec::with_capacity(drafts.len()),
            ..Self::default()
        };
        let mut last = "";
        for draft in drafts {
            let entry = &text[draft.start as usize..draft.end as usize];
            let head = &entry[..draft.head as usize];
            let number = small(this.ends.len());
            if draft.is_harmless {
                this.harmless.push(number);
            }
            if head != last {
                this.buckets.push(number);
                last = head;
            }
            this.text.push_str(entry);
            this.ends.push(small(this.text.len()));
            let characters = entry.chars().count();
            this.longest = this.longest.max(characters);
            this.longest_bytes = this.longest_bytes.max(entry.len());
            this.longest_head = this.longest_head.max(head.len());
            this.has_single |= characters == 1;
        }
        this.index();
        this
    }

    /// Makes the table of heads, half of it empty.
    fn index(&mut self) {
        let size = (self.buckets.len() * 2).next_power_of_two();
        self.buckets.push(small(self.ends.len()));
        self.tags = vec![0; size];
        self.slots = vec![0; size];
        for bucket in 0..self.buckets.len() - 1 {
            let (tag, mut slot) = self.address(self.head(bucket));
            while self.tags[slot] != 0 {
                slot = (slot + 1) % size;
            }
            self.tags[slot] = tag;
            self.slots[slot] = small(bucket);
        }
    }

    /// How many words there are, harmless ones among them.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The characters of the longest word. A text may have more of them for it, where it runs white
    /// space together or hides something unseen in it: [`Lexicon::undecided`] knows.
    pub fn longest(&self) -> usize {
        self.longest
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
        let at = originals(&text[from..], &[open..folded.len()]);
        at.first().map_or(0, |at| text.len() - from - at.start)
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
        // Up to here a harmless word reaches.
        let mut safe = 0;
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
                heads[1] = if self.has_single && heads[0] > one { one } else { 0 };
                at += one;
                if first == ' ' {
                    continue;
                }
            }
            let rest = &text[begin..];
            if goes_on && rest.len() <= self.longest_bytes && self.is_open(rest, heads[0]) {
                seen(Look::Open(begin));
                return;
            }
            let mut word = 0;
            for head in heads.into_iter().filter(|head| (1..=self.longest_head).contains(head)) {
                let Some(bucket) = self.bucket(&rest[..head]) else { continue };
                self.prefixes(bucket, rest, |entry| {
                    let length = self.entry(entry).len();
                    if self.harmless.binary_search(&small(entry)).is_ok() {
                        safe = safe.max(begin + length);
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

    /// Calls for every entry of a bucket with which a text begins, as whole words; longest first.
    fn prefixes(&self, bucket: Range<usize>, text: &str, mut each: impl FnMut(usize)) {
        let (begin, mut end) = (bucket.start, bucket.end);
        let mut limit = &text.as_bytes()[..text.len().min(self.longest_bytes)];
        loop {
            // The last entry that is not after the limit; if it is no prefix of it, then what both
            // have in common is the longest that a prefix can be.
            let at = self.partition(begin..end, |entry| entry.as_bytes() <= limit);
            if at == begin {
                return;
            }
            let entry = self.entry(at - 1).as_bytes();
            let common = entry.iter().zip(limit).take_while(|(one, other)| one == other).count();
            let length = entry.len();
            if common == length && !is_within(text, length) {
                each(at - 1);
            }
            limit = &limit[..common];
            end = at - 1;
        }
    }

    /// Whether a text, the first `head` bytes of which are looked up, is the beginning of a longer
    /// entry, or one that a longer word may hide.
    fn is_open(&self, text: &str, head: usize) -> bool {
        let entries = if head == text.len() {
            // There may be more to the head itself.
            let bucket = self.partition_buckets(|head| head < text);
            self.buckets[bucket] as usize..self.len()
        } else {
            let Some(bucket) = self.bucket(&text[..head]) else { return false };
            self.partition(bucket.clone(), |entry| entry < text)..bucket.end
        };
        let entries = entries.map(|entry| self.entry(entry));
        let mut entries = entries.take_while(|entry| entry.starts_with(text));
        entries.any(|entry| {
            entry.len() > text.len() || entry.chars().next_back().is_some_and(is_joined)
        })
    }

    fn entry(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[number] as usize]
    }

    fn head(&self, bucket: usize) -> &str {
        let entry = self.entry(self.buckets[bucket] as usize);
        &entry[..head(entry)]
    }

    /// The entries with a head.
    fn bucket(&self, head: &str) -> Option<Range<usize>> {
        if self.is_empty() {
            return None;
        }
        let (tag, mut slot) = self.address(head);
        while self.tags[slot] != 0 {
            let bucket = self.slots[slot] as usize;
            if self.tags[slot] == tag && self.head(bucket) == head {
                return Some(self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize);
            }
            slot = (slot + 1) % self.tags.len();
        }
        None
    }

    /// The tag of a head and where its slot would be (FNV-1a: the list is the operator's, nobody
    /// else's, so that nobody can choose heads that collide).
    fn address(&self, head: &str) -> (u8, usize) {
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = head.bytes().fold(0x811C_9DC5, step);
        let hash = hash ^ (hash >> 15);
        ((hash >> 24) as u8 | 1, hash as usize & (self.tags.len() - 1))
    }

    /// The first of some entries for which something is not so any more.
    fn partition(&self, entries: Range<usize>, is_before: impl Fn(&str) -> bool) -> usize {
        split(entries, |entry| is_before(self.entry(entry)))
    }

    fn partition_buckets(&self, is_before: impl Fn(&str) -> bool) -> usize {
        split(0..self.buckets.len() - 1, |bucket| is_before(self.head(bucket)))
    }
}

impl fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lexicon({} words)", self.len())
    }
}

impl Draft {
    fn new(text: &str, start: usize, is_harmless: bool) -> Self {
        let head = head(&text[start..]);
        let mut key = [0; 8];
        let kept = head.min(8);
        key[..kept].copy_from_slice(&text.as_bytes()[start..start + kept]);
        let (key, end) = (u64::from_be_bytes(key), small(text.len()));
        Self { key, start: small(start), head: small(head), end, is_harmless }
    }

    fn order<'t>(&self, text: &'t str) -> (&'t str, &'t str, bool) {
        let entry = &text[self.start as usize..self.end as usize];
        (&entry[..self.head as usize], entry, self.is_harmless)
    }
}

/// The bytes of what is looked up for an entry: its first word, or its first two characters where its
/// script has no spaces.
fn head(entry: &str) -> usize {
    let mut characters = entry.chars();
    match characters.next() {
        Some(first) if is_joined(first) => joined(entry),
        Some(first) => first.len_utf8() + characters.next().map_or(0, char::len_utf8),
        None => 0,
    }
}

/// The bytes of the characters at the beginning of a text that make one word.
fn joined(text: &str) -> usize {
    let plain =
        text.bytes().take_while(|byte| *byte == b'_' || byte.is_ascii_alphanumeric()).count();
    if text.as_bytes().get(plain).is_none_or(u8::is_ascii) {
        return plain;
    }
    let rest = &text[plain..];
    plain + rest.find(|character| !is_joined(character)).unwrap_or(rest.len())
}

/// Whether a place in a text is inside a word.
fn is_within(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(is_joined)
        && text[at..].chars().next().is_some_and(is_joined)
}

fn split(numbers: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (numbers.start, numbers.end);
    while from < to {
        let middle = from + (to - from) / 2;
        if is_before(middle) { from = middle + 1 } else { to = middle }
    }
    from
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a list of words has less than 4 GiB")
}
