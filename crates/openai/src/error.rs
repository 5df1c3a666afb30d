//! OpenAI's error shape: `{"error":{"message","type","param","code"}}`, and a reader for the shapes
//! that providers use in its place.

use serde::Serialize;
use serde_json::{Map, Value};

/// Error body.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// Error object, the only member.
    pub error: ErrorObject<'a>,
}

/// Description of an error.
#[derive(Debug, Serialize)]
pub struct ErrorObject<'a> {
    /// Sentence for people.
    pub message: &'a str,
    /// Family of the error, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Field at fault.
    pub param: Option<&'a str>,
    /// Name of the error for programs.
    pub code: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// Returns the JSON document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and options always serialize")
    }

    /// Returns the document as one server-sent event.
    pub fn to_event(&self) -> Vec<u8> {
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&self.to_json());
        event.extend_from_slice(b"\n\n");
        event
    }
}

/// How deep errors are read that hold another error as text.
const MAX_NESTED_ERRORS: usize = 2;
/// Names that are read of one error. Further ones are left out.
const MAX_ERROR_NAMES: usize = 32;

/// Reason of a refusal, read from a body in any of the shapes that providers use:
///
/// | shape | providers |
/// | --- | --- |
/// | `{"error":{"code","type","message","param"}}` | OpenAI, and most others |
/// | the same in a list, with `status` and `details[].reason` | Gemini |
/// | `{"error":"text","code":"text"}` | xAI |
/// | `{"code","message"}`, `{"object":"error","code","type","message"}` | DashScope, Mistral, vLLM |
/// | `{"base_resp":{"status_code","status_msg"}}` | MiniMax |
/// | `{"errors":[{"code","message"}]}` | Cloudflare |
/// | `{"detail":"text"}`, `{"detail":[{"loc","msg","type"}]}` | FastAPI: vLLM, Mistral |
/// | one of these as text in `message` or `metadata.raw` | gateways: OpenRouter and others |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorReport {
    names: Vec<String>,
    /// First message for people.
    pub message: String,
    /// Path of the field at fault; empty if none is named.
    pub param: String,
    /// Wait that the body asks for, as in `"34.5s"`.
    pub retry_delay: Option<String>,
}

impl ErrorReport {
    /// Reads a body. `None` if it is not an object or a list of objects.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let value =
            serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()?;
        let mut report = Self::default();
        match &value {
            Value::Object(_) | Value::Array(_) => report.read(&value, 0),
            _ => return None,
        }
        Some(report)
    }

    /// Codes, types, statuses, and reasons of the error, in the order in which they are written.
    /// Those of MiniMax and Cloudflare have the prefixes `base_resp.` and `errors.`, since their
    /// numbers mean something else elsewhere.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether an error is named at all: other JSON is not an error.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.message.is_empty()
    }

    fn read(&mut self, value: &Value, depth: usize) {
        match value {
            // One error, as a list.
            Value::Array(list) => {
                if let Some(first @ Value::Object(_)) = list.first() {
                    self.read(first, depth);
                }
            }
            Value::Object(error) => self.read_object(error, depth),
            _ => {}
        }
    }

    fn read_object(&mut self, error: &Map<String, Value>, depth: usize) {
        for name in ["code", "type", "status", "reason", "error_code", "quotaId"] {
            self.add_name("", error.get(name));
        }
        if let Some(delay) = error.get("retryDelay").and_then(Value::as_str) {
            self.retry_delay.get_or_insert_with(|| delay.to_owned());
        }
        match error.get("error") {
            Some(Value::String(text)) => self.add_message(text, depth),
            Some(inner) => self.read(inner, depth),
            None => {}
        }
        if let Some(inner @ Value::Object(_)) = error.get("innererror") {
            self.read(inner, depth);
        }
        for name in ["details", "violations"] {
            let list = error.get(name).and_then(Value::as_array);
            for detail in list.into_iter().flatten().take(MAX_ERROR_NAMES) {
                self.read(detail, depth);
            }
        }
        if let Some(Value::Object(status)) = error.get("base_resp") {
            // Zero is success.
            let code = status.get("status_code").filter(|code| code.as_u64() != Some(0));
            self.add_name("base_resp.", code);
            if let Some(text) = status.get("status_msg").and_then(Value::as_str)
                && code.is_some()
            {
                self.add_message(text, depth);
            }
        }
        let list = error.get("errors").and_then(Value::as_array);
        for error in list.into_iter().flatten().filter_map(Value::as_object).take(MAX_ERROR_NAMES) {
            self.add_name("errors.", error.get("code"));
            if let Some(text) = error.get("message").and_then(Value::as_str) {
                self.add_message(text, depth);
            }
        }
        self.read_detail(error.get("detail"), depth);
        for name in ["message", "msg"] {
            if let Some(text) = error.get(name).and_then(Value::as_str) {
                self.add_message(text, depth);
            }
        }
        if let Some(param) = error.get("param").and_then(Value::as_str)
            && self.param.is_empty()
        {
            self.param = param.to_owned();
        }
        if let Some(raw) = error.get("metadata").and_then(|metadata| metadata.get("raw")) {
            match raw {
                Value::String(text) => self.add_message(text, depth),
                raw => self.read(raw, depth),
            }
        }
    }

    /// Reads FastAPI's description: a text, or a list of invalid fields.
    fn read_detail(&mut self, detail: Option<&Value>, depth: usize) {
        match detail {
            Some(Value::String(text)) => self.add_message(text, depth),
            Some(Value::Array(list)) => {
                let Some(first) = list.first().and_then(Value::as_object) else { return };
                self.read_object(first, depth);
                let path = first.get("loc").and_then(Value::as_array).into_iter().flatten();
                let steps = path.filter_map(Value::as_str).filter(|step| *step != "body");
                if self.param.is_empty() {
                    self.param = steps.collect::<Vec<_>>().join(".");
                }
            }
            Some(object @ Value::Object(_)) => self.read(object, depth),
            Some(_) | None => {}
        }
    }

    fn add_name(&mut self, prefix: &str, name: Option<&Value>) {
        let name = match name {
            Some(Value::String(name)) if !name.is_empty() => [prefix, name].concat(),
            Some(Value::Number(number)) => format!("{prefix}{number}"),
            Some(_) | None => return,
        };
        if self.names.len() < MAX_ERROR_NAMES {
            self.names.push(name);
        }
    }

    /// Adds a text, which may hold the error that a gateway received.
    fn add_message(&mut self, text: &str, depth: usize) {
        let inner = text.trim_start();
        if inner.starts_with(['{', '['])
            && depth < MAX_NESTED_ERRORS
            && let Ok(error) = serde_json::from_str(inner)
        {
            return self.read(&error, depth + 1);
        }
        if self.message.is_empty() {
            self.message = text.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorReport;

    #[track_caller]
    fn assert_report(body: &str, names: &[&str], message: &str, param: &str) {
        let report = ErrorReport::parse(body.as_bytes()).expect("JSON");
        assert_eq!(report.names().collect::<Vec<_>>(), names, "{body}");
        assert_eq!((&*report.message, &*report.param), (message, param), "{body}");
    }

    #[test]
    fn report_is_read_from_every_shape() {
        assert_report(
            r#"{"error":{"message":"m","type":"t","param":"model","code":"c"}}"#,
            &["c", "t"],
            "m",
            "model",
        );
        assert_report(
            r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"m","details":[{"@type":"x","reason":"API_KEY_INVALID"},{"violations":[{"quotaId":"PerDay"}]}]}}]"#,
            &["400", "INVALID_ARGUMENT", "API_KEY_INVALID", "PerDay"],
            "m",
            "",
        );
        assert_report(r#"{"code":"The code","error":"m"}"#, &["The code"], "m", "");
        assert_report(
            r#"{"code":"Arrearage","message":"m","request_id":"1"}"#,
            &["Arrearage"],
            "m",
            "",
        );
        assert_report(
            r#"{"base_resp":{"status_code":1004,"status_msg":"m"}}"#,
            &["base_resp.1004"],
            "m",
            "",
        );
        assert_report(
            r#"{"choices":[],"base_resp":{"status_code":0,"status_msg":""}}"#,
            &[],
            "",
            "",
        );
        assert_report(r#"{"errors":[{"code":3036,"message":"m"}]}"#, &["errors.3036"], "m", "");
        assert_report(r#"{"detail":"m"}"#, &[], "m", "");
        assert_report(
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"m"}]}"#,
            &["extra_forbidden"],
            "m",
            "stream_options",
        );
        assert_report(
            r#"{"error":{"code":"content_filter","innererror":{"code":"X"},"message":"m"}}"#,
            &["content_filter", "X"],
            "m",
            "",
        );
    }

    #[test]
    fn report_of_a_gateway_includes_the_error_that_it_received() {
        let inner = r#"{"error":{"code":"c","message":"m"}}"#;
        let quoted = serde_json::to_string(inner).expect("a text");
        for body in [
            format!(r#"{{"error":{{"message":{quoted}}}}}"#),
            format!(r#"{{"error":{{"metadata":{{"raw":{quoted}}}}}}}"#),
        ] {
            assert_report(&body, &["c"], "m", "");
        }
    }

    #[test]
    fn report_of_other_bodies_is_bounded_or_none() {
        for body in ["", "null", "7", "<html>", "{"] {
            assert_eq!(ErrorReport::parse(body.as_bytes()), None, "{body}");
        }
        assert!(ErrorReport::parse(b"{\"choices\":[]}").is_some_and(|report| report.is_empty()));
        let many = format!(r#"{{"details":[{}]}}"#, vec![r#"{"reason":"r"}"#; 500].join(","));
        let report = ErrorReport::parse(many.as_bytes()).expect("JSON");
        assert_eq!(report.names().count(), super::MAX_ERROR_NAMES);
        let mut deep = "{}".to_owned();
        for _ in 0..6 {
            deep = format!(
                r#"{{"error":{{"code":"c","message":{}}}}}"#,
                serde_json::to_string(&deep).expect("a text")
            );
        }
        let report = ErrorReport::parse(deep.as_bytes()).expect("JSON");
        assert_eq!(report.names().count(), super::MAX_NESTED_ERRORS + 1);
    }
}
