//! Committed answer of an upstream: no other target can replace it any more.

use std::rc::Rc;

use bytes::Bytes;
use config::ProviderIndex;
use http::{HeaderValue, StatusCode};
use protocol::model::Protocol;

use crate::request::translation::Translation;

use super::commit::Committed;

/// Answer of an upstream that no other target can replace any more.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub content_type: Option<HeaderValue>,
    pub content: AnswerContent,
    /// Protocol of the content.
    pub protocol: Protocol,
    /// Translation of the request that the target has answered; `None` if it received the caller's body.
    pub translation: Option<Rc<Translation>>,
    /// The provider and the key that answered; `None` before the attempt is recorded.
    pub origin: Option<(ProviderIndex, Option<usize>)>,
}

#[derive(Debug)]
pub(crate) enum AnswerContent {
    /// The whole body.
    Whole(Bytes),
    /// The start of a stream that was held back, and the rest of it.
    Stream(Box<Committed>),
}
