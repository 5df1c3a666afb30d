//! What a caller gets in place of what a guard did not let pass.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use openai::{Endpoint, ErrorBody, ErrorObject};
use serde_json::{Value, json};

use crate::config::{BlockFormat, Guard};
use crate::error::Blocked;
use crate::ids;
use crate::platform::Clock;

use super::inspect::Block;

/// The model that says so.
const MODEL: &str = "from-security-guard";

/// The reply in the shape that the guard asks for. Embeddings have no message to say it in.
pub(super) fn whole(
    clock: &impl Clock,
    guard: &Guard,
    block: &Block,
    endpoint: Endpoint,
    stream: bool,
) -> Blocked {
    let on_block = &guard.on_block;
    if on_block.format == BlockFormat::Error || endpoint == Endpoint::Embeddings {
        let is_error = on_block.status.is_client_error() || on_block.status.is_server_error();
        return Blocked {
            status: if is_error { on_block.status } else { StatusCode::BAD_REQUEST },
            content_type: HeaderValue::from_static("application/json"),
            body: error(guard, endpoint).to_json().into(),
            error: Some(CODE),
        };
    }
    let (content_type, body) = if stream {
        ("text/event-stream", events(clock, guard, block, endpoint))
    } else {
        let whole = answer(clock, guard, block, endpoint, false);
        ("application/json", whole.to_string().into())
    };
    let content_type = HeaderValue::from_static(content_type);
    Blocked { status: on_block.status, content_type, body, error: None }
}

const CODE: &str = "content_filter";

fn error(guard: &Guard, endpoint: Endpoint) -> ErrorBody<'_> {
    ErrorBody {
        error: ErrorObject {
            message: &guard.on_block.message,
            kind: "invalid_request_error",
            param: Some(endpoint.content_field()),
            code: Some(CODE),
        },
    }
}

/// The end of a stream that a guard has stopped, or all of one. As an error it has no `[DONE]`: the
/// answer is not whole.
pub fn events(clock: &impl Clock, guard: &Guard, block: &Block, endpoint: Endpoint) -> Bytes {
    if guard.on_block.format == BlockFormat::Error {
        return error(guard, endpoint).to_event().into();
    }
    let first = answer(clock, guard, block, endpoint, true);
    let mut last = first.clone();
    let mut said = first;
    {
        let choice = &mut said["choices"][0];
        choice["finish_reason"] = Value::Null;
        choice.as_object_mut().map(|choice| choice.remove(DETAILS));
        said.as_object_mut().map(|said| said.remove("usage"));
        let choice = &mut last["choices"][0];
        match endpoint {
            Endpoint::Completions => choice["text"] = json!(""),
            Endpoint::ChatCompletions | Endpoint::Embeddings => choice["delta"] = json!({}),
        }
    }
    format!("data: {said}\n\ndata: {last}\n\ndata: [DONE]\n\n").into()
}

const DETAILS: &str = "x_serin_guard";

fn answer(
    clock: &impl Clock,
    guard: &Guard,
    block: &Block,
    endpoint: Endpoint,
    stream: bool,
) -> Value {
    let message = guard.on_block.message.as_str();
    let said = json!({ "role": "assistant", "content": message });
    let mut choice = json!({ "index": 0, "finish_reason": "stop", "logprobs": null });
    let (prefix, object) = match endpoint {
        Endpoint::Completions => {
            choice["text"] = json!(message);
            ("cmpl", "text_completion")
        }
        Endpoint::ChatCompletions | Endpoint::Embeddings if stream => {
            choice["delta"] = said;
            ("chatcmpl", "chat.completion.chunk")
        }
        Endpoint::ChatCompletions | Endpoint::Embeddings => {
            choice["message"] = said;
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
            choice[DETAILS] = json!({ "guard": guard.id, "phase": phase, "details": details });
        }
        BlockFormat::Message | BlockFormat::Error => {}
    }
    json!({
        "id": format!("{prefix}-{}", ids::hexadecimal(clock, 32)),
        "object": object,
        "created": clock.now().as_millis() / 1_000,
        "model": MODEL,
        "choices": [choice],
        "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
    })
}
