//! Answers in the wire formats of Anthropic's Messages and OpenAI's Responses, with all members that their
//! clients require.
//!
//! Written by hand and not through the crate `protocol`: the simulator must not share a bug with the code
//! under test.

use serde_json::{Value, json};

use super::answer::{EventData, ProviderAnswer, split_words};

const MESSAGE_ID: &str = "msg_01StandIn000000000000001";
const RESPONSE_ID: &str = "resp_standin0000000000000000000000001";
const THOUGHT_SIGNATURE: &str = "EqQBStandInSignature==";

/// Names an event after the type in its data.
fn event(data: &Value, first_content: bool) -> EventData {
    let name = data["type"].as_str().unwrap_or_default().to_owned();
    EventData { name: Some(name), data: data.to_string(), first_content }
}

impl ProviderAnswer {
    fn messages_usage(&self) -> Value {
        let usage = self.usage.unwrap_or_default();
        json!({
            "input_tokens": usage.prompt.saturating_sub(usage.cached),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": usage.completion,
            "service_tier": "standard",
        })
    }

    fn stop_reason(&self) -> &'static str {
        if self.call.is_some() { "tool_use" } else { "end_turn" }
    }

    /// Content blocks of Messages: thinking, text, and the call of a tool.
    fn messages_content(&self) -> Vec<Value> {
        let thinking = self.reasoning.as_ref().map(|reasoning| {
            json!({ "type": "thinking", "thinking": reasoning, "signature": THOUGHT_SIGNATURE })
        });
        let text = (!self.text.is_empty()).then(|| json!({ "type": "text", "text": self.text }));
        let call = self.call.as_ref().map(|call| {
            json!({ "type": "tool_use", "id": "toolu_01StandIn", "name": call.name, "input": call.arguments })
        });
        [thinking, text, call].into_iter().flatten().collect()
    }

    fn message(&self, content: Value, stop_reason: Value, usage: Value) -> Value {
        json!({
            "id": MESSAGE_ID, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        })
    }

    /// Formats the answer as one document of Messages.
    pub(super) fn whole_message(&self) -> String {
        let content = Value::from(self.messages_content());
        self.message(content, self.stop_reason().into(), self.messages_usage()).to_string()
    }

    /// Formats the answer as events of Messages.
    pub(super) fn message_stream(&self, finish: bool, done: bool) -> Vec<EventData> {
        let mut usage = self.messages_usage();
        let output = std::mem::replace(&mut usage["output_tokens"], 1.into());
        let start = self.message(json!([]), Value::Null, usage);
        let mut events = vec![event(&json!({ "type": "message_start", "message": start }), false)];
        let mut is_first = true;
        for (index, block) in self.messages_content().into_iter().enumerate() {
            let (empty, deltas) = message_block(&block);
            events.push(event(
                &json!({ "type": "content_block_start", "index": index, "content_block": empty }),
                false,
            ));
            if index == 0 {
                events.push(event(&json!({ "type": "ping" }), false));
            }
            for delta in deltas {
                let delta =
                    json!({ "type": "content_block_delta", "index": index, "delta": delta });
                events.push(event(&delta, std::mem::take(&mut is_first)));
            }
            events.push(event(&json!({ "type": "content_block_stop", "index": index }), false));
        }
        if finish {
            let delta = json!({ "stop_reason": self.stop_reason(), "stop_sequence": null });
            let usage = json!({ "output_tokens": output });
            let delta = json!({ "type": "message_delta", "delta": delta, "usage": usage });
            events.push(event(&delta, false));
        }
        if done {
            events.push(event(&json!({ "type": "message_stop" }), false));
        }
        events
    }

    /// Output items of Responses: reasoning, a message, and the call of a function.
    fn output_items(&self) -> Vec<Value> {
        let reasoning = self.reasoning.as_ref().map(|reasoning| {
            json!({
                "id": "rs_standin", "type": "reasoning", "encrypted_content": "gAAAAAStandIn",
                "summary": [{ "type": "summary_text", "text": reasoning }],
            })
        });
        let message = (!self.text.is_empty()).then(|| {
            let part = json!({ "type": "output_text", "text": self.text, "annotations": [], "logprobs": [] });
            json!({
                "id": "msg_standin", "type": "message", "status": "completed", "role": "assistant",
                "content": [part],
            })
        });
        let call = self.call.as_ref().map(|call| {
            json!({
                "id": "fc_standin", "type": "function_call", "status": "completed", "call_id": "call_standin",
                "name": call.name, "arguments": call.arguments.to_string(),
            })
        });
        [reasoning, message, call].into_iter().flatten().collect()
    }

    fn response(&self, status: &str, output: Value, usage: Value) -> Value {
        json!({
            "id": RESPONSE_ID, "object": "response", "created_at": 1_760_000_000, "status": status,
            "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
            "metadata": {}, "model": self.model, "output": output, "parallel_tool_calls": true,
            "previous_response_id": null, "reasoning": { "effort": null, "summary": null }, "store": true,
            "temperature": 1.0, "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [],
            "top_p": 1.0, "truncation": "disabled", "usage": usage,
        })
    }

    fn responses_usage(&self) -> Value {
        self.usage.map_or(Value::Null, |usage| {
            json!({
                "input_tokens": usage.prompt, "input_tokens_details": { "cached_tokens": usage.cached },
                "output_tokens": usage.completion,
                "output_tokens_details": { "reasoning_tokens": usage.reasoning },
                "total_tokens": usage.prompt + usage.completion,
            })
        })
    }

    /// Formats the answer as one document of Responses.
    pub(super) fn whole_response(&self) -> String {
        self.response("completed", self.output_items().into(), self.responses_usage()).to_string()
    }

    /// Formats the answer as events of Responses.
    pub(super) fn response_stream(&self, finish: bool) -> Vec<EventData> {
        let mut events = Vec::new();
        let mut is_first = true;
        let mut add = |mut data: Value| {
            let is_delta = data["type"].as_str().is_some_and(|name| name.ends_with(".delta"));
            data["sequence_number"] = events.len().into();
            events.push(event(&data, is_delta && std::mem::take(&mut is_first)));
        };
        for name in ["response.created", "response.in_progress"] {
            let response = self.response("in_progress", json!([]), Value::Null);
            add(json!({ "type": name, "response": response }));
        }
        for (index, item) in self.output_items().into_iter().enumerate() {
            response_item(index, &item, &mut add);
        }
        if finish {
            let response =
                self.response("completed", self.output_items().into(), self.responses_usage());
            add(json!({ "type": "response.completed", "response": response }));
        }
        events
    }
}

/// Returns the empty form of a block, and the deltas that fill it.
fn message_block(block: &Value) -> (Value, Vec<Value>) {
    let mut empty = block.clone();
    let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("thinking") => {
            empty["thinking"] = "".into();
            empty["signature"] = "".into();
            let words = text("thinking");
            let words = split_words(&words).into_iter();
            let mut deltas: Vec<Value> =
                words.map(|word| json!({ "type": "thinking_delta", "thinking": word })).collect();
            deltas.push(json!({ "type": "signature_delta", "signature": text("signature") }));
            (empty, deltas)
        }
        Some("tool_use") => {
            empty["input"] = json!({});
            let arguments = block["input"].to_string();
            let middle = arguments.floor_char_boundary(arguments.len() / 2);
            let deltas = ["", &arguments[..middle], &arguments[middle..]]
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }));
            (empty, deltas.to_vec())
        }
        _ => {
            empty["text"] = "".into();
            let words = text("text");
            let words = split_words(&words).into_iter();
            (empty, words.map(|word| json!({ "type": "text_delta", "text": word })).collect())
        }
    }
}

/// Adds the events of one output item.
fn response_item(index: usize, item: &Value, add: &mut impl FnMut(Value)) {
    let id = &item["id"];
    let about = |name: &str, more: Value| {
        let mut data = json!({ "type": name, "output_index": index, "item_id": id });
        for (name, value) in more.as_object().into_iter().flatten() {
            data[name] = value.clone();
        }
        data
    };
    let mut begun = item.clone();
    begun["status"] = "in_progress".into();
    match item["type"].as_str() {
        Some("reasoning") => {
            begun["summary"] = json!([]);
            add(
                json!({ "type": "response.output_item.added", "output_index": index, "item": begun }),
            );
            let text = item["summary"][0]["text"].as_str().unwrap_or_default();
            let empty = json!({ "type": "summary_text", "text": "" });
            let part = json!({ "summary_index": 0, "part": empty });
            add(about("response.reasoning_summary_part.added", part));
            for word in split_words(text) {
                let piece = json!({ "summary_index": 0, "delta": word });
                add(about("response.reasoning_summary_text.delta", piece));
            }
            let whole = json!({ "summary_index": 0, "text": text });
            add(about("response.reasoning_summary_text.done", whole));
            let part = json!({ "summary_index": 0, "part": item["summary"][0] });
            add(about("response.reasoning_summary_part.done", part));
        }
        Some("function_call") => {
            begun["arguments"] = "".into();
            add(
                json!({ "type": "response.output_item.added", "output_index": index, "item": begun }),
            );
            let arguments = item["arguments"].as_str().unwrap_or_default();
            let piece = json!({ "delta": arguments });
            add(about("response.function_call_arguments.delta", piece));
            let whole = json!({ "arguments": arguments, "name": item["name"] });
            add(about("response.function_call_arguments.done", whole));
        }
        _ => {
            begun["content"] = json!([]);
            add(
                json!({ "type": "response.output_item.added", "output_index": index, "item": begun }),
            );
            let empty =
                json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
            let part = json!({ "content_index": 0, "part": empty });
            add(about("response.content_part.added", part));
            let text = item["content"][0]["text"].as_str().unwrap_or_default();
            for word in split_words(text) {
                let piece = json!({ "content_index": 0, "delta": word, "logprobs": [] });
                add(about("response.output_text.delta", piece));
            }
            let whole = json!({ "content_index": 0, "text": text, "logprobs": [] });
            add(about("response.output_text.done", whole));
            let part = json!({ "content_index": 0, "part": item["content"][0] });
            add(about("response.content_part.done", part));
        }
    }
    add(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
}

/// Formats Anthropic's error object.
pub(super) fn messages_error(status: u16, message: &str) -> String {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let error = json!({ "type": kind, "message": message });
    json!({ "type": "error", "error": error, "request_id": "req_standin" }).to_string()
}

/// Formats the error event of a stream of Responses, as OpenAI sends it.
pub(super) fn responses_error_event(message: &str) -> EventData {
    let error = json!({ "type": "server_error", "code": "server_error", "message": message, "param": null });
    event(&json!({ "type": "error", "sequence_number": 0, "error": error }), false)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::upstream::answer::{EndpointKind, ProviderAnswer, ProviderUsage};
    use crate::upstream::script::ScriptCall;

    fn answer() -> ProviderAnswer {
        ProviderAnswer {
            kind: EndpointKind::Messages,
            model: "m".to_owned(),
            text: "Hello there".to_owned(),
            reasoning: Some("I think".to_owned()),
            call: Some(ScriptCall { name: "f".to_owned(), arguments: json!({ "a": "世界" }) }),
            usage: Some(ProviderUsage { prompt: 9, completion: 4, cached: 5, reasoning: 1 }),
            vector: Vec::new(),
            inputs: 0,
            base64: false,
        }
    }

    #[test]
    fn deltas_of_messages_join_to_the_whole() {
        let whole: Value = serde_json::from_str(&answer().whole_message()).expect("JSON");
        let (mut thinking, mut text, mut input) = (String::new(), String::new(), String::new());
        for event in answer().message_stream(true, true) {
            let data: Value = serde_json::from_str(&event.data).expect("JSON");
            assert_eq!(event.name.as_deref(), data["type"].as_str());
            let delta = &data["delta"];
            thinking += delta["thinking"].as_str().unwrap_or_default();
            text += delta["text"].as_str().unwrap_or_default();
            input += delta["partial_json"].as_str().unwrap_or_default();
        }
        assert_eq!(whole["content"][0]["thinking"], thinking);
        assert_eq!(whole["content"][1]["text"], text);
        assert_eq!(whole["content"][2]["input"].to_string(), input);
        assert_eq!(whole["usage"]["input_tokens"], 4);
        assert_eq!(whole["stop_reason"], "tool_use");
    }

    #[test]
    fn deltas_of_responses_join_to_the_whole() {
        let whole: Value = serde_json::from_str(&answer().whole_response()).expect("JSON");
        let events = answer().response_stream(true);
        let data: Vec<Value> =
            events.iter().map(|event| serde_json::from_str(&event.data).expect("JSON")).collect();
        for (number, data) in data.iter().enumerate() {
            assert_eq!(data["sequence_number"], number);
        }
        let text: String = data
            .iter()
            .filter(|data| data["type"] == "response.output_text.delta")
            .filter_map(|data| data["delta"].as_str())
            .collect();
        assert_eq!(whole["output"][1]["content"][0]["text"], text);
        assert_eq!(data.last().expect("an end")["response"], whole);
    }
}
