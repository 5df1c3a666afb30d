//! Converts the chunks of a stream to a completion. Unknown members are kept.

use bytes::Bytes;
use openai::{Endpoint, Event, Framer};
use serde_json::{Map, Value, json};

/// Members of a message that are sent whole, once or repeatedly; all other texts are sent in parts.
const WHOLE_MEMBERS: [&str; 4] = ["role", "id", "type", "name"];

/// The data of every event of a stream up to `[DONE]`.
pub(crate) fn event_data(stream: &Bytes) -> Vec<Bytes> {
    let mut framer = Framer::new(usize::MAX);
    // Some servers omit the blank line after their last event.
    let whole: Bytes = [stream, b"\n\n".as_slice()].concat().into();
    let mut all = Vec::new();
    if framer.push(whole).is_err() {
        return all;
    }
    while let Some(event) = framer.next_event() {
        let Some(data) = Event::parse(framer.bytes(event)).data else { continue };
        match data.trim_ascii() {
            b"[DONE]" => break,
            b"" => {}
            data => all.push(Bytes::copy_from_slice(data)),
        }
    }
    all
}

/// The completion for a caller who did not request a stream. `None` if a chunk cannot be read.
pub(crate) fn chunks_to_completion(
    endpoint: Endpoint,
    stream: &Bytes,
) -> Option<Map<String, Value>> {
    let mut answer = Map::new();
    let mut choices: Vec<Map<String, Value>> = Vec::new();
    for data in event_data(stream) {
        let Value::Object(chunk) = serde_json::from_slice(&data).ok()? else { return None };
        for (name, value) in chunk {
            match (name.as_str(), value) {
                ("choices", Value::Array(list)) => {
                    list.into_iter().try_for_each(|choice| merge_chunk(choice, &mut choices))?;
                }
                // Some providers repeatedly report running totals.
                ("usage", value @ Value::Object(_)) => {
                    answer.insert(name, value);
                }
                (_, value) => {
                    let known = answer.entry(name).or_insert(Value::Null);
                    if known.is_null() {
                        *known = value;
                    }
                }
            }
        }
    }
    if choices.is_empty() {
        return None;
    }
    if endpoint == Endpoint::ChatCompletions {
        choices.iter_mut().for_each(finish_choice);
        answer.insert("object".to_owned(), json!("chat.completion"));
    }
    choices.sort_by_key(choice_index);
    answer.insert("choices".to_owned(), choices.into_iter().map(Value::Object).collect());
    Some(answer)
}

/// The text of a chat's first choice; `None` if it has none, or calls a tool.
pub(crate) fn first_choice_text(stream: bool, body: &Bytes) -> Option<String> {
    let answer = if stream {
        Value::Object(chunks_to_completion(Endpoint::ChatCompletions, body)?)
    } else {
        serde_json::from_slice(body).ok()?
    };
    let message = &answer["choices"][0]["message"];
    let text = message["content"].as_str().filter(|text| !text.is_empty())?;
    let calls = message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
    (!calls).then(|| text.to_owned())
}

fn choice_index(choice: &Map<String, Value>) -> u64 {
    choice.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// Merges one chunk of a choice.
fn merge_chunk(chunk: Value, choices: &mut Vec<Map<String, Value>>) -> Option<()> {
    let Value::Object(chunk) = chunk else { return None };
    let at = choices.iter().position(|known| choice_index(known) == choice_index(&chunk));
    let choice = match at {
        Some(at) => &mut choices[at],
        None => {
            choices.push(Map::from_iter([("index".to_owned(), json!(choice_index(&chunk)))]));
            choices.last_mut()?
        }
    };
    for (name, value) in chunk {
        match name.as_str() {
            "index" => {}
            "delta" => {
                merge_value(choice.entry("message").or_insert(Value::Null), value, "message");
            }
            "text" | "logprobs" => {
                let known = choice.entry(name.as_str()).or_insert(Value::Null);
                merge_value(known, value, &name);
            }
            _ => {
                let known = choice.entry(name).or_insert(Value::Null);
                if !value.is_null() {
                    *known = value;
                }
            }
        }
    }
    Some(())
}

/// Merges a value: texts and lists grow, elements of lists are matched by their `index`.
fn merge_value(known: &mut Value, more: Value, name: &str) {
    match (known, more) {
        (_, Value::Null) => {}
        (Value::String(known), Value::String(more)) => {
            if !WHOLE_MEMBERS.contains(&name) {
                known.push_str(&more);
            } else if known.is_empty() {
                *known = more;
            }
        }
        (Value::Object(known), Value::Object(more)) => {
            for (name, more) in more {
                let known = known.entry(name.as_str()).or_insert(Value::Null);
                merge_value(known, more, &name);
            }
        }
        (Value::Array(known), Value::Array(more)) => {
            for more in more {
                let place = more.get("index").filter(|index| index.is_u64());
                let met = place.and_then(|place| {
                    known.iter().position(|known| known.get("index") == Some(place))
                });
                match met {
                    Some(at) => merge_value(&mut known[at], more, name),
                    None => known.push(more),
                }
            }
        }
        (known @ Value::Null, more @ Value::Array(_)) => {
            *known = Value::Array(Vec::new());
            merge_value(known, more, name);
        }
        (known, more) => *known = more,
    }
}

/// Turns the merged deltas of a choice into its message.
fn finish_choice(choice: &mut Map<String, Value>) {
    let message = choice.entry("message").or_insert(Value::Null);
    if !message.is_object() {
        *message = json!({});
    }
    let Value::Object(message) = message else { return };
    message.entry("role").or_insert(json!("assistant"));
    message.entry("content").or_insert(Value::Null);
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            call.remove("index");
        }
    }
}
