//! Response in the caller's protocol: the outermost layer of a response.
//!
//! All layers below it read and write Chat, except for an answer that passes in the caller's own protocol.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use protocol::AnswerContext;
use protocol::failure;
use protocol::model::{Failure, Protocol};
use protocol::rate_limit::request_id_header;

use crate::host::body::Body;
use crate::request::headers::is_event_stream;
use crate::upstream::translated_stream::TranslatedStream;

/// Form of a response for its caller.
#[derive(Debug)]
pub(crate) struct CallerForm {
    /// The caller's protocol.
    pub protocol: Protocol,
    /// Facts for the writer of an answer.
    pub context: AnswerContext,
}

impl CallerForm {
    /// Puts a response with a body in the protocol `from` into the caller's protocol.
    pub(crate) fn apply(
        self,
        response: http::Response<Body>,
        from: Protocol,
    ) -> http::Response<Body> {
        let (mut parts, body) = response.into_parts();
        let id = parts.headers.get(X_REQUEST_ID).cloned();
        if let (Some(name), Some(id)) = (request_id_header(self.protocol), &id) {
            parts.headers.insert(HeaderName::from_static(name), id.clone());
        }
        if from == self.protocol {
            return http::Response::from_parts(parts, body);
        }
        let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
        let body = match body {
            Body::Whole(whole) if !is_stream => {
                let written = match parts.status.is_success() {
                    true => self.write_answer(from, &whole),
                    false => None,
                };
                let written = written.unwrap_or_else(|| {
                    let id = id.as_ref().and_then(|id| id.to_str().ok());
                    self.write_error(from, parts.status.as_u16(), &whole, id)
                });
                parts.headers.remove(CONTENT_LENGTH);
                parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Body::from(written)
            }
            Body::Empty => Body::Empty,
            events @ (Body::Whole(_) | Body::Stream(_)) => {
                let protocols = (from, self.protocol);
                let stream = TranslatedStream::new(Bytes::new(), events, protocols, self.context);
                Body::stream(stream)
            }
        };
        http::Response::from_parts(parts, body)
    }

    /// Writes an answer. `None` if the body is none, or if the protocol cannot express it.
    fn write_answer(&self, from: Protocol, body: &[u8]) -> Option<Bytes> {
        let answer = protocol::answer::read(from, body).ok()?;
        let written = protocol::answer::write(self.protocol, &answer, &self.context).ok()?;
        Some(written.body.into())
    }

    /// Writes an error. Its status stays.
    fn write_error(&self, from: Protocol, status: u16, body: &[u8], id: Option<&str>) -> Bytes {
        let mut failure: Failure<'_> = failure::from_body(status, body);
        if from != Protocol::Chat {
            // Names of types and codes belong to the provider's protocol.
            failure.code = None;
        }
        failure::body(&failure, self.protocol, id).into()
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
