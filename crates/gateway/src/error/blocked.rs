//! The configured response in place of blocked content.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// The configured response in place of a blocked request or answer.
#[derive(Debug)]
pub(crate) struct BlockResponse {
    /// HTTP status.
    pub status: StatusCode,
    pub content_type: HeaderValue,
    /// The whole body.
    pub body: Bytes,
    /// The error's code, if the response is an error.
    pub error: Option<&'static str>,
}
