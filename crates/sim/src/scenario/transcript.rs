//! Response as a client library reads it: events, text, finish reasons, error, usage.
//!
//! The reader of server-sent events is independent of the gateway's, so that a bug in one shows.

use serde_json::Value;

/// Parsed response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// Data of every event, in order; empty for a JSON response.
    pub events: Vec<String>,
    /// Content of all choices, concatenated.
    pub text: String,
    /// Every `finish_reason`, in order.
    pub finish_reasons: Vec<String>,
    /// `code` of an error event or of a JSON error; empty if the error has no code.
    pub error_code: Option<String>,
    /// Usage in the response; `None` if the caller saw none.
    pub usage: Option<Value>,
    /// `type` of every event of Messages or Responses, in order, equal neighbors once.
    pub types: Vec<String>,
    /// Bytes after the last whole event.
    pub remainder: String,
}

impl Transcript {
    /// Parses a body by its content type.
    pub fn parse(content_type: &str, body: &[u8]) -> Self {
        let mut transcript = Self::default();
        if !content_type.starts_with("text/event-stream") {
            if let Ok(value) = serde_json::from_slice::<Value>(body) {
                transcript.add_value(&value);
            }
            return transcript;
        }
        let (events, remainder) = events(&String::from_utf8_lossy(body));
        for data in &events {
            if let Ok(value) = serde_json::from_str::<Value>(data) {
                transcript.add_value(&value);
                transcript.add_type(&value);
            }
        }
        Self { events, remainder, ..transcript }
    }

    /// Whether the data of an event is `[DONE]`.
    pub fn contains_done(&self) -> bool {
        self.events.iter().any(|data| data == "[DONE]")
    }

    fn add_value(&mut self, value: &Value) {
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            // Messages has types only.
            let code = error["code"].as_str().or(
                if value["type"] == "error" && error.get("code").is_none() {
                    error["type"].as_str()
                } else {
                    None
                },
            );
            self.error_code = Some(code.unwrap_or_default().to_owned());
        }
        if let Some(usage) = value.get("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage.clone());
        }
        self.add_message(value);
        self.add_response(value);
        for choice in value["choices"].as_array().into_iter().flatten() {
            let text =
                [&choice["delta"]["content"], &choice["message"]["content"], &choice["text"]];
            text.into_iter().filter_map(Value::as_str).for_each(|text| self.text.push_str(text));
            if let Some(reason) = choice["finish_reason"].as_str() {
                self.finish_reasons.push(reason.to_owned());
            }
        }
    }
}

impl Transcript {
    /// Adds an answer or an event of Messages.
    fn add_message(&mut self, value: &Value) {
        if let Some(usage) = value["message"].get("usage") {
            self.usage = Some(usage.clone());
        }
        if value["type"] == "content_block_delta" {
            self.text.push_str(value["delta"]["text"].as_str().unwrap_or_default());
        }
        for block in value["content"].as_array().into_iter().flatten() {
            self.text.push_str(block["text"].as_str().unwrap_or_default());
        }
        let reasons = [&value["stop_reason"], &value["delta"]["stop_reason"]];
        self.finish_reasons.extend(reasons.iter().filter_map(|it| it.as_str()).map(str::to_owned));
    }

    /// Adds an answer or an event of Responses. Text counts as it is streamed, not as it is repeated.
    fn add_response(&mut self, value: &Value) {
        if value["type"] == "response.output_text.delta" {
            self.text.push_str(value["delta"].as_str().unwrap_or_default());
        }
        let items = value["output"].as_array().into_iter().flatten();
        for item in items.filter(|item| item["type"] == "message") {
            for part in item["content"].as_array().into_iter().flatten() {
                self.text.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
        if let Some(usage) = value["response"].get("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage.clone());
        }
        let status = [&value["status"], &value["response"]["status"]];
        self.finish_reasons.extend(status.iter().filter_map(|it| it.as_str()).map(str::to_owned));
    }

    /// Adds the type of an event.
    fn add_type(&mut self, value: &Value) {
        if let Some(name) = value["type"].as_str()
            && self.types.last().is_none_or(|last| last != name)
        {
            self.types.push(name.to_owned());
        }
    }
}

/// Counts the whole events of a body, comments included.
pub fn count_events(body: &[u8]) -> usize {
    blocks(&normalize_newlines(&String::from_utf8_lossy(body))).0.len()
}

/// Returns the data of every whole event that has data, and the bytes after the last whole event.
fn events(body: &str) -> (Vec<String>, String) {
    let body = normalize_newlines(body);
    let (blocks, remainder) = blocks(&body);
    let data = |block: &&str| {
        let lines: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    (blocks.iter().filter_map(data).collect(), remainder.to_owned())
}

fn normalize_newlines(body: &str) -> String {
    body.replace("\r\n", "\n").replace('\r', "\n")
}

fn blocks(body: &str) -> (Vec<&str>, &str) {
    let (whole, remainder) = body.rfind("\n\n").map_or(("", body), |end| body.split_at(end + 2));
    (whole.split("\n\n").filter(|block| !block.trim_matches('\n').is_empty()).collect(), remainder)
}

#[cfg(test)]
mod tests {
    use super::{Transcript, count_events};

    #[test]
    fn parse_stream_with_any_line_ending_returns_its_events_and_text() {
        let body = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n: keep-alive\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\ndata: rest";
        for ending in ["\n", "\r\n", "\r"] {
            let body = body.replace('\n', ending);
            let transcript = Transcript::parse("text/event-stream; charset=utf-8", body.as_bytes());
            assert_eq!((transcript.events.len(), transcript.text.as_str()), (5, "Hello"));
            assert_eq!(
                (transcript.remainder.as_str(), transcript.contains_done()),
                ("data: rest", true)
            );
            assert_eq!(transcript.finish_reasons, ["stop"]);
            assert!(transcript.usage.is_some() && transcript.error_code.is_none());
            assert_eq!(count_events(body.as_bytes()), 6);
        }
    }

    #[test]
    fn parse_json_response_returns_its_text_or_error_code() {
        let transcript =
            Transcript::parse("application/json", br#"{"choices":[{"message":{"content":"Hi"}}]}"#);
        assert_eq!(transcript.text, "Hi");
        let error =
            Transcript::parse("application/json", br#"{"error":{"code":"upstream_error"}}"#);
        assert_eq!(error.error_code.as_deref(), Some("upstream_error"));
        assert_eq!(Transcript::parse("text/html", b"<html>"), Transcript::default());
    }
}
