//! Cost of local guards per KB of text, and of a guarded stream, each with a baseline.

use std::collections::VecDeque;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use gateway::upstream::sse_reader::SseReader;
use guards::settings::{Pii, PiiAction, PiiKind};
use guards::{GuardInput, Masks, StreamWindow, WordList, pii};
use openai::{ContentParts, StreamEvent};
use regex_lite::Regex;

const ENTRIES: usize = 100_000;
const SIZE: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// A pseudorandom number, the same in each run.
fn drawn(seed: usize) -> usize {
    let mixed = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 17) as usize
}

fn han(seed: usize) -> char {
    // 500 characters make up most of ordinary text.
    let number = drawn(seed) % if seed.is_multiple_of(4) { 3_000 } else { 500 };
    char::from_u32(0x4E00 + 7 * number as u32).expect("they are Chinese characters")
}

fn latin(seed: usize) -> String {
    let length = 3 + drawn(seed) % 8;
    (0..length).map(|at| char::from(b'a' + (drawn(seed * 16 + at) % 26) as u8)).collect()
}

/// Half of them Chinese with two to four characters, half Latin words.
fn entries() -> Vec<String> {
    let entry = |number: usize| match number % 2 {
        0 => (0..2 + number / 2 % 3).map(|at| han(number * 8 + at)).collect(),
        _ => format!("{}{}", latin(number), number % 10),
    };
    (0..ENTRIES).map(entry).collect()
}

/// Text without any listed word.
#[derive(Clone, Copy, Debug)]
enum Language {
    English,
    Chinese,
}

fn text(language: Language) -> String {
    let mut text = String::new();
    for number in 0.. {
        match language {
            Language::English => text.push_str(&(latin(number + 7_000_000) + " ")),
            Language::Chinese if number % 9 == 8 => text.push('，'),
            Language::Chinese => text.push(han(number * 3 + 9_000_001)),
        }
        if text.len() >= SIZE {
            break;
        }
    }
    text
}

#[divan::bench(args = [Language::English, Language::Chinese])]
fn words(bencher: Bencher<'_, '_>, language: Language) {
    let entries = entries();
    let lexicon = WordList::new(entries.iter().map(String::as_str));
    let text = text(language);
    bencher.counter(BytesCount::of_str(&text)).bench(|| lexicon.find(black_box(&text)));
}

#[divan::bench]
fn words_build(bencher: Bencher<'_, '_>) {
    let entries = entries();
    bencher.bench(|| WordList::new(black_box(&entries).iter().map(String::as_str)));
}

/// Baseline: a loop over characters.
#[divan::bench(args = [Language::English, Language::Chinese])]
fn baseline_characters(bencher: Bencher<'_, '_>, language: Language) {
    let text = text(language);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| black_box(&text).chars().fold(0_u32, |sum, c| sum.wrapping_add(u32::from(c))));
}

/// Baseline: a loop over bytes.
#[divan::bench]
fn baseline_memchr(bencher: Bencher<'_, '_>) {
    let text = text(Language::English);
    bencher.counter(BytesCount::of_str(&text)).bench(|| black_box(text.as_bytes()).contains(&0));
}

fn everything() -> Pii {
    let detect = vec![
        PiiKind::Email,
        PiiKind::Phone,
        PiiKind::ChineseId,
        PiiKind::Card,
        PiiKind::Address,
        PiiKind::ApiKey,
    ];
    Pii { detect, custom: Vec::new(), action: PiiAction::Replace, restore: true }
}

/// Text with about one datum per KB.
fn personal(language: Language) -> String {
    const DATA: [&str; 4] = [
        "admin@gmail.com",
        "13800138000",
        "4111 1111 1111 1111",
        "10.0.0.1 at 12:34:56, 2024-01-31",
    ];
    let mut personal = String::new();
    for (number, line) in text(language).as_bytes().chunks(1_024).enumerate() {
        personal.push_str(&String::from_utf8_lossy(line));
        personal.push_str(DATA[number % DATA.len()]);
        personal.push('\n');
    }
    personal
}

#[divan::bench(args = [Language::English, Language::Chinese])]
fn pii_find(bencher: Bencher<'_, '_>, language: Language) {
    let (pii, text) = (everything(), text(language));
    bencher.counter(BytesCount::of_str(&text)).bench(|| pii::detect(&pii, black_box(&text)));
}

#[divan::bench(args = [Language::English, Language::Chinese])]
fn pii_mask(bencher: Bencher<'_, '_>, language: Language) {
    let (pii, text) = (everything(), personal(language));
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| Masks::default().mask(&pii, black_box(&text)));
}

#[divan::bench(args = [Language::English, Language::Chinese])]
fn pii_restore(bencher: Bencher<'_, '_>, language: Language) {
    let (pii, text) = (everything(), personal(language));
    let mut masks = Masks::default();
    masks.mask(&pii, &text);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| masks.restore(black_box(&text), usize::MAX));
}

/// Baseline: naive patterns without check digits and word borders.
#[divan::bench]
fn baseline_regex(bencher: Bencher<'_, '_>) {
    let pattern = r"[\w.+-]+@[\w-]+(\.[\w-]+)+|1[3-9]\d{9}|\d{17}[\dXx]|\d{13,19}|\d+\.\d+\.\d+\.\d+|sk-[\w-]{20,}";
    let (pattern, text) = (Regex::new(pattern).expect("it is one"), text(Language::English));
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| pattern.find_iter(black_box(&text)).count());
}

/// An event of a stream, with 20 characters.
const EVENT: &[u8] = br#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"twenty letters here "}}]}

"#;

const TEXTS: ContentParts = ContentParts { texts: true, delta: false };

/// 200 events guarded by 100 words, with this many characters checked together.
#[divan::bench(args = [1, 200])]
fn screen_of_200_events(bencher: Bencher<'_, '_>, window: usize) {
    let entries = entries();
    let lexicon = WordList::new(entries[..100].iter().map(String::as_str));
    let event = Bytes::from_static(EVENT);
    bencher.counter(ItemsCount::new(200_usize)).bench_local(|| {
        let (mut held, masks, mut shown) = (StreamWindow::default(), Masks::default(), 0);
        for _ in 0..200 {
            held.push_event(StreamEvent::parse(event.clone(), TEXTS).1).expect("it is an event");
            if held.unchecked_chars() < window {
                continue;
            }
            held.begin_check();
            for text in held.texts() {
                assert_eq!(lexicon.find_so_far(&text.text, text.unchecked_from), None);
                held.hold_back(text.number, lexicon.undecided(&text.text, text.unchecked_from));
            }
            shown += held.release(&masks).len();
        }
        shown
    });
}

/// Baseline: the same events, read and not held.
#[divan::bench]
fn baseline_read_of_200_events(bencher: Bencher<'_, '_>) {
    let event = Bytes::from_static(EVENT);
    bencher.counter(ItemsCount::new(200_usize)).bench_local(|| {
        let (mut reader, mut ready) =
            (SseReader::new(true, ContentParts::default()), VecDeque::new());
        for _ in 0..200 {
            black_box(reader.push(event.clone(), &mut ready));
            black_box(ready.pop_front());
        }
    });
}
