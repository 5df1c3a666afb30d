//! Members that official clients and checkers of the protocols need, also where they are null.
//!
//! Sources: the types of the packages `openai` and `anthropic`, and the schema of Open Responses
//! (`ResponseResource`), as the project's reference lists them.

use protocol::model::Protocol;
use protocol::{ResponseEcho, answer};
use serde_json::Value;

use crate::support::{PROTOCOLS, context, events, stream_bytes, translate};

const RESPONSE: &[&str] = &[
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
];

const MESSAGE: &[&str] = &[
    "id",
    "type",
    "role",
    "model",
    "content",
    "stop_reason",
    "stop_sequence",
    "stop_details",
    "container",
    "usage",
];

const MESSAGE_USAGE: &[&str] = &[
    "input_tokens",
    "output_tokens",
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "inference_geo",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
];

const COMPLETION: &[&str] = &["id", "object", "created", "model", "choices", "usage"];

#[track_caller]
fn assert_members(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value.get(name).is_some(), "{name} is missing in {value:#}");
    }
}

const ANSWER: &str = r#"{"id":"c","model":"m","created":1,"choices":[{"index":0,
    "finish_reason":"tool_calls","message":{"role":"assistant","content":"a",
    "reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function",
    "function":{"name":"f","arguments":"{}"}}]}}],
    "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

fn written(to: Protocol) -> Value {
    let read = answer::read(Protocol::Chat, ANSWER.as_bytes()).expect("an answer");
    let body = answer::write(to, &read, &context()).expect("it is written").body;
    serde_json::from_slice(&body).expect("JSON")
}

// Golden case 51.
#[test]
fn response_has_every_member() {
    let response = written(Protocol::Responses);
    assert_members(&response, RESPONSE);
    assert_members(&response["text"], &["format"]);
    assert_members(&response["usage"], &["input_tokens_details", "output_tokens_details"]);
    for item in response["output"].as_array().expect("a list") {
        assert_members(item, &["id", "type", "status"]);
    }
}

#[test]
fn message_has_every_member() {
    let message = written(Protocol::Messages);
    assert_members(&message, MESSAGE);
    assert_members(&message["usage"], MESSAGE_USAGE);
    assert_members(&message["content"][0], &["type", "thinking", "signature"]);
    assert_members(&message["content"][1], &["type", "text", "citations"]);
    assert_members(&message["content"][2], &["type", "id", "name", "input", "caller"]);
}

#[test]
fn completion_has_every_member() {
    let completion = written(Protocol::Chat);
    assert_members(&completion, COMPLETION);
    let choice = &completion["choices"][0];
    assert_members(choice, &["index", "message", "logprobs", "finish_reason"]);
    assert_members(&choice["message"], &["role", "content", "refusal", "annotations"]);
}

#[test]
fn ids_have_the_style_of_the_caller() {
    let seed = format!("{:032x}", 0x5eed);
    assert_eq!(written(Protocol::Chat)["id"], format!("chatcmpl-{seed}"));
    assert_eq!(written(Protocol::Messages)["id"], format!("msg_{seed}"));
    let response = written(Protocol::Responses);
    assert_eq!(response["id"], format!("resp_{seed}"));
    let ids: Vec<&str> = response["output"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    let expected = [format!("rs_{seed}0000"), format!("msg_{seed}0001"), format!("fc_{seed}0002")];
    assert_eq!(ids, expected);
}

// Golden case 56: sequence numbers, and items that are opened, filled, and closed in order.
#[test]
fn responses_stream_keeps_its_order() {
    let chunks = serde_json::json!([
        [null, {"model": "m", "choices": [{"delta": {"reasoning_content": "hm"}}]}],
        [null, {"choices": [{"delta": {"content": "a"}}]}],
        [null, {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}}]}],
        [null, {"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}]}}]}],
        [null, {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]}],
        [null, {"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}}]}],
        [null, {"choices": [{"delta": {"content": "b"}}]}],
        [null, {"choices": [{"delta": {}, "finish_reason": "stop"}]}],
        [null, "[DONE]"],
    ]);
    let bytes = stream_bytes(&chunks);
    let own = events(&translate(Protocol::Chat, Protocol::Responses, [bytes.as_slice()]));
    let (mut added, mut done) = (Vec::new(), Vec::new());
    for (number, (name, data)) in own.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
        match name.as_deref() {
            Some("response.output_item.added") => added.push(data["output_index"].clone()),
            Some("response.output_item.done") => done.push(data["item"].clone()),
            Some(name) if name.ends_with(".delta") || name.ends_with("part.added") => {
                assert_members(data, &["item_id", "output_index"]);
            }
            _ => {}
        }
    }
    assert_eq!(added, [0, 1, 2, 3, 4].map(Value::from));
    let last = &own.last().expect("events").1["response"];
    assert_members(last, RESPONSE);
    assert_eq!(last["output"], Value::from(done));
    assert_eq!(last["output"][3]["arguments"], "{}");
}

#[test]
fn echo_of_the_request_is_in_each_response_of_a_stream() {
    let mut context = context();
    context.echo = ResponseEcho::parse(r#"{"instructions":"be brief","metadata":{"a":"b"}}"#);
    let read = answer::read(Protocol::Chat, ANSWER.as_bytes()).expect("an answer");
    let mut writer = protocol::stream::StreamWriter::new(Protocol::Responses, context);
    let mut out = Vec::new();
    for event in protocol::stream::replay(read) {
        writer.write(&event, &mut out);
    }
    let with_response: Vec<Value> = events(&out)
        .into_iter()
        .filter_map(|(_, mut data)| data.get_mut("response").map(Value::take))
        .collect();
    assert_eq!(with_response.len(), 3);
    for response in with_response {
        assert_eq!(response["instructions"], "be brief");
        assert_eq!(response["metadata"]["a"], "b");
        assert_members(&response, RESPONSE);
    }
}

#[test]
fn raw_line_ends_do_not_break_events() {
    let body = "{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\n\"a\":\r\n1}}],\"stop_reason\":\"tool_use\"}";
    for to in PROTOCOLS {
        let read = answer::read(Protocol::Messages, body.as_bytes()).expect("an answer");
        let mut writer = protocol::stream::StreamWriter::new(to, context());
        let mut out = Vec::new();
        for event in protocol::stream::replay(read) {
            writer.write(&event, &mut out);
        }
        assert!(writer.has_ended());
        for (_, data) in events(&out) {
            assert!(data.is_object() || data == "[DONE]", "{data}");
        }
    }
}
