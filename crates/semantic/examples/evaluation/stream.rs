//! Natural questions in a random order: each is looked up, and then kept.

use std::fmt::Write as _;

use semantic::{Found, Index, Mode, Operation, Vector, VectorTable};

use crate::data::Labeled;
use crate::pairs::{NOW, keep, look_up};
use crate::share::{Draws, Share};

const THRESHOLDS: [f32; 3] = [0.945, 0.955, 0.965];
const SHUFFLES: u64 = 5;
/// Tolerated shares of wrong hits of the adaptive mode.
const MAX_ERRORS: [f64; 2] = [0.02, 0.05];

/// Hits of all requests, and wrong hits of all hits. A hit is wrong if its intent differs.
#[derive(Default)]
struct Tally {
    hits: Share,
    wrong: Share,
}

pub(crate) fn table(questions: &[Labeled]) -> String {
    let mut text = format!(
        "## Stream: {} questions, {SHUFFLES} random orders\n\n\
         | rule | cosine at least | hits of all requests | other intent, of the hits |\n| --- | --- | --- | --- |\n",
        questions.len()
    );
    for threshold in THRESHOLDS {
        let mut rows = vec![
            ("cosine alone".to_owned(), Tally::default()),
            ("`fixed`".to_owned(), Tally::default()),
        ];
        for max_error in MAX_ERRORS {
            rows.push((format!("`adaptive`, `max_error` {max_error}"), Tally::default()));
        }
        for seed in 0..SHUFFLES {
            let mut order: Vec<usize> = (0..questions.len()).collect();
            Draws(seed).shuffle(&mut order);
            let shuffled: Vec<&Labeled> = order.iter().map(|at| &questions[*at]).collect();
            alone(&shuffled, threshold, &mut rows[0].1);
            checked(&shuffled, threshold, &mut rows[1].1);
            for (max_error, row) in MAX_ERRORS.iter().zip(&mut rows[2..]) {
                adaptive(&shuffled, threshold, *max_error, &mut row.1);
            }
        }
        for (name, tally) in rows {
            let _ = writeln!(text, "| {name} | {threshold} | {} | {} |", tally.hits, tally.wrong);
        }
    }
    text
}

fn alone(questions: &[&Labeled], threshold: f32, tally: &mut Tally) {
    let dimensions = questions.first().map_or(0, |question| question.asked.embedding.len());
    let mut table = VectorTable::new(dimensions);
    for (at, question) in questions.iter().enumerate() {
        let Ok(vector) = Vector::quantize(&question.asked.embedding) else { continue };
        let nearest = table.nearest(&vector, threshold, 1);
        tally.hits.add(!nearest.is_empty());
        if let [(row, _)] = nearest[..] {
            tally.wrong.add(questions[row].intent != question.intent);
        }
        assert!(table.push(&vector), "row {at} has the dimension of the first one");
    }
}

fn checked(questions: &[&Labeled], threshold: f32, tally: &mut Tally) {
    let mut index = Index::new(0.01);
    for question in questions {
        let hit = match look_up(&index, &question.asked, Mode::Fixed, threshold) {
            Found::Hit(hit) => Some(hit),
            Found::Nothing | Found::Rejected { .. } => None,
        };
        tally.hits.add(hit.is_some());
        match hit {
            Some(hit) => tally.wrong.add(is_wrong(questions, &index, hit.entry, question)),
            None => keep(&mut index, &question.asked, usize::MAX),
        }
    }
}

/// Each hit is judged by its intent; a hit that is not served is kept like a miss.
fn adaptive(questions: &[&Labeled], threshold: f32, max_error: f64, tally: &mut Tally) {
    let mut index = Index::new(max_error);
    for question in questions {
        let hit = match look_up(&index, &question.asked, Mode::Adaptive, threshold) {
            Found::Hit(hit) => Some(hit),
            Found::Nothing | Found::Rejected { .. } => None,
        };
        let is_served = hit.as_ref().is_some_and(|hit| hit.is_served);
        tally.hits.add(is_served);
        if let Some(hit) = hit {
            let is_wrong = is_wrong(questions, &index, hit.entry, question);
            if hit.is_served {
                tally.wrong.add(is_wrong);
            }
            if let Some(band) = hit.band {
                let (entry, score) = (hit.entry, hit.score);
                index.apply(NOW, Operation::Label { entry, band, score, is_wrong, max_error });
            }
        }
        if !is_served {
            keep(&mut index, &question.asked, usize::MAX);
        }
    }
}

fn is_wrong(questions: &[&Labeled], index: &Index, entry: u64, asked: &Labeled) -> bool {
    let text = index.text(entry).expect("the entry is kept");
    let kept = questions.iter().find(|question| question.asked.text == text);
    kept.expect("it was a question").intent != asked.intent
}
