//! Changes of a body that stays in its protocol.

use json::{Edits, range_in};
use serde_json::value::RawValue;

use crate::members::{count, each_member, pick_in};
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
    /// Whether the provider must not store the answer (Responses).
    pub stores_nothing: bool,
}

/// Smallest budget of thinking (Anthropic, "Extended thinking").
const MIN_THINKING_TOKENS: u64 = 1_024;

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
    let mut thinking: Option<&RawValue> = None;
    let mut store: Option<&RawValue> = None;
    let mut is_empty = true;
    each_member(text, &mut |name, value| {
        is_empty = false;
        match name {
            "model" => model = Some(value),
            "previous_response_id" => previous = Some(value),
            "thinking" => thinking = Some(value),
            "store" => store = Some(value),
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
        let maximum_set = asked.map_or(bound, |asked| asked.min(bound));
        set(max_name, maximum, maximum_set.to_string());
        if protocol == Protocol::Messages
            && let Some(raw) = thinking
            && let Some(lowered) = lowered_thinking(raw, maximum_set)
        {
            set("thinking", thinking, lowered);
        }
    }
    if protocol == Protocol::Responses && changes.stores_nothing {
        set("store", store, "false".to_owned());
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

/// Returns settings of thinking whose budget fits below a maximum, which the answer needs too. `None` if they
/// fit already.
fn lowered_thinking(thinking: &RawValue, maximum: u64) -> Option<String> {
    let [budget] = pick_in(Some(thinking), ["budget_tokens"]);
    let tokens = count(budget).filter(|tokens| *tokens >= maximum)?;
    let lowered = tokens.min(maximum / 2);
    if lowered < MIN_THINKING_TOKENS {
        return Some(r#"{"type":"disabled"}"#.to_owned());
    }
    let mut edits = Edits::default();
    edits.replace(range_in(thinking.get(), budget?.get()), lowered.to_string());
    Some(edits.apply_to_text(thinking.get()))
}

#[cfg(test)]
mod tests {
    use super::{BodyChanges, rewrite};
    use crate::model::Protocol::{self, Chat, Messages, Responses};

    #[track_caller]
    fn assert_rewritten(protocol: Protocol, body: &str, max_tokens: Option<u64>, expected: &str) {
        let changes = BodyChanges {
            model: Some("b"),
            max_tokens,
            previous_response_id: Some("resp_1"),
            stores_nothing: false,
        };
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
    fn thinking_fits_below_the_maximum() {
        let body = |max: u64, thinking: &str| {
            format!(r#"{{"model":"b","max_tokens":{max},"thinking":{thinking}}}"#)
        };
        let enabled = |budget: u64| format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#);
        for (bound, budget, expected) in [
            (5_000, 4_000, enabled(4_000)),
            (5_000, 8_000, enabled(2_500)),
            (2_000, 8_000, r#"{"type":"disabled"}"#.to_owned()),
        ] {
            let expected = body(bound, &expected);
            assert_rewritten(Messages, &body(9_000, &enabled(budget)), Some(bound), &expected);
        }
        let adaptive = r#"{"type":"adaptive"}"#;
        assert_rewritten(Messages, &body(9_000, adaptive), Some(50), &body(50, adaptive));
    }

    #[test]
    fn answer_is_not_stored() {
        let changes = BodyChanges { stores_nothing: true, ..BodyChanges::default() };
        for (body, expected) in [
            (r#"{"input":""}"#, Some(r#"{"store":false,"input":""}"#)),
            (r#"{"store":true}"#, Some(r#"{"store":false}"#)),
            (r#"{"store":false}"#, None),
        ] {
            let found = rewrite(Responses, body.as_bytes(), changes);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{body}");
        }
    }

    #[test]
    fn chat_and_other_json_stay() {
        for (protocol, body) in [(Chat, "{}"), (Messages, "[]"), (Messages, "{"), (Responses, "")] {
            assert_rewritten(protocol, body, Some(1), body);
        }
    }
}
