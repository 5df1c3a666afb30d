use bytes::Bytes;
use openai::{ContentParts, StreamEvent, Unreadable};
use proptest::prelude::*;

use crate::Edit;
use crate::text_fields::{GuardInput, GuardText};

use super::{MaskRestorer, StreamWindow};

/// Restores one placeholder.
struct Mask(&'static str, &'static str);

impl MaskRestorer for Mask {
    fn restore(&self, text: &str, _: usize) -> Vec<Edit> {
        let found = text.match_indices(self.0);
        found.map(|(at, it)| Edit { at: at..at + it.len(), text: self.1.to_owned() }).collect()
    }

    fn undecided_bytes(&self, text: &str) -> usize {
        let max = self.0.len() - 1;
        (1..=max).rev().find(|length| text.ends_with(&self.0[..*length])).unwrap_or(0)
    }
}

const NOTHING: Mask = Mask("\0\0", "");

fn push(window: &mut StreamWindow, event: impl Into<Bytes>) -> Result<(), Unreadable> {
    let parts = ContentParts { texts: true, delta: false };
    window.push_event(StreamEvent::parse(event.into(), parts).1)
}

/// Releases events, whose texts are those of their bytes.
fn release(window: &mut StreamWindow, masks: &Mask) -> Vec<Bytes> {
    let texts = |event: StreamEvent| {
        let texts = event.into_editable().1.expect("readable").texts;
        texts.into_iter().map(|field| (field.channel, field.text)).collect::<Vec<_>>()
    };
    let write = |event: StreamEvent| {
        let bytes = event.bytes().clone();
        let parts = ContentParts { texts: true, delta: false };
        let again = StreamEvent::parse(bytes.clone(), parts).1;
        assert_eq!(texts(event), texts(again));
        bytes
    };
    window.release(masks).into_iter().map(write).collect()
}

fn event(text: &str) -> Bytes {
    let text = serde_json::to_string(text).expect("a string");
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}}}}]}}\n\n").into()
}

fn shown(events: &[Bytes]) -> String {
    let read = |bytes: &Bytes| {
        let data = std::str::from_utf8(bytes).expect("text").trim().strip_prefix("data: ");
        let json: serde_json::Value = serde_json::from_str(data.expect("data")).expect("JSON");
        json["choices"][0]["delta"]["content"].as_str().expect("text").to_owned()
    };
    events.iter().map(read).collect()
}

#[test]
fn held_back_end_is_released_with_following_text() {
    let mut window = StreamWindow::default();
    let text = |text: &str, from, goes_on| {
        vec![GuardText { number: 0, text: text.to_owned(), unchecked_from: from, goes_on }]
    };
    push(&mut window, event("abc")).expect("readable");
    push(&mut window, event("de")).expect("readable");
    assert_eq!(window.unchecked_chars(), 5);
    assert_eq!(window.texts(), text("abcde", 0, true));
    window.hold_back(0, 3);
    window.hold_back(0, 1);
    assert_eq!(release(&mut window, &NOTHING).len(), 0);
    push(&mut window, event("f")).expect("readable");
    window.hold_back(0, 3);
    assert_eq!(shown(&release(&mut window, &NOTHING)), "abc");
    assert!(window.texts().is_empty());
    push(&mut window, Bytes::from_static(b": ping\n\n")).expect("readable");
    assert!(release(&mut window, &NOTHING).is_empty(), "held text stays until it is checked");
    push(&mut window, event("g")).expect("readable");
    assert_eq!(window.texts(), text("abcdefg", 3, true));
    window.begin_check();
    window.apply_edits(
        0,
        &[Edit { at: 1..4, text: "-".to_owned() }, Edit { at: 5..6, text: "!".to_owned() }],
    );
    window.finish();
    assert_eq!(window.texts(), text("abc-e!g", 3, false));
    window.hold_back(0, 2);
    let rest = release(&mut window, &NOTHING);
    assert_eq!(shown(&[&rest[..2], &rest[3..]].concat()), "-e!g");
    assert_eq!(rest[2], ": ping\n\n");
    assert!(window.held.is_empty());
}

#[test]
fn empty_finish_reason_ends_no_channel() {
    let mut window = StreamWindow::default();
    let event = r#"{"choices":[{"index":0,"delta":{"content":"abc"},"finish_reason":""}]}"#;
    push(&mut window, format!("data: {event}\n\n")).expect("readable");
    assert!(window.texts()[0].goes_on);
    window.hold_back(0, 2);
    assert_eq!(release(&mut window, &NOTHING).len(), 0);
}

#[test]
fn event_without_text_keeps_its_order() {
    let mut window = StreamWindow::default();
    push(&mut window, Bytes::from_static(b": ping\n\n")).expect("readable");
    push(&mut window, event("abc")).expect("readable");
    push(&mut window, Bytes::from_static(b"data: [DONE]\n\n")).expect("readable");
    window.hold_back(0, 2);
    assert_eq!(release(&mut window, &NOTHING), [": ping\n\n"]);
    window.finish();
    let rest = release(&mut window, &NOTHING);
    assert_eq!(rest.len(), 2);
    assert_eq!(rest[1], "data: [DONE]\n\n");
}

#[test]
fn data_in_several_lines_is_edited() {
    let mut window = StreamWindow::default();
    let lines = "event: x\ndata: {\"choices\":\ndata: [{\"delta\":{\"content\":\"ab\"}}]}\n\n";
    push(&mut window, Bytes::from_static(lines.as_bytes())).expect("readable");
    window.apply_edits(0, &[Edit { at: 0..1, text: "é".to_owned() }]);
    assert_eq!(
        release(&mut window, &NOTHING),
        ["data: {\"choices\": [{\"delta\":{\"content\":\"éb\"}}]}\n\n"]
    );
    let deep = format!("data: {}\"x\"{}\n\n", "[".repeat(40), "]".repeat(40));
    assert!(push(&mut window, deep).is_err());
}

/// Holds back the last eight bytes of each text, and returns the number of released events.
fn held(window: &mut StreamWindow, data: &str) -> usize {
    push(window, format!("data: {data}\n\n")).expect("readable");
    window.begin_check();
    let texts = window.texts();
    texts.iter().filter(|text| text.goes_on).for_each(|text| window.hold_back(text.number, 8));
    release(window, &NOTHING).len()
}

fn delta(choice: u32, member: &str, text: &str) -> String {
    format!(r#"{{"choices":[{{"index":{choice},"delta":{{"{member}":"{text}"}}}}]}}"#)
}

#[test]
fn ended_channel_delays_no_event() {
    let mut window = StreamWindow::default();
    // Neither does content wait for its reasoning, nor one choice for another one that has
    // ended.
    assert_eq!(held(&mut window, &delta(0, "reasoning_content", "so be it")), 0);
    let long = "what is said is said at some length here";
    assert_eq!(held(&mut window, &delta(0, "content", long)), 0);
    assert_eq!(held(&mut window, &delta(0, "content", long)), 2);
    assert_eq!(held(&mut window, &delta(1, "content", long)), 0);
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(held(&mut window, end), 1);
    assert_eq!(held(&mut window, &delta(1, "content", long)), 2);
    // Text of a resumed channel is released with the text before its end.
    push(&mut window, format!("data: {}\n\n", delta(0, "content", "!"))).expect("readable");
    let text = window.texts().into_iter().find(|text| text.number == 1).expect("it is fresh");
    assert_eq!((text.unchecked_from, text.goes_on), (1, true));
    assert!(text.text.ends_with("length here!"));
}

proptest! {
    /// Under any split and any order of checks, masks are restored and nothing else changes. A
    /// text that is shorter than the held-back part is checked whole before any of it is
    /// released.
    #[test]
    fn stream_under_any_split_is_checked_and_restored(
        cuts in prop::collection::vec((1..6_usize, any::<bool>()), 1..40),
        back in 4..9_usize,
    ) {
        let text = "[A_1] and 中文[A_1 [A_1][A_1]x bad [A_ 1] bad[A_1]";
        let mask = Mask("[A_1]", "someone@example.org");
        let mut window = StreamWindow::default();
        let characters: Vec<char> = text.chars().collect();
        let (mut at, mut out, mut seen) = (0, String::new(), 0);
        for (length, check) in cuts.into_iter().cycle() {
            if at == characters.len() {
                break;
            }
            let end = (at + length).min(characters.len());
            let piece: String = characters[at..end].iter().collect();
            push(&mut window, event(&piece)).expect("readable");
            at = end;
            if check {
                window.begin_check();
                seen += window.texts().iter().map(|it| it.text.matches("bad").count()).sum::<usize>();
                window.hold_back(0, back);
                out += &shown(&release(&mut window, &mask));
                prop_assert!(seen > 0 || !out.contains("ba"));
            }
        }
        window.finish();
        out += &shown(&release(&mut window, &mask));
        prop_assert_eq!(out, text.replace("[A_1]", "someone@example.org"));
    }
}
