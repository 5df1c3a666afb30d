//! Forms of English words, and typing errors.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::english_lexicon::{ANTONYMS, FUNCTION_WORDS, LOOK_ALIKES, NEGATIONS, SYNONYMS};
use super::lexicon::Lexicon;

/// Letters from which on a word may have a typing error: shorter words are too close to one another.
const MIN_TYPO_LETTERS: usize = 5;
/// The longest word that is compared letter by letter.
const MAX_TYPO_LETTERS: usize = 24;
/// Letters of a stem that a longer word may continue.
const MIN_STEM: usize = 5;
/// Endings that make a noun of a verb, or a person of one.
const NOUN_ENDINGS: [&str; 9] = ["al", "ation", "ment", "ion", "er", "or", "ance", "ence", "age"];

/// The tables of English.
pub(crate) static ENGLISH: LazyLock<Lexicon> =
    LazyLock::new(|| Lexicon::new(SYNONYMS, ANTONYMS, stem));
/// Words that look alike and differ.
static ALIKE: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::new(&[], LOOK_ALIKES, stem));

static FUNCTION_SET: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| FUNCTION_WORDS.split_whitespace().collect());
static NEGATION_SET: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| NEGATIONS.split_whitespace().collect());

/// Whether a word has no content of its own.
pub(crate) fn is_function_word(word: &str) -> bool {
    FUNCTION_SET.contains(word)
}

/// Whether a word turns a statement into its opposite.
pub(crate) fn is_negation(word: &str) -> bool {
    word.ends_with("n't") || NEGATION_SET.contains(word)
}

/// The form under which words are compared: without endings of number, tense and degree.
pub(crate) fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word);
    let plain: String = word.chars().filter(|c| *c != '\'').collect();
    if !plain.is_ascii() {
        return plain;
    }
    let mut stem = plain;
    if let Some(rest) = stem.strip_suffix("ies").filter(|rest| rest.len() > 2) {
        stem = format!("{rest}y");
    } else if let Some(rest) = stem.strip_suffix("es").filter(|rest| has_sibilant(rest)) {
        stem = rest.to_owned();
    } else if stem.len() > 3 && !["ss", "us", "is"].iter().any(|end| stem.ends_with(end)) {
        stem = stem.strip_suffix('s').unwrap_or(&stem).to_owned();
    }
    for (ending, min) in [("ing", 3), ("ied", 2), ("ed", 3), ("ly", 4)] {
        if let Some(rest) =
            stem.strip_suffix(ending).filter(|rest| rest.len() >= min && has_vowel(rest))
        {
            stem = if ending == "ied" { format!("{rest}y") } else { rest.to_owned() };
            break;
        }
    }
    let stem = stem.strip_suffix('e').filter(|rest| rest.len() > 2).unwrap_or(&stem);
    let letters = stem.as_bytes();
    let is_doubled = letters.len() > 3 && letters[letters.len() - 1] == letters[letters.len() - 2];
    let stem = if is_doubled { &stem[..stem.len() - 1] } else { stem };
    match stem.strip_suffix('y').filter(|rest| rest.len() > 2) {
        Some(rest) => format!("{rest}i"),
        None => stem.to_owned(),
    }
}

fn has_sibilant(rest: &str) -> bool {
    rest.len() > 2 && ["s", "x", "z", "ch", "sh"].iter().any(|end| rest.ends_with(end))
}

fn has_vowel(text: &str) -> bool {
    text.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

/// Whether two stems are forms of one word: one is the other with the ending of a noun.
pub(crate) fn is_derived(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    short.len() >= MIN_STEM
        && long.strip_prefix(short).is_some_and(|rest| NOUN_ENDINGS.contains(&rest))
}

/// Whether one stem is the other with a typing error: a letter too many, too few, another one, or two
/// exchanged. The first letters are equal, and neither is a known word that only looks like it.
pub(crate) fn is_typo(left: &str, right: &str) -> bool {
    let (left_letters, right_letters): (Vec<char>, Vec<char>) = (
        left.chars().take(MAX_TYPO_LETTERS + 1).collect(),
        right.chars().take(MAX_TYPO_LETTERS + 1).collect(),
    );
    let (shorter, longer) =
        (left_letters.len().min(right_letters.len()), left_letters.len().max(right_letters.len()));
    if longer < MIN_TYPO_LETTERS
        || shorter + 1 < MIN_TYPO_LETTERS
        || longer > MAX_TYPO_LETTERS
        || longer - shorter > 1
    {
        return false;
    }
    if left_letters.first() != right_letters.first() {
        return false;
    }
    let one = BTreeSet::from([left]);
    let other = BTreeSet::from([right]);
    !ALIKE.has_antonyms(&one, &other) && is_one_edit(&left_letters, &right_letters)
}

fn is_one_edit(left: &[char], right: &[char]) -> bool {
    let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let (left, right) = (&left[same..], &right[same..]);
    match left.len().cmp(&right.len()) {
        Ordering::Less => right.get(1..) == Some(left),
        Ordering::Greater => left.get(1..) == Some(right),
        Ordering::Equal => {
            let exchanged = left.len() > 1
                && left[0] == right[1]
                && left[1] == right[0]
                && left[2..] == right[2..];
            exchanged || left.get(1..) == right.get(1..)
        }
    }
}
