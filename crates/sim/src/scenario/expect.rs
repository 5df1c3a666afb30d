//! Comparison of an observed response with the expectations of a scenario. Pure, so that the runner of every
//! edge uses it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::subset::{differences, value_at};
use super::transcript::Transcript;

/// Expectations about one response. Fields that are not set are not checked, with two exceptions: a body
/// never breaks off at the level of the host, and there is at most one record.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    pub status: Option<u16>,
    /// Headers by name: an exact value, `""` for an absent header, `"*"` for any value.
    pub headers: BTreeMap<String, String>,
    /// Expected part of a JSON body.
    pub body: Option<Value>,
    pub body_exact: Option<String>,
    /// Concatenated content of a stream or a JSON response.
    pub text: Option<String>,
    /// Expectations about the events of a stream.
    pub events: Option<EventsExpect>,
    /// Values of the record by dotted path. `""` matches an absent, null, or empty value, `"*"` any other.
    pub record: BTreeMap<String, Value>,
    /// Whether the body may break off, for cases without a better outcome.
    pub may_break: bool,
}

/// Expectations about a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsExpect {
    /// Number of events, without comments.
    pub count: Option<usize>,
    /// Data of the last event.
    pub last: Option<String>,
    /// `code` of the error event; `""` for a stream without one.
    pub error_code: Option<String>,
    /// Whether the data of an event is `[DONE]`.
    pub contains_done: Option<bool>,
    /// Whether the response contains usage.
    pub usage_visible: Option<bool>,
    /// Last `finish_reason`, `stop_reason` of Messages, or `status` of Responses; `""` for none.
    pub finish_reason: Option<String>,
    /// `type` of the events of Messages or Responses, equal neighbors once, separated by spaces.
    pub types: Option<String>,
}

/// Response as it was observed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Status; `None` if the caller hung up before the head.
    pub status: Option<u16>,
    pub headers: HeaderMap,
    /// Body as far as it arrived.
    pub body: Bytes,
    /// Reason for which the body broke off; `None` if it did not.
    pub broken: Option<String>,
    /// Whether the caller hung up, so that the response may be incomplete.
    pub hung_up: bool,
    /// Records of this request; `None` if the edge cannot read them.
    pub records: Option<Vec<Value>>,
}

impl Expect {
    /// Compares an observed response. The error has one line for each difference.
    pub fn check(&self, observed: &Observed) -> Result<(), String> {
        let mut found = Vec::new();
        if let Some(status) = self.status.filter(|status| Some(*status) != observed.status) {
            let body = excerpt(&observed.body);
            found.push(format!(
                "status: expected {status}, found {:?} with {body}",
                observed.status
            ));
        }
        if let Some(broken) =
            observed.broken.as_ref().filter(|_| !self.may_break && !observed.hung_up)
        {
            found.push(format!("body: broke off after {} bytes: {broken}", observed.body.len()));
        }
        check_headers(&self.headers, &observed.headers, &mut found);
        check_body(self.body.as_ref(), self.body_exact.as_deref(), &observed.body, &mut found);
        let content_type =
            observed.headers.get("content-type").and_then(|value| value.to_str().ok());
        let transcript = Transcript::parse(content_type.unwrap_or_default(), &observed.body);
        check_equal("text", self.text.as_ref(), &transcript.text, &mut found);
        if let Some(events) = &self.events {
            events.check(&transcript, &mut found);
        }
        if let Some(records) = &observed.records {
            self.check_records(records, &mut found);
        }
        to_result(found)
    }

    fn check_records(&self, records: &[Value], found: &mut Vec<String>) {
        let [record] = records else {
            if !(self.record.is_empty() && records.is_empty()) {
                found.push(format!("record: expected one, found {}: {records:?}", records.len()));
            }
            return;
        };
        for (path, expected) in &self.record {
            let actual = value_at(record, path);
            let is_nothing =
                actual.is_null() || actual == "" || actual.as_array().is_some_and(Vec::is_empty);
            if expected == "" {
                if !is_nothing {
                    found.push(format!("record.{path}: expected nothing, found {actual}"));
                }
            } else {
                differences(&format!("record.{path}"), expected, actual, found);
            }
        }
    }
}

impl EventsExpect {
    fn check(&self, observed: &Transcript, found: &mut Vec<String>) {
        let last = observed.events.last().cloned().unwrap_or_default();
        check_equal("events.count", self.count.as_ref(), &observed.events.len(), found);
        check_equal("events.last", self.last.as_ref(), &last, found);
        check_equal(
            "events.contains_done",
            self.contains_done.as_ref(),
            &observed.contains_done(),
            found,
        );
        check_equal(
            "events.usage_visible",
            self.usage_visible.as_ref(),
            &observed.usage.is_some(),
            found,
        );
        check_equal("events.types", self.types.as_ref(), &observed.types.join(" "), found);
        let reason = observed.finish_reasons.last().cloned().unwrap_or_default();
        check_equal("events.finish_reason", self.finish_reason.as_ref(), &reason, found);
        if let Some(code) = &self.error_code {
            let expected = (!code.is_empty()).then_some(code);
            if expected != observed.error_code.as_ref() {
                found.push(format!(
                    "events.error_code: expected {code:?}, found {:?}",
                    observed.error_code
                ));
            }
        }
    }
}

pub(super) fn check_headers(
    expected: &BTreeMap<String, String>,
    observed: &HeaderMap,
    found: &mut Vec<String>,
) {
    for (name, expected) in expected {
        let values: Vec<_> = observed
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let is_right = match expected.as_str() {
            "" => values.is_empty(),
            "*" => !values.is_empty(),
            exact => values == [exact],
        };
        if !is_right {
            found.push(format!("headers.{name}: expected {expected:?}, found {values:?}"));
        }
    }
}

pub(super) fn check_body(
    part: Option<&Value>,
    exact: Option<&str>,
    body: &[u8],
    found: &mut Vec<String>,
) {
    if let Some(exact) = exact.filter(|exact| exact.as_bytes() != body) {
        found.push(format!("body: expected {exact:?}, found {:?}", String::from_utf8_lossy(body)));
    }
    let Some(part) = part else { return };
    match serde_json::from_slice(body) {
        Ok(body) => differences("body", part, &body, found),
        Err(error) => found.push(format!("body: not JSON ({error}): {}", excerpt(body))),
    }
}

pub(super) fn check_equal<T: PartialEq + std::fmt::Debug>(
    place: &str,
    expected: Option<&T>,
    observed: &T,
    found: &mut Vec<String>,
) {
    if let Some(expected) = expected.filter(|expected| *expected != observed) {
        found.push(format!("{place}: expected {expected:?}, found {observed:?}"));
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    if body.is_empty() { "no body".to_owned() } else { format!("the body {text:?}") }
}

pub(super) fn to_result(found: Vec<String>) -> Result<(), String> {
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::{Expect, Observed};

    fn observed() -> Observed {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        headers.insert("x-serin-attempts", HeaderValue::from_static("2"));
        Observed {
            status: Some(200),
            headers,
            body: Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"),
            records: Some(vec![json!({"route": "chat", "tokens": {"counted": "reported"}, "error": null})]),
            ..Observed::default()
        }
    }

    /// Asserts the number of differences.
    #[track_caller]
    fn assert_differences(expect: &str, differences: usize) {
        let expect: Expect = toml::from_str(expect).expect("an expectation");
        let found = expect.check(&observed()).err().unwrap_or_default();
        assert_eq!(found.lines().count(), differences, "{found}");
    }

    #[test]
    fn check_lists_each_difference() {
        assert_differences(
            "status = 200\ntext = 'Hi'\nheaders = { x-serin-attempts = '2', retry-after = '', content-type = '*' }",
            0,
        );
        assert_differences(
            "status = 502\ntext = 'Ho'\nheaders = { x-serin-attempts = '1', retry-after = '*', content-type = '' }",
            5,
        );
        assert_differences(
            "events = { count = 2, last = '[DONE]', error_code = '', contains_done = true, usage_visible = false, finish_reason = 'stop' }",
            0,
        );
        assert_differences(
            "events = { count = 1, last = 'x', error_code = 'y', contains_done = false, usage_visible = true, finish_reason = '' }",
            6,
        );
        assert_differences(
            "record = { route = 'chat', 'tokens.counted' = 'reported', error = '' }",
            0,
        );
        assert_differences(
            "record = { route = '', 'tokens.counted' = 'estimated', error = '*' }",
            3,
        );
        assert_differences("body = { a = 1 }", 1);
        assert_differences("body_exact = 'x'", 1);
    }

    #[test]
    fn check_of_two_records_or_a_broken_body_fails() {
        let expect = Expect::default();
        let twice = Observed { records: Some(vec![json!({}), json!({})]), ..observed() };
        assert!(expect.check(&twice).is_err());
        let broken = Observed { broken: Some("reset".to_owned()), ..observed() };
        assert!(expect.check(&broken).is_err());
        assert!(expect.check(&Observed { hung_up: true, ..broken }).is_ok());
    }
}
