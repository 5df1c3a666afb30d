use std::ops::Range;

use proptest::prelude::*;

use super::WordList;
use super::normalize::{is_word_char, normalize};

/// Asserts the words that a list finds in a text.
#[track_caller]
fn assert_found(words: &[&str], text: &str, expected: &[&str]) {
    let list = WordList::new(words.iter().copied());
    let found: Vec<&str> = list.find_all(text).into_iter().map(|at| &text[at]).collect();
    assert_eq!(found, expected, "{words:?} in {text:?}");
    assert_eq!(list.find(text).map(|at| &text[at]), expected.first().copied());
}

#[test]
fn words_of_spaced_scripts_match_whole() {
    assert_found(&["costom_word1"], "a costom_word1 here", &["costom_word1"]);
    assert_found(&["costom_word1"], "costom_word", &[]);
    assert_found(&["costom_word"], "costom_word1", &[]);
    assert_found(&["ass"], "class, assembly, ass", &["ass"]);
    assert_found(&["ass"], "pass-ass", &["ass"]);
    assert_found(&["don"], "don't", &["don"]);
    assert_found(&["cafe"], "cafe\u{301}", &[]);
    assert_found(&["naïve", "ŽIŽEK"], "NAÏVE žižek", &["NAÏVE", "žižek"]);
    assert_found(&["плохо"], "Плохо, неплохо", &["Плохо"]);
    assert_found(&["कम"], "कमल कम", &["कम"]);
    assert_found(&["σοφος"], "ΣΟΦΟΣ σοφός σοφος", &["ΣΟΦΟΣ", "σοφος"]);
}

#[test]
fn words_of_unspaced_scripts_match_anywhere() {
    assert_found(&["微信"], "我的微信号", &["微信"]);
    assert_found(&["赌"], "网上赌博", &["赌"]);
    assert_found(&["bad"], "这很bad啊", &["bad"]);
    assert_found(&["微信ab"], "加微信ab", &["微信ab"]);
    assert_found(&["微信ab"], "加微信abc", &[]);
    assert_found(&["カジノ"], "オンラインカジノへ", &["カジノ"]);
    assert_found(&["바보"], "너는 바보야", &["바보"]);
    assert_found(&["พนัน"], "เว็บพนันออนไลน์", &["พนัน"]);
}

#[test]
fn exception_excuses_words_in_it() {
    // "色情" crosses a border of words in "特色情怀": a dictionary would reject it, a list cannot.
    assert_found(&["色情"], "这家店很有特色情怀", &["色情"]);
    assert_found(&["色情", "!特色情怀"], "这家店很有特色情怀", &[]);
    assert_found(&["色情", "!特色情怀"], "特色情怀和色情", &["色情"]);
    assert_found(&["kill", "!kill switch"], "a kill  switch, a kill", &["kill"]);
    assert_found(&["kill", "!kill switch"], "kill switches", &["kill"]);
    assert_found(&["ab c", "!b c"], "ab c", &["ab c"]);
    assert_found(&["x", "!x"], "x", &[]);
    assert_found(&["！x"], "x !x", &["!x"]);
}

#[test]
fn characters_are_normalized() {
    assert_found(&["bad word"], "a BAD\n \tWord", &["BAD\n \tWord"]);
    assert_found(&["ＢＡＤ"], "bad ｂａｄ", &["bad", "ｂａｄ"]);
    assert_found(&["bad"], "b\u{200B}a\u{AD}d", &["b\u{200B}a\u{AD}d"]);
    assert_found(&["bad"], "b\u{200B}adly", &[]);
    assert_found(&["bad"], "x\u{200B}bad", &[]);
    assert_found(&["法轮"], "法\u{FEFF}轮", &["法\u{FEFF}轮"]);
    assert_found(&["bad", "bad", " BAD "], "bad", &["bad"]);
    assert_found(&["", " ", "\u{200B}", "!", "\u{200B} x \u{200B}"], "a x", &["x"]);
    assert_found(&["\u{200B}"], "a", &[]);
}

#[test]
fn every_invisible_character_is_skipped() {
    let ranges = [
        0x00..=0x08,
        0x0E..=0x1F,
        0x7F..=0x84,
        0x86..=0x9F,
        0xAD..=0xAD,
        0x34F..=0x34F,
        0x61C..=0x61C,
        0x115F..=0x1160,
        0x17B4..=0x17B5,
        0x180B..=0x180F,
        0x200B..=0x200F,
        0x202A..=0x202E,
        0x2060..=0x206F,
        0x2800..=0x2800,
        0x3164..=0x3164,
        0xFE00..=0xFE0F,
        0xFEFF..=0xFEFF,
        0xFFA0..=0xFFA0,
        0xFFF0..=0xFFFB,
        0x1BCA0..=0x1BCA3,
        0x1D173..=0x1D17A,
        0xE0000..=0xE0FFF,
        0x334..=0x338,
        0x20D0..=0x20F0,
        0xFE20..=0xFE2F,
    ];
    let list = WordList::new(["forbidden", "违禁词"]);
    for character in
        ranges.into_iter().flatten().map(|code| char::from_u32(code).expect("a character"))
    {
        for word in ["forbidden", "违禁词"] {
            for at in word.char_indices().map(|(at, _)| at).skip(1).chain([word.len()]) {
                let text = format!("{}{character}{}", &word[..at], &word[at..]);
                assert!(list.find(&text).is_some(), "{text:?}");
                assert!(
                    list.find_so_far(&text, 0).is_some() || list.undecided(&text, 0) == text.len(),
                    "{text:?}"
                );
            }
            let entry = WordList::new([format!("{word}{character}").as_str()]);
            assert!(entry.find(word).is_some(), "{character:?}");
        }
    }
    for visible in ['\t', '\n', '\r', '\u{85}', '\u{2028}', '.', '-', '\u{301}', '\u{5D0}'] {
        assert!(list.find(&format!("forb{visible}idden")).is_none(), "{visible:?}");
    }
}

#[test]
fn styled_letters_are_plain_ones() {
    let styles = [
        (0x1D400, 0x1D41A),
        (0x1D5D4, 0x1D5EE),
        (0x1D670, 0x1D68A),
        (0x24B6, 0x24D0),
        (0x249C, 0x249C),
        (0x1F130, 0x1F130),
        (0x1F150, 0x1F150),
        (0x1F170, 0x1F170),
        (0x1F110, 0x1F110),
    ];
    let list = WordList::new(["forbidden7"]);
    for (upper, lower) in styles {
        for base in [upper, lower] {
            let style = |letter: char| char::from_u32(base + u32::from(letter) - u32::from('a'));
            let styled: String = "forbidden".chars().filter_map(style).collect();
            for seven in ['7', '⑦', '⑺', '⒎', '➆', '𝟩', '𝟕', '７'] {
                let is_found = list.find(&format!("{styled}{seven}")).is_some();
                // The digits of dingbats are no letters with a plain form.
                assert_eq!(is_found, seven != '➆', "{styled}{seven}");
            }
        }
    }
    assert_found(&["hello"], "ℎℯℓℓℴ", &["ℎℯℓℓℴ"]);
    assert_found(&["ⓑⓐⓓ"], "bad", &["bad"]);
}

#[test]
fn longest_of_words_that_begin_together_is_found() {
    assert_found(
        &["how", "how to", "how to make a bomb"],
        "how to make a bomb",
        &["how to make a bomb"],
    );
    assert_found(&["how", "how to make a bomb"], "how to make a bombard", &["how"]);
    assert_found(&["ab", "abc", "ab微"], "ab abc ab微 abcd", &["ab", "abc", "ab微"]);
    assert_found(&["大", "大小", "大小姐"], "大 大小 大小姐 小大", &["大", "大小", "大小姐", "大"]);
    assert_found(&["$$$", "$a"], "x$$$$a", &["$$$", "$a"]);
}

/// Asserts the undecided end of an incomplete text.
#[track_caller]
fn assert_undecided(words: &[&str], text: &str, undecided: &str, found: Option<&str>) {
    let list = WordList::new(words.iter().copied());
    let held = text.len() - list.undecided(text, 0);
    assert_eq!(&text[held..], undecided);
    assert_eq!(list.find_so_far(text, 0).map(|at| &text[at]), found);
}

#[test]
fn incomplete_text_is_undecided_at_its_end() {
    assert_undecided(&["ass"], "big ass", "ass", None);
    assert_undecided(&["ass"], "big ass ", "", Some("ass"));
    assert_undecided(&["ass"], "class", "", None);
    assert_undecided(&["ass"], "nothing els", "", None);
    assert_undecided(&["assembly"], "an as", "as", None);
    assert_undecided(&["how to"], "say how", "how", None);
    assert_undecided(&["how to"], "say how  \u{200B}\u{200B}", "how  \u{200B}\u{200B}", None);
    assert_undecided(&["微信"], "我的微", "微", None);
    assert_undecided(&["微信"], "我的微信", "", Some("微信"));
    assert_undecided(&["微信", "!微信公众号"], "我的微信", "微信", None);
    assert_undecided(&["微信", "!微信公众号"], "我的微信啊", "", Some("微信"));
    assert_undecided(&["色情", "!特色情怀"], "特色情", "特色情", None);
    assert_undecided(&["微", "微微", "!a微"], "a微", "a微", None);
    assert_undecided(&[], "anything", "", None);
}

/// List and text of few characters, so that many words match.
fn case() -> impl Strategy<Value = (Vec<String>, String)> {
    let word = "!?[aB_1 微信赌]{1,2}[ab1 微信\u{200B}]{0,3}";
    (proptest::collection::vec(word, 0..8), "[aAbB_1 微信赌ａ\u{200B}\n-]{0,24}")
}

/// Reference search that tries every word everywhere.
fn naive(words: &[String], text: &str) -> Vec<Range<usize>> {
    let folded: Vec<char> = normalize(text).chars().collect();
    let whole = |from: usize, to: usize| {
        let is_border = |at: usize| {
            at == 0
                || at == folded.len()
                || !(is_word_char(folded[at - 1]) && is_word_char(folded[at]))
        };
        is_border(from) && is_border(to)
    };
    let entries: Vec<(bool, Vec<char>)> = words
        .iter()
        .map(|word| {
            let word = word.trim();
            let plain = word.strip_prefix('!');
            let folded = normalize(plain.unwrap_or(word));
            (plain.is_some(), folded.trim().chars().collect())
        })
        .filter(|(_, word): &(bool, Vec<char>)| !word.is_empty())
        .collect();
    let places = |harmless: bool| {
        let mut places = Vec::new();
        for from in 0..folded.len() {
            for to in from + 1..=folded.len() {
                let is_entry =
                    entries.iter().any(|(is, word)| *is == harmless && *word == folded[from..to]);
                if is_entry && whole(from, to) {
                    places.push(from..to);
                }
            }
        }
        places
    };
    let excuses = places(true);
    let is_excused =
        |at: &Range<usize>| excuses.iter().any(|by| by.start <= at.start && at.end <= by.end);
    let mut found: Vec<Range<usize>> = places(false);
    found.retain(|at| !is_excused(at));
    // The longest of words that begin together; none that overlaps an earlier one.
    found.sort_by_key(|at| (at.start, usize::MAX - at.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for at in found {
        if apart.last().is_none_or(|last| last.end <= at.start) {
            apart.push(at);
        }
    }
    let bytes = |at: usize| folded[..at].iter().map(|character| character.len_utf8()).sum();
    apart.into_iter().map(|at| bytes(at.start)..bytes(at.end)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn find_agrees_with_reference_search((words, text) in case()) {
        let list = WordList::new(words.iter().map(String::as_str));
        let expected: Vec<String> =
            naive(&words, &text).into_iter().map(|at| normalize(&text)[at].to_owned()).collect();
        let found: Vec<String> =
            list.find_all(&text).into_iter().map(|at| normalize(&text[at])).collect();
        prop_assert_eq!(found, expected);
    }

    /// A stream that shows decided text, and keeps its last character, stops at the first word of
    /// the whole text. No part of the word is shown.
    #[test]
    fn stream_under_any_split_stops_at_first_word((words, text) in case(), cuts in "[.|]{0,32}") {
        let list = WordList::new(words.iter().map(String::as_str));
        let expected = list.find(&text).map(|at| at.start);
        let (mut shown, mut kept, mut buffer, mut stopped) = (0, 0, String::new(), None);
        let mut cuts = cuts.chars();
        let count = text.chars().count();
        for (number, character) in text.chars().enumerate() {
            buffer.push(character);
            let is_end = number + 1 == count;
            if !is_end && cuts.next() != Some('|') {
                continue;
            }
            let seen = &text[kept..shown + buffer.len()];
            let from = shown - kept;
            let found = if is_end {
                list.find_at_end(seen, from)
            } else {
                list.find_so_far(seen, from)
            };
            if let Some(found) = found {
                stopped = Some(kept + found.start);
                break;
            }
            let go = buffer.len() - if is_end { 0 } else { list.undecided(seen, from) };
            buffer.drain(..go);
            shown += go;
            // The last visible character of the shown text is enough.
            let visible = text[..shown].char_indices().rev();
            kept = { visible }.find(|(_, c)| !normalize(&c.to_string()).is_empty()).map_or(0, |(at, _)| at);
        }
        prop_assert_eq!(stopped, expected);
    }
}
