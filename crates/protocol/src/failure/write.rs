//! Writing of errors.

use std::borrow::Cow;

use super::class::says_too_long;
use crate::json_text::JsonText;
use crate::model::{Failure, FailureClass, Protocol};
use crate::sse::write_event;

/// Error body in the caller's protocol. The body of Messages holds the id of the request
/// (Anthropic, "Errors"); OpenAI's does not (OpenAI, "Error codes").
pub fn body(failure: &Failure<'_>, caller: Protocol, request_id: Option<&str>) -> Vec<u8> {
    let mut json = JsonText::with_capacity(failure.message.len() + 160);
    json.begin_object();
    if caller == Protocol::Messages {
        json.text_member("type", "error");
    }
    json.name("error");
    write_object(&mut json, failure, caller);
    if caller == Protocol::Messages {
        json.optional_text_member("request_id", request_id);
    }
    json.end_object();
    json.into_bytes()
}

/// Event of a stream that failed, in the caller's protocol. `sequence_number` is for Responses.
///
/// Responses gets the error twice in one object: nested as OpenAI sends it, which the official
/// clients raise, and flat as the reference has it (OpenAI API reference, "Streaming events",
/// `error`; github.com/vercel/ai/issues/20179).
pub fn event(failure: &Failure<'_>, caller: Protocol, sequence_number: u64, out: &mut Vec<u8>) {
    match caller {
        Protocol::Chat => write_event(None, &body(failure, caller, None), out),
        Protocol::Messages => write_event(Some("error"), &body(failure, caller, None), out),
        Protocol::Responses => {
            let mut json = JsonText::with_capacity(2 * failure.message.len() + 240);
            json.begin_object();
            json.text_member("type", "error");
            json.number_member("sequence_number", sequence_number);
            json.name("error");
            write_object(&mut json, failure, caller);
            json.optional_text_member("code", code(failure));
            json.text_member("message", &failure.message);
            json.optional_text_member("param", failure.param.as_deref());
            json.end_object();
            write_event(Some("error"), &json.into_bytes(), out);
        }
    }
}

/// Writes the error object.
fn write_object(json: &mut JsonText, failure: &Failure<'_>, caller: Protocol) {
    json.begin_object();
    if caller == Protocol::Messages {
        json.text_member("type", messages_type(failure));
        json.text_member("message", &messages_message(failure));
    } else {
        json.text_member("message", &failure.message);
        json.text_member("type", openai_type(failure.class));
        json.optional_text_member("param", failure.param.as_deref());
        json.optional_text_member("code", code(failure));
    }
    json.end_object();
}

/// Code of OpenAI's protocols. A code that is not of the class comes from the gateway or the
/// provider and says more.
pub(crate) fn code<'f>(failure: &'f Failure<'_>) -> Option<&'f str> {
    let of_class = match failure.class {
        // These keep their meaning for clients that act on them.
        FailureClass::TooLong => return Some("context_length_exceeded"),
        FailureClass::Unauthenticated => Some("invalid_api_key"),
        FailureClass::OutOfCredit => Some("insufficient_quota"),
        FailureClass::NotFound => Some("model_not_found"),
        FailureClass::TooLarge => Some("request_too_large"),
        FailureClass::RateLimited => Some("rate_limit_exceeded"),
        FailureClass::Overloaded => Some("server_is_overloaded"),
        FailureClass::Timeout => Some("upstream_timeout"),
        FailureClass::Upstream => Some("upstream_error"),
        FailureClass::BadRequest
        | FailureClass::Forbidden
        | FailureClass::Conflict
        | FailureClass::Internal => None,
    };
    failure.code.as_deref().or(of_class)
}

fn openai_type(class: FailureClass) -> &'static str {
    match class {
        FailureClass::BadRequest
        | FailureClass::TooLong
        | FailureClass::Conflict
        | FailureClass::NotFound
        | FailureClass::TooLarge => "invalid_request_error",
        FailureClass::Unauthenticated => "authentication_error",
        FailureClass::Forbidden => "permission_error",
        FailureClass::OutOfCredit => "insufficient_quota",
        FailureClass::RateLimited => "rate_limit_error",
        FailureClass::Overloaded => "service_unavailable_error",
        FailureClass::Timeout | FailureClass::Upstream | FailureClass::Internal => "server_error",
    }
}

fn messages_type(failure: &Failure<'_>) -> &'static str {
    match failure.class {
        FailureClass::BadRequest | FailureClass::TooLong => "invalid_request_error",
        FailureClass::Unauthenticated => "authentication_error",
        FailureClass::Forbidden => "permission_error",
        FailureClass::OutOfCredit => "billing_error",
        FailureClass::NotFound => "not_found_error",
        FailureClass::Conflict => "conflict_error",
        FailureClass::TooLarge => "request_too_large",
        FailureClass::RateLimited => "rate_limit_error",
        FailureClass::Overloaded => "overloaded_error",
        FailureClass::Timeout => "timeout_error",
        FailureClass::Upstream | FailureClass::Internal => "api_error",
    }
}

/// Sentence of Messages, which has no codes. Agents compact a conversation when they read `prompt
/// is too long`.
fn messages_message<'f>(failure: &'f Failure<'_>) -> Cow<'f, str> {
    let message = &*failure.message;
    if failure.class == FailureClass::TooLong && !message.contains("prompt is too long") {
        return match too_long_counts(message) {
            Some((tokens, maximum)) => {
                format!("prompt is too long: {tokens} tokens > {maximum} maximum").into()
            }
            None => format!("prompt is too long: {message}").into(),
        };
    }
    match (failure.code.as_deref(), failure.param.as_deref()) {
        (Some("untranslatable"), Some(path)) => format!("untranslatable: {path}: {message}").into(),
        _ => Cow::Borrowed(message),
    }
}

/// Counts of a sentence about length: the prompt's tokens, and the maximum. `None` unless the
/// sentence has exactly two different counts of more than three digits: the larger is the prompt's.
fn too_long_counts(message: &str) -> Option<(u64, u64)> {
    if !says_too_long(message) {
        return None;
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let counts = message.split(|c| !is_digit(c)).filter(|run| run.len() > 3);
    let mut counts: Vec<u64> = counts.map_while(|run| run.parse().ok()).take(8).collect();
    counts.sort_unstable();
    counts.dedup();
    match counts[..] {
        [maximum, tokens] => Some((tokens, maximum)),
        _ => None,
    }
}
