//! Words of a text: letters of one script, digits, and marks, with their original capitals.

use guards::normalize_char;

/// A word as it stands in the normalized text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case and half width.
    pub(crate) text: String,
    pub(crate) kind: WordKind,
    /// Whether the original begins with a capital letter.
    pub(crate) is_capital: bool,
    /// Whether every letter of the original is a capital, and there are at least two.
    pub(crate) is_acronym: bool,
    /// Whether a sentence begins here.
    pub(crate) begins_sentence: bool,
}

/// Kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordKind {
    /// Letters of a script with spaces between words.
    Letters,
    /// Digits with the letters and marks attached to them: `10gb`, `9:15`, `1,000.50`.
    Number,
    /// Letters with marks or digits inside: an address, a path, an option, a name of code.
    Identifier,
    /// A run of Chinese characters.
    Han,
    /// A sign that changes the meaning: a currency, a percent sign, a comparison.
    Sign,
}

/// Whether a character is Chinese.
pub(crate) fn is_han(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}' | '〇')
}

/// Signs that are words of their own.
const SIGNS: [char; 19] =
    ['$', '€', '£', '¥', '₹', '%', '‰', '<', '>', '≤', '≥', '=', '+', '°', '#', '*', '^', '~', '|'];
/// Marks inside of an identifier or a number.
const INNER_MARKS: [char; 10] = ['.', ',', ':', '/', '@', '_', '-', '#', '\\', '&'];

/// Normalizes a text: half width, one space for any white space, plain quotation marks and hyphens.
/// Capitals stay.
pub(crate) fn half_width(text: &str) -> Vec<char> {
    let mut plain: Vec<char> = Vec::with_capacity(text.len());
    for character in text.chars() {
        let Some(folded) = normalize_char(character) else { continue };
        let folded = match folded {
            '‘' | '’' | '`' | '´' | 'ʼ' => '\'',
            '“' | '”' | '«' | '»' => '"',
            '‐'..='―' | '−' => '-',
            '。' => '.',
            '、' => ',',
            '￥' => '¥',
            '￡' => '£',
            other => other,
        };
        if folded == ' ' && plain.last() == Some(&' ') {
            continue;
        }
        let is_capital = character.is_uppercase();
        let capital = if is_capital { folded.to_uppercase().next() } else { None };
        plain.push(capital.unwrap_or(folded));
    }
    plain
}

/// Splits a normalized text into words. Linear in the text.
pub(crate) fn split(plain: &[char]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut begins_sentence = true;
    let mut at = 0;
    while let Some(&first) = plain.get(at) {
        let end = match class(first) {
            Class::Han => run_end(plain, at, |next| class(next) == Class::Han),
            Class::Word => word_end(plain, at),
            Class::Sign => at + 1,
            Class::Option if is_minus(plain, at) => at + 1,
            Class::Option if is_option(plain, at) => word_end(plain, at),
            Class::Break => {
                begins_sentence = true;
                at += 1;
                continue;
            }
            Class::Option | Class::Other => {
                at += 1;
                continue;
            }
        };
        push_words(&mut words, &plain[at..end], begins_sentence);
        begins_sentence = false;
        // Each class takes one character at least.
        at = end.max(at + 1);
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Han,
    Word,
    Sign,
    /// A hyphen, which may begin an option of a command.
    Option,
    /// The end of a sentence.
    Break,
    Other,
}

fn class(character: char) -> Class {
    match character {
        _ if is_han(character) => Class::Han,
        _ if character.is_alphanumeric() => Class::Word,
        _ if SIGNS.contains(&character) => Class::Sign,
        '-' => Class::Option,
        '.' | '!' | '?' | ':' | ';' | '\n' | '"' => Class::Break,
        _ => Class::Other,
    }
}

/// Whether a word begins here.
fn is_after_space(plain: &[char], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| plain.get(before)).is_none_or(|c| *c == ' ')
}

/// Whether a negative number begins.
fn is_minus(plain: &[char], at: usize) -> bool {
    is_after_space(plain, at) && plain.get(at + 1).is_some_and(char::is_ascii_digit)
}

/// Whether an option of a command begins: `-x` or `--name` after a space.
fn is_option(plain: &[char], at: usize) -> bool {
    let after_space = is_after_space(plain, at);
    let is_word = |at: usize| plain.get(at).is_some_and(|c| class(*c) == Class::Word);
    after_space && (is_word(at + 1) || (plain.get(at + 1) == Some(&'-') && is_word(at + 2)))
}

fn run_end(plain: &[char], from: usize, is_inside: impl Fn(char) -> bool) -> usize {
    plain[from..].iter().position(|c| !is_inside(*c)).map_or(plain.len(), |length| from + length)
}

/// End of a word: letters and digits, and marks between two of them.
fn word_end(plain: &[char], from: usize) -> usize {
    let mut at = from;
    while let Some(&character) = plain.get(at) {
        let next = plain.get(at + 1).copied().unwrap_or(' ');
        let joins = |c: char| class(c) == Class::Word;
        let is_inner = (character == '\'' || INNER_MARKS.contains(&character))
            && (joins(next) || (character == '-' && at == from && next == '-'));
        if !(joins(character) || is_inner) {
            break;
        }
        at += 1;
    }
    at
}

/// Adds the words of a run: hyphenated letters are several words.
fn push_words(words: &mut Vec<Word>, run: &[char], mut begins_sentence: bool) {
    let mut push = |part: &[char], kind: WordKind| {
        if part.is_empty() {
            return;
        }
        let letters = || part.iter().filter(|c| c.is_alphabetic());
        words.push(Word {
            text: part.iter().flat_map(|c| c.to_lowercase()).collect(),
            kind,
            is_capital: part.iter().find(|c| c.is_alphanumeric()).is_some_and(|c| c.is_uppercase()),
            is_acronym: letters().count() > 1 && letters().all(|c| c.is_uppercase()),
            begins_sentence,
        });
        begins_sentence = false;
    };
    match run {
        [first, ..] if is_han(*first) => return push(run, WordKind::Han),
        [only] if !only.is_alphanumeric() => return push(run, WordKind::Sign),
        _ => {}
    }
    let starts_option = run.first() == Some(&'-');
    let has_digit = run.iter().any(char::is_ascii_digit);
    let is_identifier = starts_option
        || run.iter().any(|c| matches!(c, '@' | '_' | '#' | '\\'))
        || run.windows(2).any(|pair| matches!(pair[0], '.' | ':' | '/') && pair[1].is_alphabetic())
        || run.windows(2).any(|pair| pair[0] == ':' && pair[1] == '/');
    if is_identifier && !run.first().is_some_and(char::is_ascii_digit) {
        return push(run, WordKind::Identifier);
    }
    // `2-bedroom`, `two-factor`, `9:15-train`: hyphens, commas and slashes part words.
    let parts = run.split(|c| matches!(c, '-' | '/' | '&'));
    for part in parts {
        let begins_with_digit = part.first().is_some_and(char::is_ascii_digit);
        if begins_with_digit {
            push(part, WordKind::Number);
        } else if has_digit && part.iter().any(char::is_ascii_digit) {
            push(part, WordKind::Identifier);
        } else {
            for piece in part.split(|c| matches!(c, '.' | ',' | ':')) {
                push(piece, WordKind::Letters);
            }
        }
    }
}
