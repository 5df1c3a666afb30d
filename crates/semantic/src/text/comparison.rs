//! The comparison of two questions: the check that refuses the pair, or how alike their words are.

use std::collections::BTreeSet;

use super::chinese::CHINESE;
use super::english::{ENGLISH, is_derived, is_typo};
use super::question::{Direction, Question, Unit, opposes_by_prefix};

/// Half words of a substitution: at most this many differ on each side, one word in a frame.
const MAX_SUBSTITUTED: usize = 3;

/// A check that refuses a pair of questions before any score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Other numbers, dates, times, or units.
    Numbers,
    /// A negation, or an opposite.
    Polarity,
    /// Other names, identifiers, or addresses.
    Names,
    /// The same words in another direction.
    Order,
    /// Another kind of answer: a time, a place, a reason.
    Focus,
}

impl Check {
    /// All checks, in their order.
    pub const ALL: [Self; 5] =
        [Self::Numbers, Self::Polarity, Self::Names, Self::Order, Self::Focus];

    /// Name in metrics and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Polarity => "polarity",
            Self::Names => "names",
            Self::Order => "order",
            Self::Focus => "focus",
        }
    }
}

/// How alike the words of two questions are that no check refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wording {
    /// The same words of content, but for forms, synonyms and a typing error.
    Same,
    /// Several other words on both sides.
    Reworded,
    /// More words on one side alone.
    Extended,
    /// One word in place of another one.
    Substituted,
}

/// Compares two questions.
pub fn compare(left: &Question, right: &Question) -> Result<Wording, Check> {
    if left.normal() == right.normal() {
        return Ok(Wording::Same);
    }
    if left.quantities != right.quantities {
        return Err(Check::Numbers);
    }
    if is_opposite(left, right) {
        return Err(Check::Polarity);
    }
    if left.focus.conflicts(right.focus) {
        return Err(Check::Focus);
    }
    let pairs = Pairing::of(&left.units, &right.units);
    let (left_rest, right_rest) = (pairs.left_rest(&left.units), pairs.right_rest(&right.units));
    let has_name = |rest: &[&Unit]| rest.iter().any(|unit| unit.is_name);
    if has_name(&left_rest) || has_name(&right_rest) {
        return Err(Check::Names);
    }
    if is_turned(left, right) || pairs.swaps_names(&left.units) {
        return Err(Check::Order);
    }
    let weight = |rest: &[&Unit]| rest.iter().map(|unit| unit.weight).sum::<usize>();
    Ok(match (weight(&left_rest), weight(&right_rest)) {
        (0, 0) if left.focus == right.focus => Wording::Same,
        (0, 0) => Wording::Reworded,
        (0, _) | (_, 0) => Wording::Extended,
        (left, right) if left <= MAX_SUBSTITUTED && right <= MAX_SUBSTITUTED => {
            Wording::Substituted
        }
        (_, _) => Wording::Reworded,
    })
}

fn is_opposite(left: &Question, right: &Question) -> bool {
    if left.is_negated != right.is_negated {
        return true;
    }
    let only = |one: &'_ Question, other: &Question| -> BTreeSet<String> {
        one.forms.difference(&other.forms).cloned().collect()
    };
    let (left_only, right_only) = (only(left, right), only(right, left));
    let left_set: BTreeSet<&str> = left_only.iter().map(String::as_str).collect();
    let right_set: BTreeSet<&str> = right_only.iter().map(String::as_str).collect();
    ENGLISH.has_antonyms(&left_set, &right_set)
        || CHINESE.has_antonyms(&left_set, &right_set)
        || left_set.iter().any(|form| opposes_by_prefix(form, &right_set))
        || right_set.iter().any(|form| opposes_by_prefix(form, &left_set))
}

/// Whether a word is the origin in one question and the goal in the other one.
fn is_turned(left: &Question, right: &Question) -> bool {
    let all = |question: &Question, direction: Direction| -> Vec<String> {
        let of = question.relations.iter().filter(|(other, _)| *other == direction);
        of.map(|(_, form)| form.clone()).collect()
    };
    let contains =
        |question: &Question, form: &String| question.units.iter().any(|u| u.form == *form);
    let (left_from, left_to) = (all(left, Direction::From), all(left, Direction::To));
    let (right_from, right_to) = (all(right, Direction::From), all(right, Direction::To));
    let crosses = |one: &[String], other: &[String]| one.iter().any(|form| other.contains(form));
    // `Word to PDF` against `PDF to Word`: both goals are words of both questions.
    let moved = |one: &[String], other: &[String], in_other: &Question, in_one: &Question| {
        one.iter().any(|form| {
            !other.contains(form)
                && contains(in_other, form)
                && other.iter().any(|goal| !one.contains(goal) && contains(in_one, goal))
        })
    };
    crosses(&left_from, &right_to)
        || crosses(&left_to, &right_from)
        || moved(&left_to, &right_to, right, left)
        || moved(&left_from, &right_from, right, left)
}

/// Pairs of equal units of two questions, each used once.
struct Pairing {
    /// For each unit of the left side, its place on the right side.
    places: Vec<Option<usize>>,
    right_count: usize,
}

impl Pairing {
    fn of(left: &[Unit], right: &[Unit]) -> Self {
        let mut places = vec![None; left.len()];
        let mut is_used = vec![false; right.len()];
        let rules: [fn(&Unit, &Unit) -> bool; 2] = [
            |left, right| left.form == right.form,
            |left, right| {
                let are_words =
                    left.weight == 2 && right.weight == 2 && !(left.is_name && right.is_name);
                are_words
                    && (is_derived(&left.form, &right.form) || is_typo(&left.form, &right.form))
            },
        ];
        for rule in rules {
            for (at, unit) in left.iter().enumerate() {
                if places[at].is_some() {
                    continue;
                }
                let found = right
                    .iter()
                    .enumerate()
                    .position(|(place, other)| !is_used[place] && rule(unit, other));
                if let Some(place) = found {
                    is_used[place] = true;
                    places[at] = Some(place);
                }
            }
        }
        Self { places, right_count: right.len() }
    }

    /// Units of the left side that have no equal one, and no word that occurs once more on the right.
    fn left_rest<'a>(&self, left: &'a [Unit]) -> Vec<&'a Unit> {
        let rest = left.iter().zip(&self.places).filter(|(_, place)| place.is_none());
        rest.map(|(unit, _)| unit).collect()
    }

    fn right_rest<'a>(&self, right: &'a [Unit]) -> Vec<&'a Unit> {
        let mut is_used = vec![false; self.right_count];
        self.places.iter().flatten().for_each(|place| is_used[*place] = true);
        right.iter().zip(is_used).filter(|(_, is_used)| !is_used).map(|(unit, _)| unit).collect()
    }

    /// Whether two names change places although the words do not merely rotate: a part of the sentence may be
    /// put first.
    fn swaps_names(&self, left: &[Unit]) -> bool {
        let order: Vec<usize> = self.places.iter().flatten().copied().collect();
        let descents = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
        let is_rotation = descents == 0 || (descents == 1 && order.last() < order.first());
        if is_rotation {
            return false;
        }
        let names = left.iter().zip(&self.places).filter(|(unit, _)| unit.is_name);
        let places: Vec<usize> = names.filter_map(|(_, place)| *place).collect();
        places.windows(2).any(|pair| pair[0] > pair[1])
    }
}
