//! Settings of a request that an answer of Responses repeats.

use serde_json::value::RawValue;

use crate::json_text::JsonText;
use crate::members::{each_member, elements, text};

/// Members that an answer of Responses repeats from the request, with the value that stands for an
/// absent one (OpenAI API reference, "The Response object"; Open Responses, `ResponseResource`).
///
/// `store` and `background` are not among them: a translated answer is neither stored nor made in
/// the background.
const ECHOED: [(&str, &str); 17] = [
    ("instructions", "null"),
    ("tools", "[]"),
    ("tool_choice", "\"auto\""),
    ("truncation", "\"disabled\""),
    ("parallel_tool_calls", "true"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("temperature", "1.0"),
    ("top_p", "1.0"),
    ("presence_penalty", "0.0"),
    ("frequency_penalty", "0.0"),
    ("top_logprobs", "0"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("safety_identifier", "null"),
    ("prompt_cache_key", "null"),
];

/// Settings of a request that an answer of Responses repeats, as JSON members. Clients that check
/// strictly need each of them, if only as null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseEcho(String);

impl Default for ResponseEcho {
    fn default() -> Self {
        Self::render([None; ECHOED.len()])
    }
}

impl ResponseEcho {
    /// Settings of the body of a request of Responses. Those of another body are the defaults.
    pub fn parse(body: &str) -> Self {
        let mut values = [None; ECHOED.len()];
        let read = each_member(body, &mut |name, value| {
            if let Some(at) = ECHOED.iter().position(|(other, _)| *other == name) {
                values[at] = (value.get() != "null").then_some(value);
            }
        });
        if read.is_none() { Self::default() } else { Self::render(values) }
    }

    fn render(values: [Option<&RawValue>; ECHOED.len()]) -> Self {
        let mut json = JsonText::default();
        for ((name, default), value) in ECHOED.iter().zip(values) {
            match (*name, value) {
                (name, None) => json.raw_member(name, default),
                ("text", Some(value)) => {
                    json.name("text");
                    write_filled(&mut json, value, &[("format", r#"{"type":"text"}"#)]);
                }
                ("reasoning", Some(value)) => {
                    json.name("reasoning");
                    let absent = [("effort", "null"), ("summary", "null")];
                    write_filled(&mut json, value, &absent);
                }
                ("tools", Some(value)) => write_tools(&mut json, value),
                (name, Some(value)) => json.raw_member(name, value.get()),
            }
        }
        json.raw_member("previous_response_id", "null");
        json.raw_member("store", "false");
        json.raw_member("background", "false");
        Self(String::from_utf8(json.into_bytes()).expect("members of a text are text"))
    }

    /// Writes all members.
    pub(crate) fn write(&self, json: &mut JsonText) {
        json.raw(&self.0);
    }
}

/// Writes the tools. The object has members that a request may leave out.
fn write_tools(json: &mut JsonText, tools: &RawValue) {
    json.array("tools");
    elements(Some(tools), &mut |tool| {
        let [kind] = crate::members::pick_in(Some(tool), ["type"]);
        if text(kind).as_deref() == Some("function") {
            let absent = [("description", "null"), ("parameters", "null"), ("strict", "null")];
            write_filled(json, tool, &absent);
        } else {
            json.raw(tool.get());
        }
    });
    json.end_array();
}

/// Writes an object with values for absent members. Another value stays as it is.
fn write_filled(json: &mut JsonText, value: &RawValue, absent: &[(&str, &str)]) {
    if !crate::members::is_object(value.get()) {
        return json.raw(value.get());
    }
    let mut found = vec![false; absent.len()];
    json.begin_object();
    // The text is an object, so that the names are read without an error.
    let _ = each_member(value.get(), &mut |name, value| {
        if let Some(at) = absent.iter().position(|(other, _)| *other == name) {
            found[at] = true;
        }
        json.raw_member(name, value.get());
    });
    for ((name, value), _) in absent.iter().zip(&found).filter(|(_, found)| !**found) {
        json.raw_member(name, value);
    }
    json.end_object();
}

#[cfg(test)]
mod tests {
    use super::ResponseEcho;
    use crate::json_text::JsonText;

    fn written(body: &str) -> serde_json::Value {
        let mut json = JsonText::default();
        json.begin_object();
        ResponseEcho::parse(body).write(&mut json);
        json.end_object();
        serde_json::from_slice(&json.into_bytes()).expect("JSON")
    }

    #[test]
    fn settings_are_repeated_and_completed() {
        let body = r#"{"model":"m","text":{"verbosity":"low"},"reasoning":{"effort":"high"},
            "tools":[{"type":"function","name":"f","parameters":{}},{"type":"web_search"}],
            "store":true,"temperature":0.10,"metadata":null}"#;
        let echo = written(body);
        assert_eq!(echo["text"]["format"]["type"], "text");
        assert_eq!(echo["text"]["verbosity"], "low");
        assert_eq!(echo["reasoning"]["effort"], "high");
        assert!(echo["reasoning"].get("summary").is_some());
        assert!(echo["tools"][0].get("strict").is_some());
        assert_eq!(echo["tools"][1], serde_json::json!({"type": "web_search"}));
        assert_eq!(echo["store"], false);
        assert_eq!(echo["metadata"], serde_json::json!({}));
        assert!(echo.get("model").is_none());
    }

    #[test]
    fn settings_of_an_unreadable_body_have_defaults() {
        assert_eq!(written("{\"temperature\":"), written("{}"));
        assert_eq!(written("{}")["tool_choice"], "auto");
    }
}
