//! `[history]` as parsed.

use std::time::Duration;

use http::HeaderName;

use super::index::RouteIndex;

/// `[history]`: the last turns of a conversation, inserted before a request with a single question.
#[derive(Debug)]
pub struct History {
    /// The routes that store conversations. `None` for all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Identification of a caller's conversation.
    pub session: SessionSource,
    /// The most turns (a question and its answer) that are inserted before a request.
    pub turns: usize,
    /// The most bytes of these turns.
    pub max_bytes: usize,
    /// The time for which a conversation is stored after its last turn.
    pub ttl: Duration,
}

/// Identification of a caller's conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSource {
    /// A header's value.
    Header(HeaderName),
    /// The request's `user` field.
    User,
}
