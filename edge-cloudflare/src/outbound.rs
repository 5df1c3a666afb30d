//! Calls to upstreams, each with its own `AbortController`.

use bytes::Bytes;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response, StatusCode};
use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use worker::web_sys;

use crate::promise::PromiseFuture;
use crate::{body_in, headers, js};

/// Aborts a call when it is dropped: otherwise the host would continue it.
pub(crate) struct AbortOnDrop {
    controller: Option<web_sys::AbortController>,
}

impl AbortOnDrop {
    /// Prevents the abort after the call has ended.
    pub(crate) fn disarm(mut self) {
        self.controller = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.controller {
            controller.abort();
        }
    }
}

/// Calls an upstream and waits for the head of its response.
pub(crate) async fn fetch(request: Request<Bytes>) -> Result<Response<Body>, HostError> {
    let (parts, body) = request.into_parts();
    let controller = web_sys::AbortController::new().map_err(|error| js::to_host_error(&error))?;
    let signal = controller.signal();
    let abort = AbortOnDrop { controller: Some(controller) };
    let promise = js::call(
        &parts.uri.to_string(),
        parts.method.as_str(),
        &headers::write(&parts.headers),
        (!body.is_empty()).then(|| Uint8Array::from(&body[..])),
        &signal,
    );
    let promise = promise.map_err(|error| js::to_host_error(&error))?;
    let response = PromiseFuture::new(&promise).await.map_err(|error| js::to_host_error(&error))?;
    let response: web_sys::Response = response.unchecked_into();
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::from_u16(response.status()).map_err(HostError::new)?;
    *answer.headers_mut() = headers::read(&js::response_headers(&response));
    // The host decodes these encodings, but keeps both headers. The length is that of the compressed body,
    // which says nothing about the memory that the decoded one takes.
    let is_decoded = |encoding: &&HeaderValue| matches!(encoding.as_bytes(), b"gzip" | b"br");
    if answer.headers().get(CONTENT_ENCODING).filter(is_decoded).is_some() {
        answer.headers_mut().remove(CONTENT_ENCODING);
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    *answer.body_mut() = body_in::response_body(response, answer.headers(), abort);
    Ok(answer)
}
