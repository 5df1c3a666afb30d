//! Requests to upstreams.

use bytes::Bytes;
use config::{Authentication, Provider};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use protocol::model::Protocol;
use secret::Secret;

use crate::host::GATEWAY_USER_AGENT;
use crate::request::original::{ANTHROPIC_BETA, ANTHROPIC_VERSION, ForwardedHeaders};
use crate::routing::plan::Candidate;

/// Builds an upstream's request from scratch: of the caller's headers it holds only those of Anthropic's API
/// that are forwarded.
pub(crate) fn upstream_request(
    candidate: &Candidate<'_>,
    key: Option<&Secret>,
    body: Bytes,
    stream: bool,
    forwarded: &ForwardedHeaders,
) -> http::Request<Bytes> {
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = candidate.url.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static(if stream { "text/event-stream" } else { "application/json" }),
    );
    // The usage meter reads the answer, so it must not be compressed.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, GATEWAY_USER_AGENT);
    if candidate.protocol == Protocol::Messages {
        headers.insert(ANTHROPIC_VERSION, forwarded.version.clone());
        if let Some(beta) = &forwarded.beta {
            headers.insert(ANTHROPIC_BETA, beta.clone());
        }
    }
    add_key(headers, candidate.provider, key);
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
