//! Headers that the gateway adds to responses.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};
use json::percent::{self, PRINTABLE_ASCII};

use crate::host::Host;
use crate::host::body::Body;
use crate::telemetry::request_scope::RequestScope;

/// Keeps proxies from buffering or transforming a stream.
pub(crate) fn disable_buffering(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Converts a text to a header's value. Bytes that it cannot hold become `%XX`: model names may be
/// in Chinese.
fn header_value(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    percent::encode(text, &PRINTABLE_ASCII, &mut encoded);
    HeaderValue::try_from(encoded).expect("printable ASCII")
}

/// Adds the headers about the gateway's handling of the request.
pub(crate) fn add_gateway_headers<P: Host>(
    response: &mut http::Response<Body>,
    scope: &RequestScope<P>,
) {
    let record = scope.record();
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        headers.insert(HeaderName::from_static(name), header_value(value));
    };
    set("x-request-id", &record.id);
    if let Some(route) = &record.route {
        set("x-serin-route", route);
        set("x-serin-attempts", &record.attempts.len().to_string());
    }
    if let Some(target) = &record.target {
        set("x-serin-target", target);
    }
    if let Some(cache) = record.cache {
        set("x-serin-cache", cache);
    }
    for (name, value) in scope.headers() {
        set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::header_value;

    #[test]
    fn header_value_of_any_text_is_printable() {
        assert_eq!(header_value("openai/gpt 4o~100%"), "openai/gpt 4o~100%");
        assert_eq!(header_value("通义\r\n\x7f"), "%E9%80%9A%E4%B9%89%0D%0A%7F");
    }
}
