//! Guards: masks, word lists, texts with edits, and the window over a stream.

use guards::settings::{CustomPii, Pii, PiiAction, PiiKind};
use guards::{GuardInput, Masks, TextFields, Verdict, WordList};
use guards::{chunking, json_unescape, pii};
use openai::texts_in_answer;

use super::{Factor, assert_linear, fill, fill_numbered, list};

fn settings(action: PiiAction) -> Pii {
    let custom = |name: &str, pattern: &str, replacement: Option<&str>| CustomPii {
        name: name.to_owned(),
        pattern: regex_lite::Regex::new(pattern).expect("a pattern"),
        replacement: replacement.map(str::to_owned),
    };
    let detect = vec![
        PiiKind::Email,
        PiiKind::Phone,
        PiiKind::ChineseId,
        PiiKind::Card,
        PiiKind::Address,
        PiiKind::ApiKey,
    ];
    let custom =
        vec![custom("seven", "7(7*x)?", Some("<$0$0$0$0>")), custom("word", "#[a-z]+", None)];
    Pii { detect, custom, action, restore: true }
}

/// Texts with many data, or with many beginnings of data.
const UNITS: [&str; 14] = [
    "a@b.co ", "@", "a@", "1 1 ", "1.1.1.1 ", "+1 ", "(1", "4111 ", "eyJa.", "sk-a1-", "::",
    "[A_1]", "[[", "#a ",
];

#[test]
fn texts_are_masked_in_linear_memory() {
    let factor = Factor { peak: 24, total: 48 };
    let pii = settings(PiiAction::Replace);
    for unit in UNITS {
        let make = |length| fill(unit, length);
        assert_linear(unit, factor, make, String::len, |text| Masks::default().mask(&pii, &text));
    }
    for action in [PiiAction::Replace, PiiAction::Hash, PiiAction::Refuse] {
        let pii = settings(action);
        let distinct = |length| fill_numbered(length, |at| format!("a{at}@b.co [B_{at}] "));
        assert_linear("distinct", factor, distinct, String::len, |text| {
            Masks::default().mask(&pii, &text)
        });
    }
    let one = |length| format!("sk-a1{}", "a".repeat(length));
    assert_linear("one key", factor, one, String::len, |text| Masks::default().mask(&pii, &text));
    let reserve = |text: String| {
        let mut masks = Masks::default();
        masks.reserve_placeholders(&text);
        masks
    };
    let placeholders = |length| fill_numbered(length, |at| format!("[EMAIL_{at}]"));
    assert_linear("placeholders", factor, placeholders, String::len, reserve);
    let long = |length| format!("[{}_1]", "A".repeat(length));
    assert_linear("long placeholder", factor, long, String::len, reserve);
}

#[test]
fn masks_are_restored_in_linear_memory() {
    let factor = Factor { peak: 8, total: 16 };
    let pii = settings(PiiAction::Replace);
    let keys = [
        "a@b.co".to_owned(),
        format!("sk-a1{}", "a".repeat(1_000)),
        format!("sk-a1{}", "b".repeat(1 << 20)),
    ];
    let mut masks = Masks::default();
    masks.mask(&pii, &keys.join(" "));
    for unit in ["[EMAIL_1]", "[API_KEY_1]", "[API_KEY_2]", "[API_KEY_1", "["] {
        let make = |length| fill(unit, length);
        let restore = |text: String| masks.restore(&text, pii::MAX_RESTORED_BYTES);
        assert_linear(unit, factor, make, String::len, restore);
        assert_linear(unit, factor, make, String::len, |text| masks.undecided_bytes(&text));
    }
}

#[test]
fn words_are_found_in_linear_memory() {
    let factor = Factor { peak: 8, total: 24 };
    let words = WordList::new(["forbidden phrase", "a a a a b", "违禁词", "!a a"]);
    for unit in ["a ", "违禁", "forbidden ", "\u{200b}", " ", "\\u0061", "a"] {
        let make = |length| fill(unit, length);
        assert_linear(unit, factor, make, String::len, |text| words.find(&text));
        assert_linear(unit, factor, make, String::len, |text| words.find_so_far(&text, 0));
        assert_linear(unit, factor, make, String::len, |text| words.undecided(&text, 0));
        assert_linear(unit, factor, make, String::len, |text| json_unescape::unescape(&text));
        assert_linear(unit, factor, make, String::len, |text| chunking::chunk_text(&text, 2_000));
    }
}

#[test]
fn texts_are_edited_in_linear_memory() {
    let factor = Factor { peak: 32, total: 64 };
    let answer = |length| {
        let part =
            format!("{{\"type\":\"text\",\"text\":\"a@b.co {}\"}},", "x".repeat(length / 10_000));
        format!(r#"{{"choices":[{{"message":{{"content":{}}}}}]}}"#, list(&part.repeat(9_000)))
    };
    let pii = settings(PiiAction::Replace);
    assert_linear("parts", factor, answer, String::len, |body| {
        let mut fields = TextFields::new(texts_in_answer(&body).expect("readable"));
        let Verdict::Mask(edits, _) = Masks::default().mask(&pii, &fields.text()) else {
            panic!("it has addresses");
        };
        fields.apply_edits(0, &edits);
        fields.write_body(body.as_bytes()).expect("it has changed")
    });
}
