//! Guarded streams: no split, order, or number of choices lets blocked text or personal data through.

use std::collections::BTreeMap;

use guards::settings::{Pii, PiiAction, PiiKind};
use guards::{Masks, Verdict, WordList, pii};
use serde_json::{Value, json};
use sim::testing::Rng;
use sim::upstream::{Script, ScriptEvent};

use super::{request, send_request};

const WORDS: [&str; 3] = ["forbidden phrase", "bad", "违禁词"];

const PIECES: [&str; 22] = [
    "forbidden",
    "forbid",
    "den",
    " ",
    "phrase",
    "phr",
    "ase",
    "bad",
    "ba",
    "d",
    "违",
    "禁",
    "词",
    "\u{200b}",
    "ok ",
    "a longer text that says nothing of note ",
    ". ",
    "\n",
    "138",
    "0013",
    "8000",
    "13800138000 ",
];

/// Generates the events of a stream. With `orderly`, no text of a choice continues after another of the same
/// choice has begun.
fn events(rng: &mut Rng, orderly: bool) -> Vec<String> {
    let choices = 1 + rng.below(3);
    let mut channel = vec![0_u64; choices as usize];
    let mut events = vec![
        json!({ "id": "x", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] }).to_string(),
    ];
    for _ in 0..2 + rng.below(40) {
        let choice = rng.below(choices) as usize;
        channel[choice] = match orderly {
            true => (channel[choice] + u64::from(rng.below(8) == 0)).min(3),
            false => rng.below(4),
        };
        let text = (0..rng.below(4)).map(|_| rng.pick(&PIECES)).collect::<String>();
        let delta = match channel[choice] {
            0 => json!({ "reasoning_content": text }),
            1 => json!({ "content": text }),
            2 => json!({ "refusal": text }),
            _ => json!({ "tool_calls": [{ "index": 0, "function": { "arguments": text } }] }),
        };
        let logprobs = (rng.below(5) == 0).then(|| json!({ "content": [] }));
        let choice =
            json!({ "index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": null });
        events.push(json!({ "id": "x", "choices": [choice] }).to_string());
    }
    for choice in 0..choices {
        let choice =
            json!({ "index": choice, "delta": { "content": "." }, "finish_reason": "stop" });
        events.push(json!({ "id": "x", "choices": [choice] }).to_string());
    }
    events.push("[DONE]".to_owned());
    events
}

/// Concatenates the text of each field of each choice, as a caller does.
fn texts<'a>(data: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for data in data.filter(|data| data.starts_with('{')) {
        let event: Value = serde_json::from_str(data).expect("JSON");
        for choice in event["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            let arguments = &delta["tool_calls"][0]["function"]["arguments"];
            for (name, text) in [
                ("reasoning", &delta["reasoning_content"]),
                ("content", &delta["content"]),
                ("refusal", &delta["refusal"]),
                ("arguments", arguments),
            ] {
                let text = text.as_str().unwrap_or_default();
                texts.entry(format!("{} {name}", choice["index"])).or_default().push_str(text);
            }
        }
    }
    texts
}

fn data(body: &str) -> impl Iterator<Item = &str> {
    body.split("\n\n")
        .filter_map(|event| event.trim_start_matches(": ping\n").strip_prefix("data: "))
}

fn script(rng: &mut Rng, events: Vec<String>) -> Script {
    let gap = rng.pick(&[0_u64, 3, 400, 1_100]);
    Script {
        events: Some(events.into_iter().map(ScriptEvent::from).collect()),
        gap: (gap > 0).then(|| std::time::Duration::from_millis(gap)),
        split: (rng.below(2) == 0).then(|| 1 + rng.below(90) as usize),
        comments: rng.below(3) == 0,
        ..Script::default()
    }
}

#[test]
fn streams_with_a_listed_word_are_blocked_for_any_split() {
    let word_list = WordList::new(WORDS);
    let (mut blocked, mut passed) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng(seed);
        let orderly = seed % 2 == 0;
        let events = events(&mut rng, orderly);
        let sent = texts(events.iter().map(String::as_str));
        let is_clean = sent.values().all(|text| word_list.find(text).is_none());
        let script = script(&mut rng, events);
        let (plain, _) = send_request(&script, request("plain", true, &json!("Hello?")));
        for model in ["terms", "narrow"] {
            let (received, record) = send_request(&script, request(model, true, &json!("Hello?")));
            let body = String::from_utf8(received.body().to_vec()).expect("text");
            // A text that continues after a long break may be checked at its apparent end.
            if is_clean && !orderly && record["outcome"] == "blocked" {
                continue;
            }
            if is_clean {
                assert_eq!(body.as_bytes(), &plain.body()[..], "{seed} {model}");
                assert_eq!(record["outcome"], "answered", "{seed} {model}");
                passed += 1;
                continue;
            }
            let ending = body.find("\"from-security-guard\"").expect("it is blocked");
            let ending = body[..ending].rfind("data: ").expect("an event");
            for (channel, text) in texts(data(&body[..ending])) {
                assert_eq!(word_list.find(&text), None, "{seed} {model} {channel}: {text:?}");
            }
            assert_eq!(
                (&record["outcome"], &record["blocked_by"]),
                (&json!("blocked"), &json!(model))
            );
            assert_eq!(record["guards"].as_array().map(Vec::len), Some(1), "{seed}: {record}");
            assert!(body.ends_with("data: [DONE]\n\n"));
            blocked += 1;
        }
    }
    assert!(blocked > 100 && passed > 100, "{blocked} {passed}");
}

#[test]
fn stream_with_an_escaped_word_in_arguments_is_blocked() {
    for split in [1, 2, 3, 7, 50] {
        let arguments = r#"{"q": "x \u8fdd\u7981\u8bcd and more of it"}"#;
        let pieces: Vec<char> = arguments.chars().collect();
        let chunk = |text: &[char]| {
            let text: String = text.iter().collect();
            let call = json!([{ "index": 0, "function": { "arguments": text } }]);
            json!({ "choices": [{ "index": 0, "delta": { "tool_calls": call } }] }).to_string()
        };
        let mut events: Vec<String> = pieces.chunks(split).map(chunk).collect();
        events.push("[DONE]".to_owned());
        let script = Script {
            events: Some(events.into_iter().map(ScriptEvent::from).collect()),
            ..Script::default()
        };
        let (received, record) = send_request(&script, request("narrow", true, &json!("Hello?")));
        let body = String::from_utf8(received.body().to_vec()).expect("text");
        assert_eq!(record["outcome"], "blocked", "{split}: {body}");
        let shown = texts(data(&body)).remove("0 arguments").unwrap_or_default();
        assert!(!shown.contains("8bcd"), "{split}: {shown}");
    }
}

/// Whether no personal data are found in a text.
fn is_without_data(settings: &Pii, text: &str) -> bool {
    pii::detect(settings, text).is_some_and(|found| found.is_empty())
}

#[test]
fn streams_with_a_phone_number_are_masked_for_any_split() {
    let settings = Pii {
        detect: vec![PiiKind::Phone],
        custom: Vec::new(),
        action: PiiAction::Replace,
        restore: false,
    };
    let (mut masked, mut passed) = (0, 0);
    for seed in 1_000..1_300 {
        let mut rng = Rng(seed);
        let events = events(&mut rng, true);
        let sent = texts(events.iter().map(String::as_str));
        let is_clean = sent.values().all(|text| is_without_data(&settings, text));
        let script = script(&mut rng, events);
        let (plain, _) = send_request(&script, request("plain", true, &json!("Hello?")));
        let (received, record) = send_request(&script, request("private", true, &json!("Hello?")));
        let body = String::from_utf8(received.body().to_vec()).expect("text");
        assert_eq!(record["outcome"], "answered");
        if is_clean {
            assert_eq!(body.as_bytes(), &plain.body()[..], "{seed}");
            passed += 1;
            continue;
        }
        for (channel, text) in texts(data(&body)) {
            assert!(is_without_data(&settings, &text), "{seed} {channel}: {text:?}");
        }
        masked += 1;
    }
    assert!(masked > 50 && passed > 50, "{masked} {passed}");
}

#[test]
fn verdicts_of_a_stream_are_those_of_its_whole_text() {
    let word_list = WordList::new(WORDS);
    let settings = Pii {
        detect: vec![PiiKind::Phone],
        custom: Vec::new(),
        action: PiiAction::Replace,
        restore: false,
    };
    let (mut blocked, mut masked) = (0, 0);
    for seed in 2_000..2_200 {
        let mut rng = Rng(seed);
        let text: String = (0..1 + rng.below(12)).map(|_| rng.pick(&PIECES)).collect();
        let letters: Vec<char> = text.chars().collect();
        let (mut events, mut at) = (Vec::new(), 0);
        while at < letters.len() {
            let end = (at + 1 + rng.below(9) as usize).min(letters.len());
            let piece: String = letters[at..end].iter().collect();
            let index = rng.pick(&["0", "\"0\"", "0.0"]);
            let content = json!(piece);
            events.push(format!(
                r#"{{"choices":[{{"index":{index},"delta":{{"content":{content}}}}}]}}"#
            ));
            at = end;
        }
        events.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
        events.push("[DONE]".to_owned());
        let script = script(&mut rng, events);
        let is_listed = word_list.find(&text).is_some();
        // One guard fails open, the other one closed: neither has failed.
        for model in ["terms", "narrow"] {
            let (received, record) = send_request(&script, request(model, true, &json!("Hello?")));
            assert_eq!(record["outcome"] == "blocked", is_listed, "{seed} {model}: {text:?}");
            let shown = with_odd_indices(&received.text());
            assert!(is_listed || shown == text, "{seed} {model}: {shown:?}");
        }
        let (received, _) = send_request(&script, request("private", true, &json!("Hello?")));
        let expected = match Masks::default().mask(&settings, &text) {
            Verdict::Mask(edits, _) => edits.iter().rev().fold(text.clone(), |mut text, edit| {
                text.replace_range(edit.at.clone(), &edit.text);
                text
            }),
            verdict => {
                assert_eq!(verdict, Verdict::Pass);
                text.clone()
            }
        };
        assert_eq!(with_odd_indices(&received.text()), expected, "{seed}: {text:?}");
        blocked += u64::from(is_listed);
        masked += u64::from(expected != text);
    }
    assert!(blocked > 10 && masked > 10, "{blocked} {masked}");
}

/// Concatenates the content of all events, whatever the form of the index.
fn with_odd_indices(body: &str) -> String {
    let events = data(body).filter(|data| data.starts_with('{'));
    let content = events.map(|data| {
        let event: Value = serde_json::from_str(data).expect("JSON");
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    });
    content.collect()
}
