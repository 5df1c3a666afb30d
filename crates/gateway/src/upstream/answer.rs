//! Committed answer of an upstream: no other target can replace it any more.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::commit::Committed;

/// Answer of an upstream that no other target can replace any more.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub content_type: Option<HeaderValue>,
    pub content: AnswerContent,
}

#[derive(Debug)]
pub(crate) enum AnswerContent {
    /// The whole body.
    Whole(Bytes),
    /// The start of a stream that was held back, and the rest of it.
    Stream(Box<Committed>),
}
