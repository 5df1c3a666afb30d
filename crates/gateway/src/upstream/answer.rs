//! An upstream's answer, from the point on where no other target can take its place.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::commit::Committed;

/// What an upstream answered, from the point on where no other target can take its place.
#[derive(Debug)]
pub struct Answer {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's `content-type`.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub content: AnswerContent,
}

/// An answer's body.
#[derive(Debug)]
pub enum AnswerContent {
    /// All of it.
    Whole(Bytes),
    /// What is held of a stream, and the rest as it comes.
    Stream(Box<Committed>),
}
