//! The answer in place of content that a guard blocks.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// The configured answer in place of a blocked request or answer.
#[derive(Debug)]
pub struct BlockResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its type.
    pub content_type: HeaderValue,
    /// All of it.
    pub body: Bytes,
    /// The error's name for programs, where it is one.
    pub error: Option<&'static str>,
}
