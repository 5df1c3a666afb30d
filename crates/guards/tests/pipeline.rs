//! Guards over requests from end to end: a body, its texts, their edits, and the body that results.

use guards::settings::{Pii, PiiAction, PiiKind};
use guards::{GuardInput, Masks, TextFields, Verdict, pii};
use openai::{Endpoint, Prompt, Request, TextField};
use proptest::prelude::*;
use serde_json::{Value, json};

fn settings(action: PiiAction) -> Pii {
    let detect =
        vec![PiiKind::Email, PiiKind::Phone, PiiKind::Card, PiiKind::Address, PiiKind::ApiKey];
    Pii { detect, custom: Vec::new(), action, restore: true }
}

/// Text with data, parts of data, characters that JSON escapes, and placeholders.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("ann@example.com"),
        Just("13800138000"),
        Just("4111 1111 1111 1111"),
        Just("127.0.0.1"),
        Just("sk-proj-abcdefghij1234567890"),
        Just("[EMAIL_1]"),
        Just("\"\\\n\u{1}é😀"),
        Just(" "),
        Just("word"),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// Message with its text in one of the places where text may be.
fn message() -> impl Strategy<Value = Value> {
    (0..7, text()).prop_map(|(place, text)| match place {
        0 => json!({ "role": "user", "content": text }),
        1 => json!({ "role": "system", "content": [{ "type": "text", "text": text }, { "type": "text", "text": "b" }] }),
        2 => json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "call_1", "function": { "name": "f", "arguments": text } }] }),
        3 => json!({ "role": "tool", "tool_call_id": "call_1", "content": text }),
        4 => json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": text } }] }),
        5 => json!({ "role": "user", "name": "ann", "content": { "new": [[text]] } }),
        _ => json!({ "role": "user", "content": [text, 7, null, ""] }),
    })
}

/// Reads the texts that a masking guard sees.
fn read(body: &str) -> Vec<TextField<'_>> {
    let request = Request::parse(Endpoint::ChatCompletions, body.as_bytes()).expect("a request");
    let mut prompt =
        Prompt::parse(Endpoint::ChatCompletions, body, request.content).expect("messages");
    prompt.read_other_members(body, &request.extra_prompt).expect("readable");
    prompt.texts.into_iter().map(|(_, field)| field).collect()
}

/// Returns the bytes outside of the texts.
fn frame(body: &str) -> String {
    let (mut frame, mut end) = (String::new(), 0);
    for field in read(body) {
        frame.push_str(&body[end..field.at.start]);
        frame.push('"');
        end = field.at.end;
    }
    frame + &body[end..]
}

proptest! {
    #[test]
    fn masked_request_has_no_data_and_is_otherwise_unchanged(
        messages in prop::collection::vec(message(), 0..5),
        other in text(),
        is_spaced in any::<bool>(),
        hash in any::<bool>(),
    ) {
        let value = json!({ "model": "m", "messages": messages, "documents": [{ "text": other }], "temperature": 1.5 });
        let body = if is_spaced { format!("{value:#}") } else { value.to_string() };
        let pii = settings(if hash { PiiAction::Hash } else { PiiAction::Replace });
        let (mut masks, mut fields) = (Masks::default(), TextFields::new(read(&body)));
        masks.reserve_placeholders(&body);
        let verdict = masks.mask(&pii, &fields.text());
        let Verdict::Mask(edits, _) = &verdict else {
            prop_assert_eq!(verdict, Verdict::Pass);
            prop_assert_eq!(fields.write_body(body.as_bytes()), None);
            return Ok(());
        };
        fields.apply_edits(0, edits);
        let written = fields.write_body(body.as_bytes()).expect("it has changed");
        let written = str::from_utf8(&written).expect("text");
        prop_assert!(serde_json::from_str::<Value>(written).is_ok(), "{}", written);
        prop_assert_eq!(frame(written), frame(&body));
        // A digest may make another datum of the text after it, which is no one's.
        for field in read(written).into_iter().filter(|_| !hash) {
            prop_assert_eq!(pii::detect(&pii, &field.text), Some(Vec::new()), "in {:?}", field.text);
        }
        // The answer that repeats the question shows its data again.
        let again = TextFields::new(read(written));
        let mut restored = TextFields::new(read(written));
        restored.apply_edits(0, &masks.restore(&again.text(), pii::MAX_RESTORED_BYTES));
        let restored = restored.write_body(written.as_bytes()).expect("it has changed");
        let restored: Value = serde_json::from_slice(&restored).expect("JSON");
        prop_assert_eq!(restored, value);
    }
}
