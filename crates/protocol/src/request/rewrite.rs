//! Changes of a body that stays in its protocol.

use std::ops::Range;

use json::{Edits, range_in};

use crate::members::{count, each_member, pick};
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

/// Places of the members that changes touch, in the bytes of one body.
#[derive(Clone, Debug)]
pub struct BodyPlaces {
    protocol: Protocol,
    model: Option<Range<usize>>,
    maximum: Option<Range<usize>>,
    previous: Option<Range<usize>>,
    thinking: Option<Range<usize>>,
    store: Option<Range<usize>>,
    /// Byte behind the first bracket.
    start: usize,
    is_empty: bool,
}

impl BodyPlaces {
    /// Finds the places in a body of Responses or Messages. `None` if the body is not an object.
    pub fn find(protocol: Protocol, body: &[u8]) -> Option<Self> {
        let text = str::from_utf8(body).ok()?;
        if protocol == Protocol::Chat {
            return None;
        }
        let start = text.find('{')? + 1;
        let (model, maximum, previous, thinking, store) = (None, None, None, None, None);
        let is_empty = true;
        let mut places =
            Self { protocol, model, maximum, previous, thinking, store, start, is_empty };
        each_member(text, &mut |name, value| {
            places.is_empty = false;
            let place = match name {
                "model" => &mut places.model,
                "previous_response_id" => &mut places.previous,
                "thinking" => &mut places.thinking,
                "store" => &mut places.store,
                name if name == maximum_name(protocol) => &mut places.maximum,
                _ => return,
            };
            *place = Some(range_in(text, value.get()));
        })?;
        Some(places)
    }
}

/// Name of the member that bounds the answer.
fn maximum_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Chat => "max_completion_tokens",
        Protocol::Responses => "max_output_tokens",
        Protocol::Messages => "max_tokens",
    }
}

/// Returns a body of Responses or Messages with the changes. `None` if nothing changes, or if the body
/// is not an object. All other bytes stay.
pub fn rewrite(protocol: Protocol, body: &[u8], changes: BodyChanges<'_>) -> Option<Vec<u8>> {
    rewrite_at(&BodyPlaces::find(protocol, body)?, body, changes)
}

/// Returns a body as [`rewrite`] does, without a reading: `places` are those in the same bytes.
pub fn rewrite_at(places: &BodyPlaces, body: &[u8], changes: BodyChanges<'_>) -> Option<Vec<u8>> {
    let protocol = places.protocol;
    let value = |place: &Option<Range<usize>>| body.get(place.clone()?);
    let mut edits = Edits::default();
    let mut inserted: Vec<String> = Vec::new();
    let mut set = |name: &str, place: &Option<Range<usize>>, new: String| match place {
        Some(_) if value(place) == Some(new.as_bytes()) => {}
        Some(place) => edits.replace(place.clone(), new),
        None => inserted.push(format!("\"{name}\":{new}")),
    };
    if let Some(bound) = changes.max_tokens {
        let asked = value(&places.maximum).and_then(|text| str::from_utf8(text).ok());
        let asked = asked.and_then(|text| text.parse::<u64>().ok()).filter(|asked| *asked > 0);
        let maximum_set = asked.map_or(bound, |asked| asked.min(bound));
        set(maximum_name(protocol), &places.maximum, maximum_set.to_string());
        if protocol == Protocol::Messages
            && let Some(text) = value(&places.thinking).and_then(|text| str::from_utf8(text).ok())
            && let Some(lowered) = lowered_thinking(text, maximum_set)
        {
            set("thinking", &places.thinking, lowered);
        }
    }
    if protocol == Protocol::Responses && changes.stores_nothing {
        set("store", &places.store, "false".to_owned());
    }
    if let Some(name) = changes.model {
        let name = serde_json::to_string(name).expect("a string always serializes");
        set("model", &places.model, name);
    }
    if let (Some(id), Some(_)) = (changes.previous_response_id, &places.previous) {
        let id = serde_json::to_string(id).expect("a string always serializes");
        set("previous_response_id", &places.previous, id);
    }
    if !inserted.is_empty() {
        let comma = if places.is_empty { "" } else { "," };
        edits.replace(places.start..places.start, inserted.join(",") + comma);
    }
    (!edits.is_empty()).then(|| edits.apply(body))
}

/// Returns settings of thinking whose budget fits below a maximum, which the answer needs too. `None` if they
/// fit already.
fn lowered_thinking(thinking: &str, maximum: u64) -> Option<String> {
    let [budget] = pick(thinking, ["budget_tokens"])?;
    let tokens = count(budget).filter(|tokens| *tokens >= maximum)?;
    let lowered = tokens.min(maximum / 2);
    if lowered < MIN_THINKING_TOKENS {
        return Some(r#"{"type":"disabled"}"#.to_owned());
    }
    let mut edits = Edits::default();
    edits.replace(range_in(thinking, budget?.get()), lowered.to_string());
    Some(edits.apply_to_text(thinking))
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
