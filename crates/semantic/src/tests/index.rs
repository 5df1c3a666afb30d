//! Look-ups and changes of an index.

use std::time::Duration;

use civil_time::Timestamp;
use proptest::prelude::*;

use super::{HOUR, NOW, SETTING, insert, look_up, question, vector};
use crate::{
    Band, Check, Found, Hit, Index, LookUpRules, Mode, Operation, Setting, Vector, VectorError,
};

fn hit(found: Found) -> Hit {
    match found {
        Found::Hit(hit) => hit,
        Found::Nothing | Found::Rejected { .. } => panic!("no hit: {found:?}"),
    }
}

#[test]
fn paraphrase_is_served_and_traps_are_not() {
    let mut index = Index::new(0.01);
    insert(&mut index, "How do I cancel the 3 day pass?", &[1.0, 0.0]);
    let near = [1.0, 0.1];
    let served = hit(look_up(&index, "how can i cancel my 3 day passes", &near, Mode::Fixed));
    assert!(served.is_served && served.band == Some(Band::Same), "{served:?}");
    assert!(served.score > 0.99 && served.answer == "How do I cancel the 3 day pass?");
    for (trap, check) in [
        ("How do I cancel the 7 day pass?", Check::Numbers),
        ("How do I not cancel the 3 day pass?", Check::Polarity),
        ("Where do I cancel the 3 day pass?", Check::Focus),
    ] {
        let found = look_up(&index, trap, &near, Mode::Fixed);
        assert!(
            matches!(found, Found::Rejected { check: other, .. } if other == check),
            "{found:?}"
        );
    }
    let far = look_up(&index, "how can i cancel my 3 day passes", &[0.0, 1.0], Mode::Fixed);
    assert_eq!(far, Found::Nothing);
}

#[test]
fn same_words_need_no_embedding() {
    let mut index = Index::new(0.01);
    insert(&mut index, "Where is my order?", &[1.0, 0.0]);
    let asked = question("where is MY order");
    for (mode, is_served) in [(Mode::Shadow, false), (Mode::Adaptive, true), (Mode::Fixed, true)] {
        let found = hit(index.look_up_words(NOW, &SETTING, &asked, mode));
        assert_eq!((found.is_served, found.band, found.score), (is_served, None, 1.0));
        // Another embedding of the same words changes nothing.
        assert_eq!(hit(look_up(&index, "where is MY order", &[0.0, 1.0], mode)), found);
    }
}

#[test]
fn adaptive_mode_serves_a_band_after_its_labels() {
    let mut index = Index::new(0.05);
    insert(&mut index, "How do I cancel my order?", &[1.0, 0.0]);
    let ask = |index: &Index| {
        hit(look_up(index, "how can i cancel an order", &[1.0, 0.1], Mode::Adaptive))
    };
    let shadow = ask(&index);
    assert!(!shadow.is_served);
    for _ in 0..91 {
        assert!(!ask(&index).is_served);
        label(&mut index, &shadow, false, 0.05);
    }
    assert!(ask(&index).is_served);
    assert!(
        !hit(look_up(&index, "how can i cancel an order", &[1.0, 0.1], Mode::Shadow)).is_served
    );
    // Another tolerance needs its own evidence.
    label(&mut index, &shadow, false, 0.01);
    assert!(!ask(&index).is_served);
}

fn label(index: &mut Index, hit: &Hit, is_wrong: bool, max_error: f64) {
    let band = hit.band.expect("it has a band");
    let label = Operation::Label { entry: hit.entry, band, score: hit.score, is_wrong, max_error };
    index.apply(NOW, label);
}

#[test]
fn wrong_label_raises_the_floor_of_its_entry_alone() {
    let mut index = Index::new(0.01);
    insert(&mut index, "How do I cancel my order?", &[1.0, 0.0, 0.0]);
    insert(&mut index, "How do I book a table?", &[0.0, 0.0, 1.0]);
    let ask = |index: &Index, text: &str, at: &[f32]| look_up(index, text, at, Mode::Fixed);
    let wrong = hit(ask(&index, "how can i cancel an order", &[1.0, 0.2, 0.0]));
    label(&mut index, &wrong, true, 0.01);
    assert_eq!(ask(&index, "how can i cancel an order", &[1.0, 0.2, 0.0]), Found::Nothing);
    hit(ask(&index, "how can i cancel an order", &[1.0, 0.0, 0.0]));
    hit(ask(&index, "how can i book a table", &[0.0, 0.2, 1.0]));
    // The answer may be replaced; the floor is about the question.
    insert(&mut index, "How do I cancel my order?", &[1.0, 0.0, 0.0]);
    assert_eq!(ask(&index, "how can i cancel an order", &[1.0, 0.2, 0.0]), Found::Nothing);
    let bad = Operation::Label {
        entry: 2,
        band: Band::Same,
        score: f32::NAN,
        is_wrong: true,
        max_error: 0.01,
    };
    index.apply(NOW, bad);
    hit(ask(&index, "how can i book a table", &[0.0, 0.2, 1.0]));
}

#[test]
fn expired_entry_is_no_hit_and_the_least_used_one_is_evicted() {
    let mut index = Index::new(0.01);
    for (text, at) in
        [("one red apple here", [1.0, 0.0, 0.0]), ("some green pears here", [0.0, 1.0, 0.0])]
    {
        insert(&mut index, text, &at);
    }
    let later = NOW + HOUR + HOUR;
    index.apply(later, Operation::Use { entry: 1 });
    let third = Operation::Insert {
        setting: SETTING,
        question: Box::new(question("many blue plums here")),
        vector: vector(&[0.0, 0.0, 1.0]),
        answer: "third".to_owned(),
        until: later + HOUR,
        max_entries: 2,
    };
    assert_eq!(index.apply(later, third), Some(3));
    assert_eq!(index.len(), 2);
    let ask =
        |index: &Index, now, text| index.look_up_words(now, &SETTING, &question(text), Mode::Fixed);
    hit(ask(&index, later, "one red apple here"));
    assert_eq!(ask(&index, later, "some green pears here"), Found::Nothing);
    hit(ask(&index, later, "many blue plums here"));
    assert_eq!(ask(&index, later + HOUR, "many blue plums here"), Found::Nothing);
    index.apply(later, Operation::Forget { entry: 1 });
    assert_eq!(ask(&index, later, "one red apple here"), Found::Nothing);
    index.apply(later, Operation::Clear);
    assert!(index.is_empty());
}

#[test]
fn insertions_out_of_bounds_change_nothing() {
    let mut index = Index::new(0.01);
    let operation = |answer: String, until: Timestamp, max_entries| Operation::Insert {
        setting: SETTING,
        question: Box::new(question("where is my order")),
        vector: vector(&[1.0]),
        answer,
        until,
        max_entries,
    };
    let later = NOW + HOUR;
    assert_eq!(index.apply(NOW, operation("a".repeat(257), later, 9)), None);
    assert_eq!(index.apply(NOW, operation("a".to_owned(), NOW, 9)), None);
    assert_eq!(index.apply(NOW, operation("a".to_owned(), later, 0)), None);
    assert!(index.is_empty() && index.take_changes().is_empty());
    assert_eq!(Vector::quantize(&[f32::NAN]), Err(VectorError::NotFinite));
}

#[test]
fn entries_of_another_setting_or_dimension_are_not_compared() {
    let mut index = Index::new(0.01);
    insert(&mut index, "How do I cancel my order?", &[1.0, 0.0]);
    let (asked, rules) = (question("how can i cancel an order"), rules(Mode::Fixed));
    let other: Setting = [8; 32];
    assert_eq!(index.look_up(NOW, &other, &asked, &vector(&[1.0, 0.0]), rules), Found::Nothing);
    let longer = vector(&[1.0, 0.0, 0.0]);
    assert_eq!(index.look_up(NOW, &SETTING, &asked, &longer, rules), Found::Nothing);
    hit(index.look_up(NOW, &SETTING, &asked, &vector(&[1.0, 0.0]), rules));
}

fn rules(mode: Mode) -> LookUpRules {
    LookUpRules { mode, threshold: 0.9 }
}

proptest! {
    #[test]
    fn look_up_returns_only_entries_of_the_setting_that_have_not_expired(
        inserted in prop::collection::vec((0_u8..3, 0_usize..6, 0_u64..200, 1_usize..5), 1..40),
        asked in (0_u8..3, 0_usize..6),
    ) {
        const TEXTS: [&str; 6] = [
            "where is my order", "where is the order now please", "how do I cancel my order",
            "how can I cancel an order", "when are you open", "what are the opening times",
        ];
        let texts = TEXTS.map(|text| text.replace(" now", ""));
        let mut index = Index::new(0.01);
        let mut model: Vec<(u8, Timestamp, String)> = Vec::new();
        for (number, (setting, text, until, max_entries)) in inserted.into_iter().enumerate() {
            let until = Timestamp::from_millis(until);
            let answer = format!("{setting} {number}");
            index.apply(Timestamp::from_millis(50), Operation::Insert {
                setting: [setting; 32],
                question: Box::new(question(&texts[text])),
                vector: vector(&[1.0, text as f32 / 20.0]),
                answer: answer.clone(),
                until,
                max_entries,
            });
            prop_assert!(index.len() <= max_entries || until <= Timestamp::from_millis(50));
            model.push((setting, until, answer));
        }
        let (setting, text) = asked;
        let now = Timestamp::from_millis(100);
        let at = vector(&[1.0, text as f32 / 20.0]);
        let found = index.look_up(now, &[setting; 32], &question(&texts[text]), &at, rules(Mode::Fixed));
        if let Found::Hit(hit) = found {
            let known = model.iter().any(|(of, until, answer)| *of == setting && *until > now && *answer == hit.answer);
            prop_assert!(known, "{hit:?}");
        }
    }
}

#[test]
fn use_counts_once_an_hour() {
    let mut index = Index::new(0.01);
    insert(&mut index, "where is my order", &[1.0]);
    index.take_changes();
    index.apply(NOW + Duration::from_secs(60), Operation::Use { entry: 1 });
    assert!(index.take_changes().is_empty());
    index.apply(NOW + HOUR, Operation::Use { entry: 1 });
    assert_eq!(index.take_changes().len(), 1);
    index.apply(NOW + HOUR, Operation::Use { entry: 99 });
    assert!(index.take_changes().is_empty());
}
