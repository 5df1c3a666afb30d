//! The reading of one question: everything that the checks compare.

use std::collections::BTreeSet;

use super::chinese::{CHINESE, Phrase, next_phrase};
use super::english::{ENGLISH, is_function_word, is_negation, stem};
use super::english_lexicon::{FROM_WORDS, OPPOSING_PREFIXES, TO_WORDS};
use super::focus::Focus;
use super::numbers::{self, Quantity};
use super::words::{self, Word, WordKind};

/// Characters of the longest question that is compared.
pub const MAX_CHARACTERS: usize = 1_000;
/// Words of content of the longest question that is compared.
const MAX_UNITS: usize = 200;
/// Words or Chinese characters of the shortest question that is compared, function words included.
const MIN_WORDS: usize = 3;
/// Words of a time that moves: an answer to them is right for a short time only. Sorted.
const MOVING_TIMES: [&str; 11] = [
    "currently",
    "latest",
    "newest",
    "now",
    "nowadays",
    "recent",
    "recently",
    "today",
    "tomorrow",
    "tonight",
    "yesterday",
];
/// Chinese phrases of a time that moves.
const MOVING_TIMES_HAN: [&str; 17] = [
    "今天",
    "今日",
    "今晚",
    "今早",
    "明天",
    "明日",
    "明晚",
    "昨天",
    "昨晚",
    "现在",
    "目前",
    "当前",
    "最新",
    "最近几天",
    "刚刚",
    "此刻",
    "后天",
];

/// A reason for which a question is not compared by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// More than [`MAX_CHARACTERS`], or too many words.
    TooLong,
    /// Fewer than three words.
    TooShort,
    /// Code, or a table.
    Code,
    /// A time that moves: today, now, latest.
    MovingTime,
}

/// The side of a change or a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    From,
    To,
}

/// A part of the content, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The name of its class of synonyms, or its form.
    pub(crate) form: String,
    /// Half words: a Chinese character is one, everything else two.
    pub(crate) weight: usize,
    pub(crate) is_name: bool,
}

/// A question that can be compared by meaning.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    normal: String,
    pub(crate) quantities: BTreeSet<Quantity>,
    pub(crate) is_negated: bool,
    /// Forms of all words, function words included.
    pub(crate) forms: BTreeSet<String>,
    /// Content in its order.
    pub(crate) units: Vec<Unit>,
    pub(crate) relations: BTreeSet<(Direction, String)>,
    pub(crate) focus: Focus,
}

impl Question {
    /// Reads a question. Linear in its length.
    pub fn parse(text: &str) -> Result<Self, Unsuitable> {
        if text.chars().nth(MAX_CHARACTERS).is_some() {
            return Err(Unsuitable::TooLong);
        }
        if text.contains("```") || text.lines().filter(|line| line.contains('|')).count() > 1 {
            return Err(Unsuitable::Code);
        }
        let plain = words::half_width(text);
        let all = words::split(&plain);
        let reader = Reader::read(&all);
        if reader.is_moving {
            return Err(Unsuitable::MovingTime);
        }
        if reader.count < MIN_WORDS {
            return Err(Unsuitable::TooShort);
        }
        if reader.units.len() > MAX_UNITS {
            return Err(Unsuitable::TooLong);
        }
        let normal: Vec<&str> = all.iter().map(|word| word.text.as_str()).collect();
        Ok(Self {
            text: text.to_owned(),
            normal: normal.join(" "),
            quantities: reader.quantities,
            is_negated: reader.negations % 2 == 1,
            forms: reader.forms,
            units: reader.units,
            relations: reader.relations,
            focus: reader.focus.unwrap_or(Focus::Open),
        })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words of the text in lower case, without punctuation: texts of one normal form are one question.
    pub fn normal(&self) -> &str {
        &self.normal
    }
}

#[derive(Default)]
struct Reader {
    count: usize,
    is_moving: bool,
    quantities: BTreeSet<Quantity>,
    negations: usize,
    forms: BTreeSet<String>,
    units: Vec<Unit>,
    relations: BTreeSet<(Direction, String)>,
    focus: Option<Focus>,
    /// A direction whose object has not been read yet.
    direction: Option<Direction>,
}

impl Reader {
    fn read(all: &[Word]) -> Self {
        let mut reader = Self::default();
        let letters = all.iter().filter(|word| word.kind == WordKind::Letters);
        let capitals = letters.clone().filter(|word| word.is_capital).count();
        // In a title every word has a capital, which then marks no name.
        let is_title = capitals * 3 > letters.clone().count() * 2;
        let has_han = all.iter().any(|word| word.kind == WordKind::Han);
        for (at, word) in all.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| &all[before]);
            if word.kind == WordKind::Han {
                reader.read_han(&word.text);
                continue;
            }
            reader.count += 1;
            if let Some(quantity) = numbers::of_word(word, before) {
                reader.push_quantity(quantity);
                continue;
            }
            let is_name = word.kind == WordKind::Identifier
                || (!is_title && (word.is_acronym || (word.is_capital && !word.begins_sentence)))
                || has_han;
            reader.read_word(word, is_name);
        }
        let texts: Vec<&str> = all.iter().map(|word| word.text.as_str()).collect();
        if reader.focus.is_none() && !has_han {
            reader.focus = Some(Focus::of_english(&texts));
        }
        reader
    }

    fn read_word(&mut self, word: &Word, is_name: bool) {
        let text = word.text.as_str();
        self.is_moving |= MOVING_TIMES.binary_search(&text).is_ok();
        let form = if word.kind == WordKind::Identifier { text.to_owned() } else { stem(text) };
        let is_pronoun = matches!(text, "i" | "i'm" | "i'd" | "i've" | "i'll");
        self.forms.insert(form.clone());
        if is_negation(text) {
            self.negations += 1;
            return;
        }
        let direction = if FROM_WORDS.contains(&text) {
            Some(Direction::From)
        } else if TO_WORDS.contains(&text) {
            Some(Direction::To)
        } else {
            None
        };
        if direction.is_some() {
            self.direction = direction;
        }
        let is_acronym_name = is_name && word.is_acronym && !is_pronoun;
        if is_pronoun || (is_function_word(text) && !is_acronym_name) {
            return;
        }
        let form = ENGLISH.class(&form).to_owned();
        self.push(Unit { form, weight: 2, is_name });
    }

    fn push(&mut self, unit: Unit) {
        if let Some(direction) = self.direction.take() {
            self.relations.insert((direction, unit.form.clone()));
        }
        self.units.push(unit);
    }

    fn push_quantity(&mut self, quantity: Quantity) {
        match &quantity {
            // A currency is a word, too: it may be changed into another one.
            Quantity::Unit(name) => {
                self.push(Unit { form: name.clone(), weight: 2, is_name: false });
            }
            Quantity::Number(name, _) | Quantity::Date(name) => {
                let direction = self.direction.take();
                self.relations.extend(direction.map(|direction| (direction, name.clone())));
            }
        }
        self.quantities.insert(quantity);
    }

    fn read_han(&mut self, text: &str) {
        self.is_moving |= MOVING_TIMES_HAN.iter().any(|time| text.contains(time));
        let run: Vec<char> = text.chars().collect();
        self.count += run.len();
        let mut at = 0;
        while at < run.len() {
            let before = at.checked_sub(1).map(|before| run[before]);
            if let Some((quantity, length)) = numbers::of_han(&run[at..], before) {
                quantity.into_iter().for_each(|quantity| self.push_quantity(quantity));
                at += length;
                continue;
            }
            let (phrase, part) = next_phrase(&run[at..]);
            at += phrase.chars().count().max(1);
            self.read_phrase(phrase, part);
        }
    }

    fn read_phrase(&mut self, phrase: String, part: Option<Phrase>) {
        if let Some(unit) = numbers::of_han_unit(&phrase) {
            return self.push_quantity(unit);
        }
        match part {
            Some(Phrase::Filler) => {
                self.forms.insert(phrase);
            }
            Some(Phrase::Negation) => {
                self.negations += 1;
            }
            Some(Phrase::Focus(focus)) => {
                self.focus.get_or_insert(focus);
            }
            Some(Phrase::Direction(direction)) => self.direction = Some(direction),
            Some(Phrase::Word) => {
                let form = CHINESE.class(&phrase).to_owned();
                let weight = phrase.chars().count().min(2);
                self.forms.insert(phrase);
                self.push(Unit { form, weight, is_name: false });
            }
            None => self.push(Unit { form: phrase, weight: 1, is_name: false }),
        }
    }
}

/// Whether a form is another one with a prefix that opposes it.
pub(crate) fn opposes_by_prefix(form: &str, others: &BTreeSet<&str>) -> bool {
    OPPOSING_PREFIXES.iter().any(|prefix| {
        form.strip_prefix(prefix).is_some_and(|rest| rest.len() > 3 && others.contains(rest))
    })
}
