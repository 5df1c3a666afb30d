//! Converts a completion to the chunks of a stream. Unknown members are kept.

use openai::Endpoint;
use serde_json::{Map, Value, json};

/// Length of a piece if a text is split, in bytes, up to the end of its word.
const TEXT_PIECE_BYTES: usize = 16;

/// Members that come first, regardless of their order in the answer.
const LEADING_MEMBERS: [&str; 3] = ["reasoning_content", "reasoning", "content"];

/// Returns the chunks without the one that holds the usage. `None` if the answer cannot be a
/// stream.
pub(crate) fn completion_to_chunks(
    endpoint: Endpoint,
    answer: &Map<String, Value>,
    piecewise: bool,
) -> Option<Vec<Value>> {
    let mut frame = answer.clone();
    frame.remove("usage");
    let Some(Value::Array(choices)) = frame.remove("choices") else { return None };
    if endpoint == Endpoint::ChatCompletions {
        frame.insert("object".to_owned(), json!("chat.completion.chunk"));
    }
    let mut chunks = Vec::new();
    for (position, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else { return None };
        let index = choice.get("index").cloned().unwrap_or(json!(position));
        let mut emit = |name: &str, value: Value| {
            let part = json!({ "index": index, name: value, "finish_reason": null });
            chunks.push(new_chunk(&frame, part));
        };
        let last = match endpoint {
            Endpoint::ChatCompletions => {
                let Some(Value::Object(message)) = choice.remove("message") else { return None };
                emit_message(message, piecewise, |delta| emit("delta", delta));
                ("delta", json!({}))
            }
            Endpoint::Completions => {
                let Some(Value::String(text)) = choice.remove("text") else { return None };
                split_text(&text, piecewise).for_each(|piece| emit("text", json!(piece)));
                ("text", json!(""))
            }
            Endpoint::Embeddings => return None,
        };
        choice.insert("index".to_owned(), index.clone());
        choice.insert(last.0.to_owned(), last.1);
        chunks.push(new_chunk(&frame, Value::Object(choice)));
    }
    Some(chunks)
}

fn new_chunk(frame: &Map<String, Value>, choice: Value) -> Value {
    let mut chunk = frame.clone();
    chunk.insert("choices".to_owned(), json!([choice]));
    Value::Object(chunk)
}

/// Emits a message: the role, reasoning and content, then the rest.
fn emit_message(mut message: Map<String, Value>, piecewise: bool, mut emit: impl FnMut(Value)) {
    let role = message.remove("role").unwrap_or(json!("assistant"));
    // As OpenAI does, missing content is null.
    let content = match message.get("content") {
        Some(Value::String(_)) => json!(""),
        Some(_) | None => Value::Null,
    };
    emit(json!({ "role": role, "content": content }));
    for name in LEADING_MEMBERS {
        match message.remove(name) {
            Some(Value::String(text)) => {
                split_text(&text, piecewise).for_each(|piece| emit(json!({ name: piece })));
            }
            None | Some(Value::Null) => {}
            Some(other) => emit(json!({ name: other })),
        }
    }
    for (name, value) in message {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("tool_calls", Value::Array(calls)) => {
                for (index, mut call) in calls.into_iter().enumerate() {
                    if let Value::Object(call) = &mut call {
                        call.insert("index".to_owned(), json!(index));
                    }
                    emit(json!({ "tool_calls": [call] }));
                }
            }
            (_, value) => emit(json!({ name: value })),
        }
    }
}

/// The whole text, or pieces that end with a word.
fn split_text(text: &str, piecewise: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let far = if piecewise { rest.ceil_char_boundary(TEXT_PIECE_BYTES) } else { rest.len() };
        let end = rest[far..].find(' ').map_or(rest.len(), |space| far + space);
        // A script without spaces has no end of a word to wait for.
        let end = if end > far + TEXT_PIECE_BYTES { far } else { end };
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::split_text;

    #[test]
    fn split_text_joins_to_the_text() {
        for text in [
            "",
            "a",
            "The quick brown fox jumps over the lazy dog",
            &"你好".repeat(40),
            &"a".repeat(99),
        ] {
            for piecewise in [true, false] {
                let all: Vec<&str> = split_text(text, piecewise).collect();
                assert_eq!(all.concat(), text);
                assert_eq!(all.len() > 1, piecewise && text.len() > 16, "{all:?}");
            }
        }
    }
}
