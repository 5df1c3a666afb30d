//! Tests of the whole crate.

mod index;
mod laws;
mod rows;
mod texts;
mod trust;
mod vectors;

use std::time::Duration;

use civil_time::Timestamp;

use crate::{Found, Index, LookUpRules, Mode, Operation, Question, Setting, Vector};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(60 * 60);
const SETTING: Setting = [7; 32];

fn question(text: &str) -> Question {
    Question::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn vector(embedding: &[f32]) -> Vector {
    Vector::quantize(embedding).expect("an embedding")
}

/// Keeps a question for a day, its text as the name of its answer.
fn insert(index: &mut Index, text: &str, embedding: &[f32]) {
    let insert = Operation::Insert {
        setting: SETTING,
        question: Box::new(question(text)),
        vector: vector(embedding),
        answer: text.to_owned(),
        until: NOW + 24 * HOUR,
        max_entries: 100,
    };
    index.apply(NOW, insert).expect("it is kept");
}

fn look_up(index: &Index, text: &str, embedding: &[f32], mode: Mode) -> Found {
    let rules = LookUpRules { mode, threshold: 0.95 };
    index.look_up(NOW, &SETTING, &question(text), &vector(embedding), rules)
}
