//! Requests to upstreams.

use bytes::Bytes;
use config::{Authentication, Provider};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};
use protocol::model::Protocol;
use secret::Secret;

use crate::host::GATEWAY_USER_AGENT;
use crate::request::original::{ANTHROPIC_BETA, ANTHROPIC_VERSION, AnthropicHeaders};
use crate::routing::plan::Candidate;

/// Builds an upstream's request from scratch: of the caller's headers it holds only those of Anthropic's API
/// that are forwarded.
pub(crate) fn upstream_request(
    candidate: &Candidate<'_>,
    key: Option<&Secret>,
    body: Bytes,
    stream: bool,
    forwarded: &AnthropicHeaders,
) -> http::Request<Bytes> {
    let accept = if stream { "text/event-stream" } else { "application/json" };
    let mut request = plain_request(candidate.provider, key, candidate.url.clone(), body, accept);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if candidate.protocol == Protocol::Messages {
        headers.insert(ANTHROPIC_VERSION, forwarded.version.clone());
        if let Some(beta) = &forwarded.beta {
            headers.insert(ANTHROPIC_BETA, beta.clone());
        }
    }
    request
}

/// Builds a request with the gateway's own headers and a provider's key. Its method is POST.
pub(crate) fn plain_request(
    provider: &Provider,
    key: Option<&Secret>,
    url: Uri,
    body: Bytes,
    accept: &'static str,
) -> http::Request<Bytes> {
    let mut request = http::Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, url);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    // The usage meter reads the answer, so it must not be compressed.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, GATEWAY_USER_AGENT);
    add_key(headers, provider, key);
    request
}

/// Adds the key in the header that the provider expects.
pub(crate) fn add_key(headers: &mut HeaderMap, provider: &Provider, key: Option<&Secret>) {
    let Some(key) = key else { return };
    let (name, value) = match &provider.authentication {
        Authentication::Bearer => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
        Authentication::Header(name) => (name.clone(), key.reveal().to_owned()),
    };
    // The configuration refuses keys that no header can hold.
    if let Ok(mut value) = HeaderValue::try_from(value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
