//! The response in place of content that a guard blocked.

use std::fmt;

use bytes::Bytes;
use config::{BlockFormat, Guard};
use http::{HeaderValue, StatusCode};
use openai::{Endpoint, ErrorBody, ErrorObject};
use serde_json::{Value, json};

use crate::error::BlockResponse;
use crate::host::Clock;
use crate::request::request_id;

use super::pipeline::GuardBlock;

/// Model name of such a response.
const BLOCK_MODEL_NAME: &str = "from-security-guard";

/// The response in the configured form. Embeddings have no message, so they get an error.
pub(crate) fn whole(
    clock: &impl Clock,
    guard: &Guard,
    block: &GuardBlock,
    endpoint: Endpoint,
    stream: bool,
) -> BlockResponse {
    let on_block = &guard.on_block;
    if on_block.format == BlockFormat::Error || endpoint == Endpoint::Embeddings {
        let is_error = on_block.status.is_client_error() || on_block.status.is_server_error();
        return BlockResponse {
            status: if is_error { on_block.status } else { StatusCode::BAD_REQUEST },
            content_type: HeaderValue::from_static("application/json"),
            body: error_body(guard, endpoint).to_json().into(),
            error: Some(BLOCK_ERROR_CODE),
        };
    }
    let (content_type, body) = if stream {
        ("text/event-stream", block_events(clock, guard, block, endpoint).concat().into())
    } else {
        let whole = block_completion(clock, guard, block, endpoint, false);
        ("application/json", whole.to_string().into())
    };
    let content_type = HeaderValue::from_static(content_type);
    BlockResponse { status: on_block.status, content_type, body, error: None }
}

const BLOCK_ERROR_CODE: &str = "content_filter";

fn error_body(guard: &Guard, endpoint: Endpoint) -> ErrorBody<'_> {
    ErrorBody {
        error: ErrorObject {
            message: &guard.on_block.message,
            kind: "invalid_request_error",
            param: Some(endpoint.content_field()),
            code: Some(BLOCK_ERROR_CODE),
        },
    }
}

/// The end of a stream that a guard blocks, or a whole stream. After an error there is no `[DONE]`:
/// the answer is not complete.
pub(crate) fn block_events(
    clock: &impl Clock,
    guard: &Guard,
    block: &GuardBlock,
    endpoint: Endpoint,
) -> Vec<Bytes> {
    if guard.on_block.format == BlockFormat::Error {
        return vec![error_body(guard, endpoint).to_event().into()];
    }
    let first = block_completion(clock, guard, block, endpoint, true);
    let mut last = first.clone();
    let mut content_chunk = first;
    {
        let choice = &mut content_chunk["choices"][0];
        choice["finish_reason"] = Value::Null;
        choice.as_object_mut().map(|choice| choice.remove(DETAILS_MEMBER));
        content_chunk.as_object_mut().map(|chunk| chunk.remove("usage"));
        let choice = &mut last["choices"][0];
        match endpoint {
            Endpoint::Completions => choice["text"] = json!(""),
            Endpoint::ChatCompletions | Endpoint::Embeddings => choice["delta"] = json!({}),
        }
    }
    let event = |data: &dyn fmt::Display| Bytes::from(format!("data: {data}\n\n"));
    vec![event(&content_chunk), event(&last), event(&"[DONE]")]
}

const DETAILS_MEMBER: &str = "x_serin_guard";

fn block_completion(
    clock: &impl Clock,
    guard: &Guard,
    block: &GuardBlock,
    endpoint: Endpoint,
    stream: bool,
) -> Value {
    let message = guard.on_block.message.as_str();
    let assistant_message = json!({ "role": "assistant", "content": message });
    let mut choice = json!({ "index": 0, "finish_reason": "stop", "logprobs": null });
    let (prefix, object) = match endpoint {
        Endpoint::Completions => {
            choice["text"] = json!(message);
            ("cmpl", "text_completion")
        }
        Endpoint::ChatCompletions | Endpoint::Embeddings if stream => {
            choice["delta"] = assistant_message;
            ("chatcmpl", "chat.completion.chunk")
        }
        Endpoint::ChatCompletions | Endpoint::Embeddings => {
            choice["message"] = assistant_message;
            choice["message"]["refusal"] = Value::Null;
            ("chatcmpl", "chat.completion")
        }
    };
    match guard.on_block.format {
        BlockFormat::Structured => {
            let details: Vec<Value> = block
                .findings
                .iter()
                .map(|found| {
                    let (dimension, level) = (found.dimension.name(), found.level.name());
                    json!({ "type": dimension, "level": level, "label": found.label })
                })
                .collect();
            let phase = block.phase.name();
            choice[DETAILS_MEMBER] =
                json!({ "guard": guard.id, "phase": phase, "details": details });
        }
        BlockFormat::Message | BlockFormat::Error => {}
    }
    json!({
        "id": format!("{prefix}-{}", request_id::random_hex(clock, 32)),
        "object": object,
        "created": clock.now().as_millis() / 1_000,
        "model": BLOCK_MODEL_NAME,
        "choices": [choice],
        "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
    })
}
