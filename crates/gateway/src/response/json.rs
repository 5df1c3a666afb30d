//! JSON responses.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use crate::host::body::Body;

pub(crate) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
