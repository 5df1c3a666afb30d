//! Large answers: the steps grow with the body. A quadratic step would take minutes here.

use protocol::answer;
use protocol::model::Protocol;
use serde_json::{Value, json};

use crate::support::{PROTOCOLS, context, events, stream_bytes, translate};

const BLOCKS: usize = 20_000;

fn message(block: &Value) -> String {
    json!({"content": vec![block; BLOCKS], "stop_reason": "end_turn"}).to_string()
}

#[test]
fn answers_of_many_blocks_are_translated() {
    let citation = json!({"type": "web_search_result_location", "url": "https://a", "title": "A"});
    let blocks = [
        json!({"type": "text", "text": "é", "citations": [citation, citation]}),
        json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        json!({"type": "thinking", "thinking": "hm", "signature": "s"}),
        json!({"type": "web_search_tool_result", "content": []}),
    ];
    for block in &blocks {
        let body = message(block);
        for to in PROTOCOLS {
            let read = answer::read(Protocol::Messages, body.as_bytes()).expect("an answer");
            assert_eq!(read.choices[0].parts.len(), BLOCKS);
            let written = answer::write(to, &read, &context()).expect("it is written");
            // The text of an item is at most its fixed members longer.
            assert!(written.body.len() < 400 * BLOCKS, "{to:?} {}", written.body.len());
        }
    }
}

#[test]
fn streams_of_many_blocks_are_translated() {
    let mut list = vec![json!(["message_start", {"type": "message_start", "message": {}}])];
    for index in 0..BLOCKS {
        let (kind, delta) = match index % 3 {
            0 => ("text", json!({"type": "text_delta", "text": "a"})),
            1 => ("thinking", json!({"type": "thinking_delta", "thinking": "a"})),
            _ => ("server_tool_use", json!({"type": "input_json_delta", "partial_json": "{}"})),
        };
        let block = json!({"type": kind});
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        list.push(json!([null, start]));
        let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
        list.push(json!([null, delta]));
        list.push(json!([null, {"type": "content_block_stop", "index": index}]));
    }
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}});
    list.push(json!([null, end]));
    let bytes = stream_bytes(&json!(list));
    for to in PROTOCOLS {
        let own = events(&translate(Protocol::Messages, to, [bytes.as_slice()]));
        let last = own.last().expect("events");
        let is_whole = match to {
            Protocol::Chat => last.1 == "[DONE]",
            Protocol::Responses => last.0.as_deref() == Some("response.completed"),
            Protocol::Messages => last.0.as_deref() == Some("message_stop"),
        };
        assert!(is_whole, "{to:?}: {:?}", last.0);
    }
}

#[test]
fn stream_of_too_many_open_calls_fails() {
    let call = |index: usize| json!({"index": index, "id": format!("c{index}"), "function": {"name": "f", "arguments": "{"}});
    let list: Vec<Value> = (0..2_000)
        .map(|index| json!([null, {"choices": [{"delta": {"tool_calls": [call(index)]}}]}]))
        .collect();
    let bytes = stream_bytes(&json!(list));
    for to in PROTOCOLS {
        let own = events(&translate(Protocol::Chat, to, [bytes.as_slice()]));
        let has_error = own.iter().any(|(_, data)| data.get("error").is_some());
        assert!(has_error, "{to:?}");
    }
}
