//! Changes of a body that stays in its protocol.

use json::{Edits, range_in};
use serde_json::value::RawValue;

use crate::members::each_member;
use crate::model::Protocol;

/// Changes of a body for a target that speaks the caller's protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyChanges<'a> {
    /// Name of the model at the provider; `None` keeps the caller's.
    pub model: Option<&'a str>,
    /// Upper bound on the maximum number of tokens; `None` keeps the caller's.
    pub max_tokens: Option<u64>,
    /// Id of the response that the request continues (Responses); `None` keeps the caller's.
    pub previous_response_id: Option<&'a str>,
}

/// Returns a body of Responses or Messages with the changes. `None` if nothing changes, or if the body
/// is not an object. All other bytes stay.
pub fn rewrite(protocol: Protocol, body: &[u8], changes: BodyChanges<'_>) -> Option<Vec<u8>> {
    let text = str::from_utf8(body).ok()?;
    let max_name = match protocol {
        Protocol::Chat => return None,
        Protocol::Responses => "max_output_tokens",
        Protocol::Messages => "max_tokens",
    };
    let mut model: Option<&RawValue> = None;
    let mut maximum: Option<&RawValue> = None;
    let mut previous: Option<&RawValue> = None;
    let mut is_empty = true;
    each_member(text, &mut |name, value| {
        is_empty = false;
        match name {
            "model" => model = Some(value),
            "previous_response_id" => previous = Some(value),
            name if name == max_name => maximum = Some(value),
            _ => {}
        }
    })?;
    let mut edits = Edits::default();
    let mut inserted: Vec<String> = Vec::new();
    let mut set = |name: &str, found: Option<&RawValue>, value: String| match found {
        Some(raw) if raw.get() == value => {}
        Some(raw) => edits.replace(range_in(text, raw.get()), value),
        None => inserted.push(format!("\"{name}\":{value}")),
    };
    if let Some(bound) = changes.max_tokens {
        let asked =
            maximum.and_then(|raw| raw.get().parse::<u64>().ok()).filter(|asked| *asked > 0);
        set(max_name, maximum, asked.map_or(bound, |asked| asked.min(bound)).to_string());
    }
    if let Some(name) = changes.model {
        set("model", model, serde_json::to_string(name).expect("a string always serializes"));
    }
    if let (Some(id), Some(_)) = (changes.previous_response_id, previous) {
        let id = serde_json::to_string(id).expect("a string always serializes");
        set("previous_response_id", previous, id);
    }
    if !inserted.is_empty() {
        let start = text.find('{')? + 1;
        let comma = if is_empty { "" } else { "," };
        edits.replace(start..start, inserted.join(",") + comma);
    }
    (!edits.is_empty()).then(|| edits.apply(body))
}

#[cfg(test)]
mod tests {
    use super::{BodyChanges, rewrite};
    use crate::model::Protocol::{self, Chat, Messages, Responses};

    #[track_caller]
    fn assert_rewritten(protocol: Protocol, body: &str, max_tokens: Option<u64>, expected: &str) {
        let changes =
            BodyChanges { model: Some("b"), max_tokens, previous_response_id: Some("resp_1") };
        let found = rewrite(protocol, body.as_bytes(), changes);
        let found = found.map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(found.as_deref().unwrap_or(body), expected);
    }

    #[test]
    fn model_and_maximum_are_replaced_in_place() {
        let body = r#" { "model" : "a", "max_tokens": 900, "x" : 1.00 }"#;
        let expected = r#" { "model" : "b", "max_tokens": 50, "x" : 1.00 }"#;
        assert_rewritten(Messages, body, Some(50), expected);
        assert_rewritten(
            Messages,
            r#"{"model":"b","max_tokens":9}"#,
            Some(50),
            r#"{"model":"b","max_tokens":9}"#,
        );
        assert_rewritten(Messages, r#"{"model":"b"}"#, None, r#"{"model":"b"}"#);
    }

    #[test]
    fn absent_members_are_inserted() {
        let expected = r#"{"max_output_tokens":50,"model":"b","input":""}"#;
        assert_rewritten(Responses, r#"{"input":""}"#, Some(50), expected);
        assert_rewritten(Responses, "{}", Some(50), r#"{"max_output_tokens":50,"model":"b"}"#);
        assert_rewritten(Responses, r#"{"model":null}"#, None, r#"{"model":"b"}"#);
    }

    #[test]
    fn reference_is_replaced_and_never_inserted() {
        let body = r#"{"previous_response_id":"resp_1.tag","model":"b"}"#;
        assert_rewritten(Responses, body, None, r#"{"previous_response_id":"resp_1","model":"b"}"#);
    }

    #[test]
    fn chat_and_other_json_stay() {
        for (protocol, body) in [(Chat, "{}"), (Messages, "[]"), (Messages, "{"), (Responses, "")] {
            assert_rewritten(protocol, body, Some(1), body);
        }
    }
}
