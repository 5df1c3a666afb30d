use std::ops::Range;

use proptest::prelude::*;

use super::Lexicon;
use super::fold::{fold, is_joined};

/// What a list finds in a text.
#[track_caller]
fn check(words: &[&str], text: &str, expected: &[&str]) {
    let lexicon = Lexicon::new(words.iter().copied());
    let found: Vec<&str> = lexicon.find_all(text).into_iter().map(|at| &text[at]).collect();
    assert_eq!(found, expected, "{words:?} in {text:?}");
    assert_eq!(lexicon.find(text).map(|at| &text[at]), expected.first().copied());
}

#[test]
fn words_with_spaces_are_found_whole() {
    check(&["costom_word1"], "a costom_word1 here", &["costom_word1"]);
    check(&["costom_word1"], "costom_word", &[]);
    check(&["costom_word"], "costom_word1", &[]);
    check(&["ass"], "class, assembly, ass", &["ass"]);
    check(&["ass"], "pass-ass", &["ass"]);
    check(&["don"], "don't", &["don"]);
    check(&["cafe"], "cafe\u{301}", &[]);
    check(&["naïve", "ŽIŽEK"], "NAÏVE žižek", &["NAÏVE", "žižek"]);
    check(&["плохо"], "Плохо, неплохо", &["Плохо"]);
    check(&["कम"], "कमल कम", &["कम"]);
    check(&["σοφος"], "ΣΟΦΟΣ σοφός σοφος", &["ΣΟΦΟΣ", "σοφος"]);
}

#[test]
fn words_without_spaces_are_found_anywhere() {
    check(&["微信"], "我的微信号", &["微信"]);
    check(&["赌"], "网上赌博", &["赌"]);
    check(&["bad"], "这很bad啊", &["bad"]);
    check(&["微信ab"], "加微信ab", &["微信ab"]);
    check(&["微信ab"], "加微信abc", &[]);
    check(&["カジノ"], "オンラインカジノへ", &["カジノ"]);
    check(&["바보"], "너는 바보야", &["바보"]);
    check(&["พนัน"], "เว็บพนันออนไลน์", &["พนัน"]);
}

#[test]
fn a_harmless_word_excuses_what_is_in_it() {
    // "色情" stands across a border of words in "特色情怀": a dictionary would know, the list says so.
    check(&["色情"], "这家店很有特色情怀", &["色情"]);
    check(&["色情", "!特色情怀"], "这家店很有特色情怀", &[]);
    check(&["色情", "!特色情怀"], "特色情怀和色情", &["色情"]);
    check(&["kill", "!kill switch"], "a kill  switch, a kill", &["kill"]);
    check(&["kill", "!kill switch"], "kill switches", &["kill"]);
    check(&["ab c", "!b c"], "ab c", &["ab c"]);
    check(&["x", "!x"], "x", &[]);
    check(&["！x"], "x !x", &["!x"]);
}

#[test]
fn characters_are_folded() {
    check(&["bad word"], "a BAD\n \tWord", &["BAD\n \tWord"]);
    check(&["ＢＡＤ"], "bad ｂａｄ", &["bad", "ｂａｄ"]);
    check(&["bad"], "b\u{200B}a\u{AD}d", &["b\u{200B}a\u{AD}d"]);
    check(&["bad"], "b\u{200B}adly", &[]);
    check(&["bad"], "x\u{200B}bad", &[]);
    check(&["法轮"], "法\u{FEFF}轮", &["法\u{FEFF}轮"]);
    check(&["bad", "bad", " BAD "], "bad", &["bad"]);
    check(&["", " ", "\u{200B}", "!", "\u{200B} x \u{200B}"], "a x", &["x"]);
    check(&["\u{200B}"], "a", &[]);
}

#[test]
fn of_words_that_begin_together_the_longest_is_found() {
    check(&["how", "how to", "how to make a bomb"], "how to make a bomb", &["how to make a bomb"]);
    check(&["how", "how to make a bomb"], "how to make a bombard", &["how"]);
    check(&["ab", "abc", "ab微"], "ab abc ab微 abcd", &["ab", "abc", "ab微"]);
    check(&["大", "大小", "大小姐"], "大 大小 大小姐 小大", &["大", "大小", "大小姐", "大"]);
    check(&["$$$", "$a"], "x$$$$a", &["$$$", "$a"]);
}

/// How much of a text that goes on is undecided.
#[track_caller]
fn check_open(words: &[&str], text: &str, undecided: &str, found: Option<&str>) {
    let lexicon = Lexicon::new(words.iter().copied());
    let held = text.len() - lexicon.undecided(text, 0);
    assert_eq!(&text[held..], undecided);
    assert_eq!(lexicon.find_so_far(text, 0).map(|at| &text[at]), found);
}

#[test]
fn a_text_that_goes_on_is_undecided_at_its_end() {
    check_open(&["ass"], "big ass", "ass", None);
    check_open(&["ass"], "big ass ", "", Some("ass"));
    check_open(&["ass"], "class", "", None);
    check_open(&["ass"], "nothing els", "", None);
    check_open(&["assembly"], "an as", "as", None);
    check_open(&["how to"], "say how", "how", None);
    check_open(&["how to"], "say how  \u{200B}\u{200B}", "how  \u{200B}\u{200B}", None);
    check_open(&["微信"], "我的微", "微", None);
    check_open(&["微信"], "我的微信", "", Some("微信"));
    check_open(&["微信", "!微信公众号"], "我的微信", "微信", None);
    check_open(&["微信", "!微信公众号"], "我的微信啊", "", Some("微信"));
    check_open(&["色情", "!特色情怀"], "特色情", "特色情", None);
    check_open(&["微", "微微", "!a微"], "a微", "a微", None);
    check_open(&[], "anything", "", None);
}

/// A list and a text of few characters, so that much is found.
fn case() -> impl Strategy<Value = (Vec<String>, String)> {
    let word = "!?[aB_1 微信赌]{1,2}[ab1 微信\u{200B}]{0,3}";
    (proptest::collection::vec(word, 0..8), "[aAbB_1 微信赌ａ\u{200B}\n-]{0,24}")
}

/// The same by trying everything everywhere.
fn naive(words: &[String], text: &str) -> Vec<Range<usize>> {
    let folded: Vec<char> = fold(text).chars().collect();
    let whole = |from: usize, to: usize| {
        let is_border = |at: usize| {
            at == 0 || at == folded.len() || !(is_joined(folded[at - 1]) && is_joined(folded[at]))
        };
        is_border(from) && is_border(to)
    };
    let entries: Vec<(bool, Vec<char>)> = words
        .iter()
        .map(|word| {
            let word = word.trim();
            let plain = word.strip_prefix('!');
            let folded = fold(plain.unwrap_or(word));
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
    // The longest of those that begin together, none that overlaps one before it.
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
    fn finds_what_trying_everything_finds((words, text) in case()) {
        let lexicon = Lexicon::new(words.iter().map(String::as_str));
        let expected: Vec<String> =
            naive(&words, &text).into_iter().map(|at| fold(&text)[at].to_owned()).collect();
        let found: Vec<String> =
            lexicon.find_all(&text).into_iter().map(|at| fold(&text[at])).collect();
        prop_assert_eq!(found, expected);
    }

    /// A stream that shows what is decided, and keeps the last character of it, stops exactly where
    /// the whole text has a word, before any of it is shown.
    #[test]
    fn no_split_lets_a_word_through((words, text) in case(), cuts in "[.|]{0,32}") {
        let lexicon = Lexicon::new(words.iter().map(String::as_str));
        let expected = lexicon.find(&text).map(|at| at.start);
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
                lexicon.find_at_end(seen, from)
            } else {
                lexicon.find_so_far(seen, from)
            };
            if let Some(found) = found {
                stopped = Some(kept + found.start);
                break;
            }
            let go = buffer.len() - if is_end { 0 } else { lexicon.undecided(seen, from) };
            buffer.drain(..go);
            shown += go;
            // Of what was shown, the last character that can be seen is enough.
            let visible = text[..shown].char_indices().rev();
            kept = { visible }.find(|(_, c)| !fold(&c.to_string()).is_empty()).map_or(0, |(at, _)| at);
        }
        prop_assert_eq!(stopped, expected);
    }
}
