//! Headers that the gateway adds to responses.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::host::Host;
use crate::host::body::Body;
use crate::telemetry::request_scope::RequestScope;

/// Keeps proxies from buffering or transforming a stream.
pub(crate) fn disable_buffering(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Replaces bytes that a header value cannot hold by `%XX`: model names may be in Chinese.
fn escape_header_value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => escaped.push(char::from(byte)),
            other => write!(escaped, "%{other:02X}").expect("a string takes everything"),
        }
    }
    escaped
}

/// Adds the headers about the gateway's handling of the request.
pub(crate) fn add_gateway_headers<P: Host>(
    response: &mut http::Response<Body>,
    scope: &RequestScope<P>,
) {
    let record = scope.record();
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        let is_visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value =
            if is_visible { Cow::Borrowed(value) } else { Cow::Owned(escape_header_value(value)) };
        let value = HeaderValue::from_str(&value).expect("ASCII that can be seen");
        headers.insert(HeaderName::from_static(name), value);
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
