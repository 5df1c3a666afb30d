//! Answers in OpenAI's wire format, with all members in OpenAI's order.
//!
//! Written as text and not through the types of `openai`: the simulator must not share a bug with the code
//! under test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::script::ScriptCall;

/// `created` of every simulated answer.
const CREATED: u64 = 1_760_000_000;

/// Endpoint of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// `/chat/completions`, and every unknown path.
    Chat,
    /// `/completions`
    Text,
    /// `/embeddings`
    Embeddings,
    /// `/messages`
    Messages,
    /// `/responses`
    Responses,
    /// `/messages/count_tokens` and `/responses/input_tokens`
    TokenCount,
}

/// Request as a provider reads it.
#[derive(Clone, Debug)]
pub struct ProviderRequest {
    /// Endpoint.
    pub kind: EndpointKind,
    /// Model, as sent.
    pub model: String,
    /// Whether the response is a stream.
    pub stream: bool,
    /// Whether the stream reports its usage.
    pub include_usage: bool,
    /// Text of the last message, the prompt, or the input.
    pub prompt_text: String,
    /// Number of requested vectors.
    pub inputs: usize,
    /// Whether vectors are encoded as base64.
    pub base64: bool,
}

impl ProviderRequest {
    /// Parses a request. Missing fields have the provider's defaults.
    pub fn parse(path: &str, body: &[u8]) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let kind = match path {
            _ if path.ends_with("/chat/completions") => EndpointKind::Chat,
            _ if path.ends_with("/completions") => EndpointKind::Text,
            _ if path.ends_with("/embeddings") => EndpointKind::Embeddings,
            _ if path.ends_with("/messages") => EndpointKind::Messages,
            _ if path.ends_with("/responses") => EndpointKind::Responses,
            _ if path.ends_with("/count_tokens") || path.ends_with("/input_tokens") => {
                EndpointKind::TokenCount
            }
            _ => EndpointKind::Chat,
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let last = |list: &Value| {
            let last = list.as_array().and_then(|all| all.last());
            last.map_or_else(String::new, |message| words(&message["content"]))
        };
        let prompt_text = match kind {
            EndpointKind::Chat | EndpointKind::Messages => last(&body["messages"]),
            EndpointKind::Text => words(&body["prompt"]),
            EndpointKind::Embeddings => words(&body["input"]),
            EndpointKind::Responses => match &body["input"] {
                Value::String(text) => text.clone(),
                items => last(items),
            },
            EndpointKind::TokenCount => String::new(),
        };
        let inputs = body["input"].as_array().filter(|all| all.iter().all(|one| !one.is_number()));
        Self {
            kind,
            model: body["model"].as_str().unwrap_or("unnamed").to_owned(),
            stream: body["stream"] == true,
            include_usage: body["stream_options"]["include_usage"] == true,
            prompt_text,
            inputs: inputs.map_or(1, Vec::len),
            base64: body["encoding_format"] == "base64",
        }
    }
}

/// Text of a message's content: a string, or the text parts.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.as_str().or_else(|| part["text"].as_str()))
            .collect::<Vec<_>>()
            .join(" "),
        _ => String::new(),
    }
}

/// Content of an answer.
#[derive(Clone, Debug)]
pub(super) struct ProviderAnswer {
    pub(super) kind: EndpointKind,
    pub(super) model: String,
    pub(super) text: String,
    pub(super) reasoning: Option<String>,
    pub(super) call: Option<ScriptCall>,
    pub(super) usage: Option<ProviderUsage>,
    pub(super) vector: Vec<f32>,
    pub(super) inputs: usize,
    pub(super) base64: bool,
}

/// Usage of an answer, in tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProviderUsage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

impl ProviderUsage {
    fn json(self) -> String {
        let Self { prompt, completion, cached, reasoning } = self;
        let total = prompt + completion;
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
        )
    }
}

/// Optional chunks of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkOptions {
    pub(super) include_usage: bool,
    pub(super) finish: bool,
    pub(super) done: bool,
}

/// Data of one event, and whether it is the first with content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventData {
    /// Name of the event; Chat has none.
    pub(super) name: Option<String>,
    pub(super) data: String,
    pub(super) first_content: bool,
}

impl ProviderAnswer {
    fn head(&self, chunk: bool) -> String {
        let model = quoted(&self.model);
        let (id, object) = match (self.kind, chunk) {
            (EndpointKind::Chat, false) => {
                ("chatcmpl-Ck7Standin0000000000000000001", "chat.completion")
            }
            (EndpointKind::Chat, true) => {
                ("chatcmpl-Ck7Standin0000000000000000001", "chat.completion.chunk")
            }
            (_, _) => ("cmpl-Ck7Standin0000000000000000001", "text_completion"),
        };
        format!(
            r#"{{"id":"{id}","object":"{object}","created":{CREATED},"model":{model},"system_fingerprint":"fp_standin""#
        )
    }

    /// Formats the answer as one JSON document.
    pub(super) fn whole(&self) -> String {
        match self.kind {
            EndpointKind::Messages => return self.whole_message(),
            EndpointKind::Responses => return self.whole_response(),
            EndpointKind::TokenCount => {
                let prompt = self.usage.unwrap_or_default().prompt;
                return format!(r#"{{"input_tokens":{prompt}}}"#);
            }
            EndpointKind::Chat | EndpointKind::Text | EndpointKind::Embeddings => {}
        }
        let head = self.head(false);
        let text = quoted(&self.text);
        let usage =
            self.usage.map_or_else(String::new, |usage| format!(r#","usage":{}"#, usage.json()));
        match self.kind {
            EndpointKind::Chat
            | EndpointKind::Messages
            | EndpointKind::Responses
            | EndpointKind::TokenCount => {
                let reasoning = self.reasoning.as_ref().map_or_else(String::new, |reasoning| {
                    format!(r#","reasoning_content":{}"#, quoted(reasoning))
                });
                let calls = self
                    .calls()
                    .map_or_else(String::new, |calls| format!(r#","tool_calls":{calls}"#));
                let finish = self.finish_reason();
                format!(
                    r#"{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":{text}{reasoning},"refusal":null,"annotations":[]{calls}}},"logprobs":null,"finish_reason":{finish}}}]{usage}}}"#
                )
            }
            EndpointKind::Text => format!(
                r#"{head},"choices":[{{"text":{text},"index":0,"logprobs":null,"finish_reason":"stop"}}]{usage}}}"#
            ),
            EndpointKind::Embeddings => {
                let vector = if self.base64 {
                    let bytes: Vec<u8> =
                        self.vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                    quoted(&STANDARD.encode(bytes))
                } else {
                    let numbers: Vec<String> =
                        self.vector.iter().map(|number| format!("{number:?}")).collect();
                    format!("[{}]", numbers.join(","))
                };
                let data: Vec<String> = (0..self.inputs)
                    .map(|index| {
                        format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#)
                    })
                    .collect();
                let usage = self.usage.map_or_else(String::new, |usage| {
                    format!(r#","usage":{{"prompt_tokens":{0},"total_tokens":{0}}}"#, usage.prompt)
                });
                format!(
                    r#"{{"object":"list","data":[{}],"model":{}{usage}}}"#,
                    data.join(","),
                    quoted(&self.model)
                )
            }
        }
    }

    /// Formats the call of a tool in Chat.
    fn calls(&self) -> Option<String> {
        let call = self.call.as_ref()?;
        let (name, arguments) = (quoted(&call.name), quoted(&call.arguments.to_string()));
        Some(format!(
            r#"[{{"index":0,"id":"call_standin","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}]"#
        ))
    }

    fn finish_reason(&self) -> &'static str {
        if self.call.is_some() { r#""tool_calls""# } else { r#""stop""# }
    }

    /// Formats the answer as events: a role (in chats), one event per word, a finish, the usage if it was
    /// requested, and `[DONE]`.
    pub(super) fn stream(&self, chunks: ChunkOptions) -> Vec<EventData> {
        match self.kind {
            EndpointKind::Messages => return self.message_stream(chunks.finish, chunks.done),
            EndpointKind::Responses => return self.response_stream(chunks.finish),
            _ => {}
        }
        let head = self.head(true);
        let pending = if chunks.include_usage { r#","usage":null"# } else { "" };
        let choice = |content: &str, finish: &str| match self.kind {
            EndpointKind::Chat => format!(
                r#"{head},"choices":[{{"index":0,"delta":{content},"logprobs":null,"finish_reason":{finish}}}]{pending}}}"#
            ),
            _ => format!(
                r#"{head},"choices":[{{"text":{content},"index":0,"logprobs":null,"finish_reason":{finish}}}]{pending}}}"#
            ),
        };
        let is_chat = self.kind == EndpointKind::Chat;
        let mut data = Vec::new();
        let mut add = |text: String, first_content| {
            data.push(EventData { name: None, data: text, first_content });
        };
        if is_chat {
            add(choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null"), false);
        }
        let reasoning =
            self.reasoning.iter().filter(|_| is_chat).flat_map(|text| split_words(text));
        let reasoning =
            reasoning.map(|word| format!(r#"{{"reasoning_content":{}}}"#, quoted(word)));
        let content = split_words(&self.text).into_iter().map(|word| {
            if is_chat { format!(r#"{{"content":{}}}"#, quoted(word)) } else { quoted(word) }
        });
        for (index, delta) in reasoning.chain(content).enumerate() {
            add(choice(&delta, "null"), index == 0);
        }
        if let Some(calls) = self.calls() {
            add(choice(&format!(r#"{{"tool_calls":{calls}}}"#), "null"), self.text.is_empty());
        }
        if chunks.finish {
            add(choice(if is_chat { "{}" } else { r#""""# }, self.finish_reason()), false);
        }
        if let Some(usage) = self.usage.filter(|_| chunks.include_usage) {
            add(format!(r#"{head},"choices":[],"usage":{}}}"#, usage.json()), false);
        }
        if chunks.done {
            add("[DONE]".to_owned(), false);
        }
        data
    }
}

/// Formats OpenAI's error object.
pub(super) fn error(status: u16, message: &str) -> String {
    let kind = match status {
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    format!(
        r#"{{"error":{{"message":{},"type":"{kind}","param":null,"code":null}}}}"#,
        quoted(message)
    )
}

/// Splits a text into words, each with the spaces before it. Their concatenation is the text.
pub(super) fn split_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(' ') {
        if at > start {
            words.push(&text[start..at]);
            start = at;
        }
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{
        ChunkOptions, EndpointKind, ProviderAnswer, ProviderRequest, ProviderUsage, split_words,
    };

    fn answer(kind: EndpointKind) -> ProviderAnswer {
        ProviderAnswer {
            kind,
            model: "m\"1".to_owned(),
            text: "Hello  there, 世界".to_owned(),
            reasoning: None,
            call: None,
            usage: Some(ProviderUsage { prompt: 9, completion: 2, cached: 1, reasoning: 0 }),
            vector: vec![0.5, -1.0],
            inputs: 2,
            base64: false,
        }
    }

    #[test]
    fn split_words_concatenate_to_the_text() {
        for text in ["", " ", "a", "a b", "  a  b ", "世界 你好"] {
            assert_eq!(split_words(text).concat(), text);
        }
    }

    #[test]
    fn whole_answer_of_each_endpoint_is_json_with_its_content() {
        let chat: Value = serde_json::from_str(&answer(EndpointKind::Chat).whole()).expect("JSON");
        assert_eq!(chat["choices"][0]["message"]["content"], "Hello  there, 世界");
        assert_eq!((&chat["model"], &chat["usage"]["total_tokens"]), (&"m\"1".into(), &11.into()));
        let text: Value = serde_json::from_str(&answer(EndpointKind::Text).whole()).expect("JSON");
        assert_eq!(text["choices"][0]["text"], "Hello  there, 世界");
        let vectors: Value =
            serde_json::from_str(&answer(EndpointKind::Embeddings).whole()).expect("JSON");
        assert_eq!(vectors["data"][1]["embedding"], serde_json::json!([0.5, -1.0]));
    }

    #[test]
    fn stream_has_role_words_finish_usage_and_done() {
        let chunks = ChunkOptions { include_usage: true, finish: true, done: true };
        let data = answer(EndpointKind::Chat).stream(chunks);
        let (done, events) = data.split_last().expect("events");
        assert_eq!(done.data, "[DONE]");
        let events: Vec<Value> =
            events.iter().map(|event| serde_json::from_str(&event.data).expect("JSON")).collect();
        let content: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(content, "Hello  there, 世界");
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
        assert_eq!(events[events.len() - 1]["usage"]["prompt_tokens"], 9);
        assert!(events[0]["usage"].is_null() && data[1].first_content && !data[2].first_content);
        let bare = answer(EndpointKind::Text).stream(ChunkOptions {
            include_usage: false,
            finish: false,
            done: false,
        });
        assert!(bare.iter().all(|event| !event.data.contains("usage") && event.data != "[DONE]"));
    }

    #[test]
    fn parse_request_with_missing_fields_uses_defaults() {
        let body = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"content":"a"},{"content":[{"type":"text","text":"b c"}]}]}"#;
        let request = ProviderRequest::parse("/v1/chat/completions?x=1", body);
        assert!(request.stream && request.include_usage && request.kind == EndpointKind::Chat);
        assert_eq!((request.model.as_str(), request.prompt_text.as_str()), ("m", "b c"));
        let request = ProviderRequest::parse(
            "/v1/embeddings",
            br#"{"input":["a","b"],"encoding_format":"base64"}"#,
        );
        assert_eq!((request.inputs, request.base64), (2, true));
        assert_eq!(ProviderRequest::parse("/v1/embeddings", br#"{"input":[1,2,3]}"#).inputs, 1);
        assert_eq!(ProviderRequest::parse("/", b"not json").model, "unnamed");
    }
}
