//! Served and wrong answers on labeled pairs: cosine alone, and with the text checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use civil_time::Timestamp;
use semantic::{Band, Found, Index, LookUpRules, Mode, Operation, Question, Vector};

use crate::data::{Asked, Pair};
use crate::share::Share;

/// Smallest cosines of the tables.
const THRESHOLDS: [f32; 4] = [0.945, 0.955, 0.965, 0.975];
/// The one of the tables by category.
const DETAILED: f32 = 0.955;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SETTING: [u8; 32] = [0; 32];

/// Keeps a question in an index; nothing if it is unsuitable.
pub(crate) fn keep(index: &mut Index, asked: &Asked, max_entries: usize) {
    let (Ok(question), Ok(vector)) =
        (Question::parse(&asked.text), Vector::quantize(&asked.embedding))
    else {
        return;
    };
    let operation = Operation::Insert {
        setting: SETTING,
        question: Box::new(question),
        vector,
        answer: String::new(),
        until: NOW + Duration::from_secs(60 * 60),
        max_entries,
    };
    index.apply(NOW, operation);
}

pub(crate) fn look_up(index: &Index, asked: &Asked, mode: Mode, threshold: f32) -> Found {
    match (Question::parse(&asked.text), Vector::quantize(&asked.embedding)) {
        (Ok(question), Ok(vector)) => {
            index.look_up(NOW, &SETTING, &question, &vector, LookUpRules { mode, threshold })
        }
        (_, _) => Found::Nothing,
    }
}

/// The outcome of one pair.
struct Outcome {
    is_near: bool,
    found: Found,
}

fn outcome(pair: &Pair, mode: Mode, threshold: f32) -> Outcome {
    let dot: f32 = pair.kept.embedding.iter().zip(&pair.asked.embedding).map(|(l, r)| l * r).sum();
    let mut index = Index::new(0.01);
    keep(&mut index, &pair.kept, 1);
    Outcome { is_near: dot >= threshold, found: look_up(&index, &pair.asked, mode, threshold) }
}

fn is_hit(found: &Found) -> bool {
    match found {
        Found::Hit(_) => true,
        Found::Nothing | Found::Rejected { .. } => false,
    }
}

pub(crate) fn tables(pairs: &[Pair]) -> String {
    let mut text = String::new();
    let mut sets: Vec<&str> = pairs.iter().map(|pair| pair.set.as_str()).collect();
    sets.dedup();
    for set in sets {
        let of_set: Vec<&Pair> = pairs.iter().filter(|pair| pair.set == set).collect();
        let _ = writeln!(text, "## {set}: {} pairs\n", of_set.len());
        by_threshold(&mut text, &of_set);
        by_category(&mut text, &of_set);
        by_band(&mut text, &of_set);
    }
    text
}

fn by_threshold(text: &mut String, pairs: &[&Pair]) {
    text.push_str("| cosine at least | alone: served | alone: wrong | with checks: served | with checks: wrong |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for threshold in THRESHOLDS {
        let mut shares = [Share::default(); 4];
        for pair in pairs {
            let outcome = outcome(pair, Mode::Fixed, threshold);
            let side = usize::from(!pair.is_same);
            shares[side].add(outcome.is_near);
            shares[2 + side].add(is_hit(&outcome.found));
        }
        let [alone, alone_wrong, served, wrong] = shares;
        let _ = writeln!(text, "| {threshold} | {alone} | {alone_wrong} | {served} | {wrong} |");
    }
    text.push('\n');
}

fn by_category(text: &mut String, pairs: &[&Pair]) {
    let _ = writeln!(
        text,
        "| category, cosine at least {DETAILED} | one answer serves both | cosine alone | with checks |"
    );
    text.push_str("| --- | --- | --- | --- |\n");
    let mut rows: BTreeMap<(bool, &str), [Share; 2]> = BTreeMap::new();
    for pair in pairs {
        let outcome = outcome(pair, Mode::Fixed, DETAILED);
        let row = rows.entry((!pair.is_same, pair.category.as_str())).or_default();
        row[0].add(outcome.is_near);
        row[1].add(is_hit(&outcome.found));
    }
    for ((is_trap, category), [alone, checked]) in rows {
        let answer = if is_trap { "no" } else { "yes" };
        let _ = writeln!(text, "| {category} | {answer} | {alone} | {checked} |");
    }
    text.push('\n');
}

fn by_band(text: &mut String, pairs: &[&Pair]) {
    let _ = writeln!(
        text,
        "| band, cosine at least {DETAILED} | hits | of them wrong |\n| --- | --- | --- |"
    );
    let mut bands: BTreeMap<Option<Band>, Share> = BTreeMap::new();
    for pair in pairs {
        if let Found::Hit(hit) = outcome(pair, Mode::Shadow, DETAILED).found {
            bands.entry(hit.band).or_default().add(!pair.is_same);
        }
    }
    for (band, share) in bands {
        let name = band.map_or("same words in order", Band::name);
        let _ = writeln!(text, "| {name} | {} | {share} |", share.all);
    }
    text.push('\n');
}
