//! Input of strangers: nothing panics, and every output is well formed.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, proptest};
use proptest::prop_oneof;
use protocol::stream::{Collector, StreamReader, StreamWriter};
use protocol::{ResponseEcho, answer, failure};
use serde_json::Value;

use crate::support::{PROTOCOLS, context, events};

/// Names and words that the readers look for.
const WORDS: [&str; 66] = [
    "id",
    "model",
    "choices",
    "index",
    "delta",
    "message",
    "content",
    "text",
    "type",
    "usage",
    "finish_reason",
    "tool_calls",
    "function",
    "custom",
    "name",
    "arguments",
    "input",
    "refusal",
    "reasoning_content",
    "reasoning_details",
    "error",
    "code",
    "logprobs",
    "annotations",
    "output",
    "output_index",
    "item",
    "item_id",
    "content_index",
    "summary_index",
    "response",
    "status",
    "stop_reason",
    "content_block",
    "partial_json",
    "thinking",
    "signature",
    "citation",
    "input_tokens",
    "output_tokens",
    "prompt_tokens",
    "stop",
    "length",
    "tool_use",
    "end_turn",
    "function_call",
    "call_id",
    "summary",
    "completed",
    "incomplete",
    "part",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "thinking_delta",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_text.delta",
    "response.completed",
];

fn word() -> impl Strategy<Value = String> {
    (0..WORDS.len()).prop_map(|at| WORDS[at].to_owned())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => (0..4_u64).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::from("{\"a\":1}")),
    ];
    leaf.prop_recursive(6, 48, 8, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => proptest::collection::btree_map(word(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An event whose members are likely to be read.
fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..64),
        4 => json().prop_map(|value| value.to_string().into_bytes()),
        4 => (json(), word(), 0..3_u64).prop_map(|(value, kind, index)| {
            serde_json::json!({
                "type": kind, "index": index, "output_index": index, "delta": value,
                "content_block": value, "item": value, "part": value, "message": value,
                "choices": [{"index": index, "delta": value, "message": value}],
            })
            .to_string()
            .into_bytes()
        }),
        1 => Just(b"[DONE]".to_vec()),
    ]
}

/// Whether the last event of a stream is an end or an error, and no end follows an error.
fn assert_well_formed(bytes: &[u8]) {
    let events = events(bytes);
    let is_error = |value: &Value| value.get("error").is_some_and(|error| !error.is_null());
    let first_error = events.iter().position(|(_, data)| is_error(data));
    if let Some(at) = first_error {
        let rest = events.len() - at;
        let is_failed = events[events.len() - 1].0.as_deref() == Some("response.failed");
        assert!(rest == 1 || (rest == 2 && is_failed), "{events:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn readers_of_answers_accept_any_bytes(body in data(), at in 0..3_usize) {
        for from in PROTOCOLS {
            if let Ok(read) = answer::read(from, &body)
                && let Ok(written) = answer::write(PROTOCOLS[at], &read, &context())
            {
                let value = serde_json::from_slice::<Value>(&written.body);
                assert!(value.is_ok(), "{}", String::from_utf8_lossy(&written.body));
            }
        }
        let _ = failure::from_body(400, &body);
        let _ = failure::from_event(&body);
        let _ = ResponseEcho::parse(&String::from_utf8_lossy(&body));
    }

    #[test]
    fn readers_of_streams_accept_any_events(
        list in proptest::collection::vec((proptest::option::of(word()), data()), 0..12),
        at in 0..3_usize,
    ) {
        for from in PROTOCOLS {
            let mut reader = StreamReader::new(from);
            let mut writer = StreamWriter::new(PROTOCOLS[at], context());
            let mut collector = Collector::default();
            let mut out = Vec::new();
            for (name, data) in &list {
                let mut events = Vec::new();
                reader.read(name.as_deref().map(str::as_bytes), data, &mut events);
                for event in &events {
                    writer.write(event, &mut out);
                    collector.add(event);
                }
            }
            let mut events = Vec::new();
            reader.finish(&mut events);
            events.iter().for_each(|event| writer.write(event, &mut out));
            assert!(writer.has_ended());
            assert_well_formed(&out);
            let _ = collector.into_answer();
        }
    }
}
