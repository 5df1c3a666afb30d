//! Changes to a request body, spliced into the original bytes.

use json::Edits;

use super::read::{OutputLimit, Request, UsageOption};
use crate::invalid::Invalid;
use crate::steering_fields::SteeringFields;

/// Changes to a request for a target. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'a> {
    /// Name of the model at the provider.
    pub model: Option<&'a str>,
    /// Whether a stream must end with its usage.
    pub ask_for_usage: bool,
    /// Maximum number of tokens for each choice, and the field to add if the request has none.
    pub max_output_tokens: Option<(u64, OutputField)>,
    /// Messages to append to a chat: JSON objects separated by commas.
    pub extra_messages: Option<&'a str>,
}

/// Field by which an upstream accepts the maximum number of tokens of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputField {
    /// `max_tokens`: deprecated by OpenAI and accepted by all other providers.
    MaxTokens,
    /// `max_completion_tokens`, the only one that OpenAI's reasoning models accept.
    MaxCompletionTokens,
}

impl OutputField {
    /// Name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Returns the body with another model: in the place of its own, or as a new first member. The model's
/// value is not read, so it may have any type.
pub fn with_model(body: &[u8], model: &str) -> Result<Vec<u8>, Invalid> {
    let text = std::str::from_utf8(body).map_err(|error| Invalid::NotJson(error.to_string()))?;
    let start = text.len() - text.trim_start().len();
    let fields: SteeringFields<'_> =
        serde_json::from_str(text).map_err(|error| Invalid::NotJson(error.to_string()))?;
    if let Some(invalid) = fields.invalid {
        return Err(invalid);
    }
    let name = serde_json::to_string(model).expect("a string always serializes");
    let mut edits = Edits::default();
    match fields.model {
        Some(raw) => edits.replace(json::range_in(text, raw.get()), name),
        None => {
            let comma = if fields.is_empty { "" } else { "," };
            edits.replace(start + 1..start + 1, format!("\"model\":{name}{comma}"));
        }
    }
    Ok(edits.apply(body))
}

impl Request {
    /// Returns the body with the changes. `None` if nothing changes.
    pub fn rewrite(&self, body: &[u8], changes: Changes<'_>) -> Option<Vec<u8>> {
        let mut edits = Edits::default();
        if let Some(name) = changes.model.filter(|name| *name != self.model) {
            let name = serde_json::to_string(name).expect("a string always serializes");
            edits.replace(self.model_range.clone(), name);
        }
        if changes.ask_for_usage && self.stream && !self.wants_usage {
            let (range, text) = match &self.usage_option {
                UsageOption::Absent(at) => {
                    (*at..*at, r#""stream_options":{"include_usage":true},"#)
                }
                UsageOption::Null(range) => (range.clone(), r#"{"include_usage":true}"#),
                UsageOption::Silent { at, comma: true } => (*at..*at, r#""include_usage":true,"#),
                UsageOption::Silent { at, comma: false } => (*at..*at, r#""include_usage":true"#),
                UsageOption::Stated(range) => (range.clone(), "true"),
            };
            edits.replace(range, text);
        }
        if let Some((limit, field)) = changes.max_output_tokens {
            self.cap_output(body, limit, field, &mut edits);
        }
        if let Some(messages) = changes.extra_messages {
            let inside = self.content.start + 1..self.content.end - 1;
            let comma = if body[inside.clone()].trim_ascii().is_empty() { "" } else { "," };
            edits.replace(inside.end..inside.end, [comma, messages].concat());
        }
        (!edits.is_empty()).then(|| edits.apply(body))
    }

    /// Whether a maximum is added as this field: the request has none that the upstream respects.
    pub fn lacks_output_field(&self, field: OutputField) -> bool {
        let OutputLimit { max_tokens, max_completion_tokens, .. } = &self.output;
        let is_newer_respected = field == OutputField::MaxCompletionTokens;
        max_tokens.is_none() && !(is_newer_respected && max_completion_tokens.is_some())
    }

    /// Lowers every maximum that is above `limit` or is not a number. Inserts the upstream's field
    /// if the request has no field that the upstream respects. Upstreams of `max_tokens` may ignore
    /// the newer name. Upstreams of the newer name accept the older one too, but not both at once.
    fn cap_output(&self, body: &[u8], limit: u64, field: OutputField, edits: &mut Edits<'_>) {
        let OutputLimit {
            max_tokens, max_completion_tokens, aliases, max_per_choice: asked, ..
        } = &self.output;
        if self.lacks_output_field(field) {
            let limit = asked.map_or(limit, |asked| asked.min(limit));
            let member = format!("\"{}\":{limit},", field.name());
            edits.replace(self.body_start..self.body_start, member);
        }
        for range in [max_tokens, max_completion_tokens].into_iter().flatten().chain(aliases) {
            let number = str::from_utf8(&body[range.clone()]).map(str::parse::<u64>);
            // Zero is no maximum for some upstreams.
            if !matches!(number, Ok(Ok(number)) if (1..=limit).contains(&number)) {
                edits.replace(range.clone(), limit.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{Changes, OutputField, Request, with_model};
    use crate::Endpoint::ChatCompletions;
    use crate::Invalid;

    #[test]
    fn model_is_replaced_or_inserted() {
        for (body, expected) in [
            (r#"{"model":"a","n":1}"#, r#"{"model":"b/c","n":1}"#),
            (r#"{"n":1, "model" : null }"#, r#"{"n":1, "model" : "b/c" }"#),
            (r#"{"model":{"x":[1]}}"#, r#"{"model":"b/c"}"#),
            (r#" {"n":1}"#, r#" {"model":"b/c","n":1}"#),
            ("{ }", r#"{"model":"b/c" }"#),
        ] {
            let found = with_model(body.as_bytes(), "b/c").expect("it is an object");
            assert_eq!(String::from_utf8(found).expect("text"), expected);
        }
        assert_eq!(with_model(br#"{"model":"a","model":"a"}"#, "b"), Err(Invalid::Twice("model")));
        assert!(matches!(with_model(b"[1]", "b"), Err(Invalid::NotJson(_))));
        assert!(matches!(with_model(b"{", "b"), Err(Invalid::NotJson(_))));
    }

    #[test]
    fn extra_messages_follow_last_message() {
        for (messages, expected) in [
            ("[]", r#"[{"n":1}]"#),
            ("[ ]", r#"[ {"n":1}]"#),
            (r#"[{"content":"]"} ]"#, r#"[{"content":"]"} ,{"n":1}]"#),
        ] {
            let body = format!(r#"{{"messages":{messages},"model":"a"}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            let more = Changes { extra_messages: Some(r#"{"n":1}"#), ..Changes::default() };
            let changed = request.rewrite(body.as_bytes(), more).expect("it changes");
            assert_eq!(changed, body.replace(messages, expected).into_bytes());
        }
    }

    #[track_caller]
    fn assert_rewritten(body: &str, model: Option<&str>, expected: Option<&str>) {
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("the body is right");
        let bytes = request
            .rewrite(body.as_bytes(), Changes { model, ask_for_usage: true, ..Changes::default() });
        assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).expect("text")).as_deref(), expected);
    }

    #[test]
    fn rewrite_keeps_all_other_bytes() {
        let plain =
            r#" { "x" : 1.00, "model" : "a" , "messages":[{"content":"\u00e9"}], "t":1e2 }"#;
        assert_rewritten(plain, None, None);
        assert_rewritten(plain, Some("a"), None);
        assert_rewritten(
            plain,
            Some("b\""),
            Some(
                r#" { "x" : 1.00, "model" : "b\"" , "messages":[{"content":"\u00e9"}], "t":1e2 }"#,
            ),
        );
        let stream =
            |options: &str| format!(r#"{{"messages":[],"stream":true{options},"model":"a"}}"#);
        assert_rewritten(
            &stream(""),
            Some("b"),
            Some(
                r#"{"stream_options":{"include_usage":true},"messages":[],"stream":true,"model":"b"}"#,
            ),
        );
        assert_rewritten(
            &stream(r#","stream_options":null"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true}"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{ }"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true }"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{"a":1}"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true,"a":1}"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{"include_usage":false}"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true}"#)),
        );
        assert_rewritten(&stream(r#","stream_options":{"include_usage":true}"#), None, None);
    }

    #[track_caller]
    fn assert_capped(body: &str, expected: Option<&str>) {
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("the body is right");
        let most_output = Some((50, OutputField::MaxCompletionTokens));
        let bytes = request.rewrite(
            body.as_bytes(),
            Changes { max_output_tokens: most_output, ..Changes::default() },
        );
        assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).expect("text")).as_deref(), expected);
    }

    #[test]
    fn output_limit_is_capped_in_present_fields() {
        let with = |fields: &str| format!(r#"{{"model":"a","messages":[]{fields}}}"#);
        assert_capped(&with(r#","max_tokens":50"#), None);
        assert_capped(&with(r#","max_tokens":51"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":null"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":5e9"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":0"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":-1"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(
            &with(r#","max_tokens":1,"n_predict":100000,"num_predict":-1,"max_output_tokens":9"#),
            Some(&with(r#","max_tokens":1,"n_predict":50,"num_predict":50,"max_output_tokens":9"#)),
        );
        assert_capped(
            &with(r#","max_completion_tokens":7,"max_tokens":99"#),
            Some(&with(r#","max_completion_tokens":7,"max_tokens":50"#)),
        );
        assert_capped(&with(""), Some(r#"{"max_completion_tokens":50,"model":"a","messages":[]}"#));
    }

    #[test]
    fn output_limit_for_older_name_adds_max_tokens() {
        let capped = |rest: &str| {
            let body = format!(r#"{{"model":"a","messages":[]{rest}}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            let most_output = Some((50, OutputField::MaxTokens));
            let changes = Changes { max_output_tokens: most_output, ..Changes::default() };
            let bytes = request.rewrite(body.as_bytes(), changes).unwrap_or(body.into_bytes());
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            (value["max_tokens"].as_u64(), value["max_completion_tokens"].as_u64())
        };
        assert_eq!(capped(r#","max_completion_tokens":7"#), (Some(7), Some(7)));
        assert_eq!(capped(r#","max_completion_tokens":70"#), (Some(50), Some(50)));
        assert_eq!(capped(r#","max_completion_tokens":null"#), (Some(50), Some(50)));
        assert_eq!(capped(r#","max_tokens":7"#), (Some(7), None));
    }

    proptest! {
        #[test]
        fn rewrite_of_any_body_changes_only_its_fields(model in r"m\PC{0,12}", other in "m.{0,12}", rest in any::<Vec<String>>(), stream in any::<bool>()) {
            let mut body = json!({"a": rest, "model": model, "messages": rest, "z": {"model": "inner"}});
            if stream {
                body["stream"] = json!(true);
            }
            let text = body.to_string();
            let request = Request::parse(ChatCompletions, text.as_bytes()).expect("the body is right");
            assert_eq!(&request.model, &model);
            assert_eq!(serde_json::from_str::<Value>(&text[request.content.clone()]).expect("the place is right"), json!(rest));
            let changed = request.rewrite(text.as_bytes(), Changes { model: Some(&other), ask_for_usage: true, ..Changes::default() }).unwrap_or(text.into_bytes());
            body["model"] = json!(other);
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
            assert_eq!(serde_json::from_slice::<Value>(&changed).expect("still JSON"), body);
        }
    }
}
