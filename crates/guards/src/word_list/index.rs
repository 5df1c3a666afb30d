//! Index of the entries of a word list, and search for the entries at the beginning of a text.
//!
//! The head of an entry is its first word, or its first two characters in a script without spaces.
//! A hash table with open addressing maps each head to its entries, which are sorted. Binary search
//! then finds the entries that are prefixes of a text.

use std::ops::Range;

use super::normalize::{is_word_char, normalize_into, word_prefix_length};

/// Entries in one string, sorted, with a hash table of their heads. It takes a few times the size
/// of the list.
#[derive(Default)]
pub(super) struct WordIndex {
    /// Normalized entries, concatenated: sorted by head, then by the rest.
    text: String,
    /// End of each entry.
    ends: Vec<u32>,
    /// Numbers of the exceptions, in order.
    exceptions: Vec<u32>,
    /// First entry of each head, and the number of entries.
    buckets: Vec<u32>,
    /// Open addressing: 0 for a free slot, or hash bits of the head of the bucket in `slots`.
    tags: Vec<u8>,
    slots: Vec<u32>,
    /// Length of the longest entry and of the longest head, in bytes.
    pub(super) max_bytes: usize,
    pub(super) max_head_bytes: usize,
    /// Whether a head is a single character of a script without spaces.
    pub(super) has_single: bool,
}

/// Entry during the sort of the list.
struct SortEntry {
    /// First bytes of the head, so that most comparisons need not read the text.
    key: u64,
    start: u32,
    head: u32,
    end: u32,
    is_exception: bool,
}

impl WordIndex {
    /// Normalizes and sorts words.
    pub(super) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        let mut entries = Vec::new();
        for word in words {
            let word = word.trim();
            let exception = word.strip_prefix('!');
            let start = text.len();
            normalize_into(&mut text, exception.unwrap_or(word).trim());
            // Removed invisible characters may have hidden a space at the border.
            text.truncate(start + text[start..].trim_end().len());
            let lead = text[start..].len() - text[start..].trim_start().len();
            let start = start + lead;
            if start < text.len() {
                entries.push(SortEntry::new(&text, start, exception.is_some()));
            }
        }
        sorting::sort_by(&mut entries, |one, other| {
            let key = one.key.cmp(&other.key);
            key.then_with(|| one.order(&text).cmp(&other.order(&text)))
        });
        entries.dedup_by(|one, other| one.order(&text) == other.order(&text));
        Self::from_sorted(&text, &entries)
    }

    fn from_sorted(text: &str, sorted: &[SortEntry]) -> Self {
        let mut this = Self {
            text: String::with_capacity(text.len()),
            ends: Vec::with_capacity(sorted.len()),
            ..Self::default()
        };
        let mut last = "";
        for position in sorted {
            let entry = &text[position.start as usize..position.end as usize];
            let head = &entry[..position.head as usize];
            let number = to_u32(this.ends.len());
            if position.is_exception {
                this.exceptions.push(number);
            }
            if head != last {
                this.buckets.push(number);
                last = head;
            }
            this.text.push_str(entry);
            this.ends.push(to_u32(this.text.len()));
            this.max_bytes = this.max_bytes.max(entry.len());
            this.max_head_bytes = this.max_head_bytes.max(head.len());
            this.has_single |= entry.chars().count() == 1;
        }
        this.index();
        this
    }

    /// Builds the table of heads, half of it free.
    fn index(&mut self) {
        let size = (self.buckets.len() * 2).next_power_of_two();
        self.buckets.push(to_u32(self.ends.len()));
        self.tags = vec![0; size];
        self.slots = vec![0; size];
        for bucket in 0..self.buckets.len() - 1 {
            let (tag, mut slot) = self.hash_head(self.head(bucket));
            while self.tags[slot] != 0 {
                slot = (slot + 1) % size;
            }
            self.tags[slot] = tag;
            self.slots[slot] = to_u32(bucket);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Length of an entry, in bytes.
    pub(super) fn length(&self, entry: usize) -> usize {
        self.entry(entry).len()
    }

    /// Whether an entry is an exception, which excuses the words in it.
    pub(super) fn is_exception(&self, entry: usize) -> bool {
        self.exceptions.binary_search(&to_u32(entry)).is_ok()
    }

    /// Calls `each` for every entry of a bucket that is a prefix of the text and ends at a word
    /// border, longest first.
    pub(super) fn prefixes(&self, bucket: Range<usize>, text: &str, mut each: impl FnMut(usize)) {
        let (begin, mut end) = (bucket.start, bucket.end);
        let mut limit = &text.as_bytes()[..text.len().min(self.max_bytes)];
        loop {
            // Last entry that is not after the limit. If it is not a prefix of the limit, their
            // common part bounds the longest possible prefix.
            let at = self.partition(begin..end, |entry| entry.as_bytes() <= limit);
            if at == begin {
                return;
            }
            let entry = self.entry(at - 1).as_bytes();
            let common = entry.iter().zip(limit).take_while(|(one, other)| one == other).count();
            let length = entry.len();
            if common == length && !is_inside_word(text, length) {
                each(at - 1);
            }
            limit = &limit[..common];
            end = at - 1;
        }
    }

    /// Whether a text may be the beginning of a longer entry, or an entry that a longer word may
    /// hide. Its first `head` bytes are the head.
    pub(super) fn is_open(&self, text: &str, head: usize) -> bool {
        let entries = if head == text.len() {
            // The head itself may still grow.
            let bucket = self.partition_buckets(|head| head < text);
            self.buckets[bucket] as usize..self.len()
        } else {
            let Some(bucket) = self.bucket(&text[..head]) else { return false };
            self.partition(bucket.clone(), |entry| entry < text)..bucket.end
        };
        let entries = entries.map(|entry| self.entry(entry));
        let mut entries = entries.take_while(|entry| entry.starts_with(text));
        entries.any(|entry| {
            entry.len() > text.len() || entry.chars().next_back().is_some_and(is_word_char)
        })
    }

    fn entry(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[number] as usize]
    }

    fn head(&self, bucket: usize) -> &str {
        let entry = self.entry(self.buckets[bucket] as usize);
        &entry[..head_length(entry)]
    }

    /// Returns the entries with a head.
    pub(super) fn bucket(&self, head: &str) -> Option<Range<usize>> {
        if self.ends.is_empty() {
            return None;
        }
        let (tag, mut slot) = self.hash_head(head);
        while self.tags[slot] != 0 {
            let bucket = self.slots[slot] as usize;
            if self.tags[slot] == tag && self.head(bucket) == head {
                return Some(self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize);
            }
            slot = (slot + 1) % self.tags.len();
        }
        None
    }

    /// Returns the tag of a head and its first slot (FNV-1a). Only the operator chooses heads, so
    /// callers cannot attack the hash with collisions.
    fn hash_head(&self, head: &str) -> (u8, usize) {
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = head.bytes().fold(0x811C_9DC5, step);
        let hash = hash ^ (hash >> 15);
        ((hash >> 24) as u8 | 1, hash as usize & (self.tags.len() - 1))
    }

    /// Binary search: first of the entries for which `is_before` is false.
    fn partition(&self, entries: Range<usize>, is_before: impl Fn(&str) -> bool) -> usize {
        partition_point(entries, |entry| is_before(self.entry(entry)))
    }

    fn partition_buckets(&self, is_before: impl Fn(&str) -> bool) -> usize {
        partition_point(0..self.buckets.len() - 1, |bucket| is_before(self.head(bucket)))
    }
}

impl SortEntry {
    fn new(text: &str, start: usize, is_exception: bool) -> Self {
        let head = head_length(&text[start..]);
        let mut key = [0; 8];
        let kept = head.min(8);
        key[..kept].copy_from_slice(&text.as_bytes()[start..start + kept]);
        let (key, end) = (u64::from_be_bytes(key), to_u32(text.len()));
        Self { key, start: to_u32(start), head: to_u32(head), end, is_exception }
    }

    fn order<'t>(&self, text: &'t str) -> (&'t str, &'t str, bool) {
        let entry = &text[self.start as usize..self.end as usize];
        (&entry[..self.head as usize], entry, self.is_exception)
    }
}

/// Length of the head of an entry, in bytes: its first word, or its first two characters in a
/// script without spaces.
fn head_length(entry: &str) -> usize {
    let mut characters = entry.chars();
    match characters.next() {
        Some(first) if is_word_char(first) => word_prefix_length(entry),
        Some(first) => first.len_utf8() + characters.next().map_or(0, char::len_utf8),
        None => 0,
    }
}

/// Whether a place in a text is inside a word.
fn is_inside_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(is_word_char)
        && text[at..].chars().next().is_some_and(is_word_char)
}

fn partition_point(numbers: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (numbers.start, numbers.end);
    while from < to {
        let middle = from + (to - from) / 2;
        if is_before(middle) { from = middle + 1 } else { to = middle }
    }
    from
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a list of words has less than 4 GiB")
}
