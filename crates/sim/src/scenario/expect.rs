//! What a scenario expects, checked against what was seen: pure, so that every edge's runner uses it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::subset::{differences, value_at};
use super::transcript::Transcript;

/// What is expected of one answer. What is not set is not checked, but for two things: a body
/// never breaks off at the level of the host, and there is one record at most.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The status.
    pub status: Option<u16>,
    /// Exact values; `""` must be absent, `"*"` must be there.
    pub headers: BTreeMap<String, String>,
    /// Part of a JSON body.
    pub body: Option<Value>,
    /// The body, byte for byte.
    pub body_exact: Option<String>,
    /// Content put together, of a stream or of an answer in one piece.
    pub text: Option<String>,
    /// How the stream went.
    pub events: Option<EventsExpect>,
    /// Parts of the record, by dotted path; `""` is absent, null or empty, `"*"` is anything else.
    pub record: BTreeMap<String, Value>,
    /// The body may break off: where nothing better can be done.
    pub may_break: bool,
}

/// What is expected of a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsExpect {
    /// How many there are, comments not counted.
    pub count: Option<usize>,
    /// The data of the last.
    pub last: Option<String>,
    /// The `code` of the error event; `""` for a stream without one.
    pub error_code: Option<String>,
    /// Whether one says `[DONE]`.
    pub contains_done: Option<bool>,
    /// Whether the caller saw usage.
    pub usage_visible: Option<bool>,
    /// The last `finish_reason`; `""` for none.
    pub finish_reason: Option<String>,
}

/// What was seen of one answer.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The status; none where the caller left before the head.
    pub status: Option<u16>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as far as it came.
    pub body: Bytes,
    /// How the body broke off, if it did.
    pub broken: Option<String>,
    /// The caller went away, so that the answer may be incomplete.
    pub hung_up: bool,
    /// The records of this request, where the edge can see them.
    pub records: Option<Vec<Value>>,
}

impl Expect {
    /// Compares. The error has one line for each difference.
    pub fn check(&self, seen: &Observed) -> Result<(), String> {
        let mut found = Vec::new();
        if let Some(status) = self.status.filter(|status| Some(*status) != seen.status) {
            let body = excerpt(&seen.body);
            found.push(format!("status: expected {status}, found {:?} with {body}", seen.status));
        }
        if let Some(broken) = seen.broken.as_ref().filter(|_| !self.may_break && !seen.hung_up) {
            found.push(format!("body: broke off after {} bytes: {broken}", seen.body.len()));
        }
        check_headers(&self.headers, &seen.headers, &mut found);
        check_body(self.body.as_ref(), self.body_exact.as_deref(), &seen.body, &mut found);
        let content_type = seen.headers.get("content-type").and_then(|value| value.to_str().ok());
        let transcript = Transcript::parse(content_type.unwrap_or_default(), &seen.body);
        check_equal("text", self.text.as_ref(), &transcript.text, &mut found);
        if let Some(events) = &self.events {
            events.check(&transcript, &mut found);
        }
        if let Some(records) = &seen.records {
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
    fn check(&self, seen: &Transcript, found: &mut Vec<String>) {
        let last = seen.events.last().cloned().unwrap_or_default();
        check_equal("events.count", self.count.as_ref(), &seen.events.len(), found);
        check_equal("events.last", self.last.as_ref(), &last, found);
        check_equal(
            "events.contains_done",
            self.contains_done.as_ref(),
            &seen.contains_done(),
            found,
        );
        check_equal(
            "events.usage_visible",
            self.usage_visible.as_ref(),
            &seen.usage.is_some(),
            found,
        );
        let reason = seen.finish_reasons.last().cloned().unwrap_or_default();
        check_equal("events.finish_reason", self.finish_reason.as_ref(), &reason, found);
        if let Some(code) = &self.error_code {
            let expected = (!code.is_empty()).then_some(code);
            if expected != seen.error_code.as_ref() {
                found.push(format!(
                    "events.error_code: expected {code:?}, found {:?}",
                    seen.error_code
                ));
            }
        }
    }
}

pub(super) fn check_headers(
    expected: &BTreeMap<String, String>,
    seen: &HeaderMap,
    found: &mut Vec<String>,
) {
    for (name, expected) in expected {
        let values: Vec<_> = seen
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
    seen: &T,
    found: &mut Vec<String>,
) {
    if let Some(expected) = expected.filter(|expected| *expected != seen) {
        found.push(format!("{place}: expected {expected:?}, found {seen:?}"));
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

    fn seen() -> Observed {
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

    /// Checks how many differences an expectation finds.
    #[track_caller]
    fn assert_differences(expect: &str, differences: usize) {
        let expect: Expect = toml::from_str(expect).expect("an expectation");
        let found = expect.check(&seen()).err().unwrap_or_default();
        assert_eq!(found.lines().count(), differences, "{found}");
    }

    #[test]
    fn what_is_right_passes_and_what_is_wrong_is_told() {
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
    fn a_record_too_many_and_a_broken_body_are_differences() {
        let expect = Expect::default();
        let twice = Observed { records: Some(vec![json!({}), json!({})]), ..seen() };
        assert!(expect.check(&twice).is_err());
        let broken = Observed { broken: Some("reset".to_owned()), ..seen() };
        assert!(expect.check(&broken).is_err());
        assert!(expect.check(&Observed { hung_up: true, ..broken }).is_ok());
    }
}
