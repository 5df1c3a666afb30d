//! Response in the caller's protocol: the outermost layer of a response.
//!
//! All layers below it read and write Chat, except for an answer that passes in the caller's own protocol.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use protocol::AnswerContext;
use protocol::failure;
use protocol::model::Protocol;
use protocol::rate_limit::request_id_header;

use crate::host::body::Body;
use crate::request::headers::is_event_stream;
use crate::upstream::translated_stream::translate_stream;

/// Puts a response whose body is in one protocol into the caller's protocol. `context` has the facts for the
/// writer of an answer.
pub(crate) fn apply(
    response: http::Response<Body>,
    (from, caller): (Protocol, Protocol),
    context: impl FnOnce() -> AnswerContext,
) -> http::Response<Body> {
    let (mut parts, body) = response.into_parts();
    let id = parts.headers.get(X_REQUEST_ID).cloned();
    if let (Some(name), Some(id)) = (request_id_header(caller), &id) {
        parts.headers.insert(HeaderName::from_static(name), id.clone());
    }
    if from == caller {
        return http::Response::from_parts(parts, body);
    }
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    let body = match body {
        // The caller of an error needs one, even if the provider has sent no body.
        Body::Empty if parts.status.is_success() => Body::Empty,
        whole @ (Body::Empty | Body::Whole(_)) if !is_stream => {
            let whole = if let Body::Whole(whole) = whole { whole } else { Bytes::new() };
            let answer = match parts.status.is_success() {
                true => write_answer(&whole, (from, caller), &context()),
                false => None,
            };
            let written = answer.unwrap_or_else(|| {
                if parts.status.is_success() {
                    parts.status = StatusCode::BAD_GATEWAY;
                }
                let id = id.as_ref().and_then(|id| id.to_str().ok());
                write_error(&whole, (from, caller), parts.status.as_u16(), id)
            });
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::from(written)
        }
        Body::Empty => Body::Empty,
        events @ (Body::Whole(_) | Body::Stream(_)) => {
            translate_stream(Bytes::new(), events, (from, caller), context())
        }
    };
    http::Response::from_parts(parts, body)
}

/// Writes an answer. `None` if the body is none, or if the caller's protocol cannot express it.
fn write_answer(
    body: &[u8],
    (from, caller): (Protocol, Protocol),
    context: &AnswerContext,
) -> Option<Bytes> {
    let answer = protocol::answer::read(from, body).ok()?;
    Some(protocol::answer::write(caller, &answer, context).ok()?.body.into())
}

/// Writes an error. Its status stays.
fn write_error(
    body: &[u8],
    (from, caller): (Protocol, Protocol),
    status: u16,
    id: Option<&str>,
) -> Bytes {
    let mut failure = failure::from_body(status, body);
    if from != Protocol::Chat {
        // Names of types and codes belong to the provider's protocol.
        failure.code = None;
    }
    failure::body(&failure, caller, id).into()
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use protocol::AnswerContext;
    use protocol::model::Protocol::{Chat, Messages};

    use super::apply;
    use crate::host::body::Body;
    use crate::testing::fake_host::block_on;

    #[track_caller]
    fn assert_form(status: StatusCode, body: &'static str, expected: (StatusCode, &str)) {
        let mut response = http::Response::new(Body::from(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        response.headers_mut().insert("x-request-id", "one".parse().expect("a value"));
        let response = apply(response, (Chat, Messages), AnswerContext::default);
        assert_eq!(response.headers()["request-id"], "one");
        assert_eq!(response.status(), expected.0);
        let body = block_on(response.into_body().collect(1 << 20)).expect("whole");
        let body = str::from_utf8(&body).expect("text");
        assert!(body.contains(expected.1), "{body}");
    }

    #[test]
    fn response_has_the_form_of_the_caller() {
        let ok = StatusCode::OK;
        let answer = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
        assert_form(ok, answer, (ok, r#""stop_reason":"end_turn""#));
        let calls = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"no JSON"}}]},"finish_reason":"tool_calls"}]}"#;
        assert_form(ok, calls, (StatusCode::BAD_GATEWAY, r#""type":"api_error""#));
        let large = StatusCode::PAYLOAD_TOO_LARGE;
        assert_form(large, "", (large, r#""type":"request_too_large""#));
    }
}
