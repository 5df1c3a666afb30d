//! Laws over arbitrary texts.

use proptest::prelude::*;

use crate::{Question, Wording, compare};

/// Texts of pieces that the checks read.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "how", "long", "does", "not", "don't", "enable", "disable", "from", "to", "Paris", "PDF",
        "3", "10GB", "$", "second", "May", "the", "一", "十", "万", "第", "周", "半", "个", "从",
        "到", "不", "不错", "开启", "关闭", "多少", "吗", "-", "--flag", "a@b.c", ".", "?", "'s",
        "n't", "\u{200b}", "Ａ", "𝟘", "é", "🙂", "charging", "charge",
    ]);
    let joined = prop::collection::vec((piece, prop::bool::ANY), 0..30);
    joined.prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, space)| format!("{piece}{}", if space { " " } else { "" }))
            .collect()
    })
}

proptest! {
    #[test]
    fn any_text_is_read(text in ".{0,300}") {
        let _ = Question::parse(&text);
    }

    #[test]
    fn comparison_is_symmetric(left in texts(), right in texts()) {
        if let (Ok(left), Ok(right)) = (Question::parse(&left), Question::parse(&right)) {
            prop_assert_eq!(compare(&left, &right), compare(&right, &left));
        }
    }

    #[test]
    fn text_is_the_same_question_as_itself(text in texts()) {
        if let Ok(question) = Question::parse(&text) {
            prop_assert_eq!(compare(&question, &question), Ok(Wording::Same));
        }
    }

    #[test]
    fn normal_form_is_that_of_its_capitals(text in texts()) {
        if let (Ok(plain), Ok(loud)) = (Question::parse(&text), Question::parse(&text.to_uppercase())) {
            prop_assert_eq!(plain.normal(), loud.normal());
        }
    }
}
