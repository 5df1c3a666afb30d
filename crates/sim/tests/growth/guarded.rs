//! Guards: masks, word lists, texts with edits, and the window over a stream.

use guards::settings::{CustomPii, Pii, PiiAction, PiiKind};
use guards::{Edit, GuardInput, Masks, StreamWindow, TextFields, Verdict, WordList};
use guards::{chunking, json_unescape, pii};
use openai::{ContentParts, StreamEvent, texts_in_answer};

use super::{Factor, assert_linear, assert_linear_time, fill, fill_numbered, list};

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

#[test]
fn texts_are_edited_in_linear_time() {
    let part = r#"{"type":"text","text":"a@b.co"},"#;
    let answer = |length| {
        let parts = list(&fill(part, length));
        format!(r#"{{"choices":[{{"message":{{"content":{parts}}}}}]}}"#)
    };
    // One edit for each text.
    let edited = |body: String| {
        let mut fields = TextFields::new(texts_in_answer(&body).expect("readable"));
        let text = fields.text();
        let edits = text.match_indices('@').map(|(at, _)| at..at + 1);
        let edits: Vec<Edit> = edits.map(|at| Edit { at, text: "_".to_owned() }).collect();
        assert!(edits.len() > 1_000);
        fields.apply_edits(0, &edits);
        fields.write_body(body.as_bytes()).expect("it has changed")
    };
    assert_linear_time("edits", 2_000 * part.len(), answer, edited);
}

#[test]
fn operators_patterns_take_linear_time() {
    let mut pii = settings(PiiAction::Replace);
    pii.detect.clear();
    pii.custom.retain(|custom| custom.name == "seven");
    let digits = |length| fill("7", length);
    assert_linear_time("digits", 8 << 10, digits, |text| Masks::default().mask(&pii, &text));
}

/// Event with a text of a tool call.
fn call_event(index: usize, text: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{index},\
         \"function\":{{\"arguments\":\"{text}\"}}}}]}}}}]}}\n\n"
    )
}

fn push(window: &mut StreamWindow, event: String) -> bool {
    let parts = ContentParts { texts: true, delta: false };
    window.push_event(StreamEvent::parse(event.into(), parts).1).is_ok()
}

#[test]
fn channels_of_a_stream_are_bounded() {
    for text in ["x", ""] {
        let mut window = StreamWindow::default();
        let readable = (0..3_000).filter(|at| push(&mut window, call_event(*at, text))).count();
        assert!(readable <= if text.is_empty() { 3_000 } else { 1_000 }, "{readable}");
        assert!(push(&mut window, call_event(0, "y")), "known channels stay readable");
    }
    let events = |length| fill_numbered(length, |at| call_event(at, "x"));
    assert_linear_time("channels", 24 << 10, events, |stream| {
        let mut window = StreamWindow::default();
        for event in stream.split_inclusive("\n\n") {
            push(&mut window, event.to_owned());
            window.release(&Masks::default());
        }
    });
}

#[test]
fn restored_data_of_a_stream_are_bounded() {
    let mut masks = Masks::default();
    masks.mask(&settings(PiiAction::Replace), &format!("sk-a1{}", "a".repeat(995)));
    let mut window = StreamWindow::default();
    let (mut received, mut shown) = (0, 0);
    for _ in 0..3_000 {
        let event = call_event(0, "[API_KEY_1] ");
        received += event.len();
        assert!(push(&mut window, event));
        shown += window.release(&masks).iter().map(|event| event.bytes().len()).sum::<usize>();
    }
    assert!(shown > received + pii::MAX_RESTORED_BYTES / 2, "some are restored");
    assert!(shown <= received + pii::MAX_RESTORED_BYTES, "{shown} of {received} bytes");
}
