//! Phrases of Chinese runs, by the longest match from the left.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::chinese_lexicon as lists;
use super::focus::Focus;
use super::lexicon::Lexicon;
use super::question::Direction;

/// Characters of the longest phrase.
const MAX_PHRASE: usize = 6;

/// The tables of Chinese.
pub(crate) static CHINESE: LazyLock<Lexicon> =
    LazyLock::new(|| Lexicon::new(lists::SYNONYMS, lists::ANTONYMS, str::to_owned));
static PHRASES: LazyLock<BTreeMap<String, Phrase>> = LazyLock::new(phrases);

/// The part of a phrase in a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phrase {
    Filler,
    Negation,
    Focus(Focus),
    Direction(Direction),
    Word,
}

fn phrases() -> BTreeMap<String, Phrase> {
    let mut phrases = BTreeMap::new();
    // A later list wins over an earlier one.
    let words = CHINESE.words().chain(lists::WORDS.split_whitespace());
    phrases.extend(words.map(|word| (word.to_owned(), Phrase::Word)));
    let focuses = [
        (lists::FOCUS_AMOUNT, Focus::Amount),
        (lists::FOCUS_DURATION, Focus::Duration),
        (lists::FOCUS_TIME, Focus::Time),
        (lists::FOCUS_PLACE, Focus::Place),
        (lists::FOCUS_PERSON, Focus::Person),
        (lists::FOCUS_REASON, Focus::Reason),
        (lists::FOCUS_MANNER, Focus::Manner),
        (lists::FOCUS_THING, Focus::Thing),
    ];
    let mut add = |list: &str, phrase: Phrase| {
        phrases.extend(list.split_whitespace().map(|word| (word.to_owned(), phrase)));
    };
    add(lists::FILLERS, Phrase::Filler);
    add(lists::NEGATIONS, Phrase::Negation);
    add(lists::NO_NEGATIONS, Phrase::Word);
    add(lists::FROM_WORDS, Phrase::Direction(Direction::From));
    add(lists::TO_WORDS, Phrase::Direction(Direction::To));
    for (list, focus) in focuses {
        add(list, Phrase::Focus(focus));
    }
    phrases
}

/// Reads the next phrase: its characters, and its part. `None` in place of a part for a character that no
/// list has.
pub(crate) fn next_phrase(run: &[char]) -> (String, Option<Phrase>) {
    for length in (1..=MAX_PHRASE.min(run.len())).rev() {
        let text: String = run[..length].iter().collect();
        if let Some(phrase) = PHRASES.get(&text) {
            return (text, Some(*phrase));
        }
    }
    (run.iter().take(1).collect(), None)
}
