//! Collects an answer on its way to the caller, and stores it after the whole of it was delivered.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use openai::Tokens;

use crate::cache::lookup::FillSlot;
use crate::history::load::LoadedConversation;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::{Outcome, Record};
use crate::request::headers::is_event_stream;
use crate::telemetry::request_scope::RequestScope;

/// The longest answer that is collected only for a conversation, in bytes: a stream is many times
/// longer than its text.
const MAX_CONVERSATION_BYTES: usize = 1 << 20;

/// Places in which an answer is stored.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    /// Cache entry to fill.
    pub slot: Option<Box<FillSlot>>,
    /// Conversation to extend.
    pub conversation: Option<Box<LoadedConversation>>,
}

/// Data of the record that decides whether an answer is stored.
#[derive(Debug)]
struct ClosedAnswer {
    target: Option<String>,
    tokens: Tokens,
    /// Whether two targets have answered, so that no target's entry may hold it.
    is_continued: bool,
}

/// The outermost layer of an answer's body. The inner layers close the request scope before they
/// end.
pub(crate) struct RecordingBody<P: Host> {
    inner: Body,
    host: P,
    retention: Option<Retention>,
    stream: bool,
    recorded: Vec<Bytes>,
    /// Bytes that may still follow.
    remaining_bytes: usize,
    closed_answer: Rc<RefCell<Option<ClosedAnswer>>>,
}

impl<P: Host> RecordingBody<P> {
    /// Takes over the places in which the answer is stored, and registers for the end of the scope.
    /// `None` if there are none.
    pub(crate) fn from_scope(
        retention: Retention,
        scope: &mut RequestScope<P>,
        host: &P,
    ) -> Option<Self> {
        let max = retention.slot.as_ref().map(|slot| slot.max_bytes);
        let max = max.max(retention.conversation.as_ref().map(|_| MAX_CONVERSATION_BYTES))?;
        let closed_answer = Rc::new(RefCell::new(None));
        let on_close_answer = Rc::clone(&closed_answer);
        scope.on_close(Box::new(move |record: &Record| {
            let is_good = record.outcome == Outcome::Answered
                && record.status == Some(200)
                && record.blocked_by.is_none();
            if is_good {
                // Calls whose answers were not used are no part of this answer's usage.
                let input = record.tokens.input.saturating_sub(record.lost_tokens());
                let tokens = Tokens { input, ..record.tokens };
                on_close_answer.replace(Some(ClosedAnswer {
                    target: record.target.clone(),
                    tokens,
                    is_continued: record.continued,
                }));
            }
        }));
        Some(Self {
            inner: Body::Empty,
            host: host.clone(),
            retention: Some(retention),
            stream: false,
            recorded: Vec::new(),
            remaining_bytes: max,
            closed_answer,
        })
    }

    /// Wraps a response's body.
    pub(crate) fn wrap(mut self, response: http::Response<Body>) -> http::Response<Body> {
        let (parts, body) = response.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE);
        self.stream = content_type.is_some_and(is_event_stream);
        let body = match body {
            Body::Empty => Body::Empty,
            Body::Whole(whole) => {
                self.record_piece(&whole);
                self.finish();
                Body::Whole(whole)
            }
            stream @ Body::Stream(_) => {
                // Whole answers up to 8 MiB are one piece, and longer ones are not kept. Requests that wait
                // for one must not wait until its caller has read it.
                if !self.stream {
                    self.retention = None;
                }
                self.inner = stream;
                Body::stream(self)
            }
        };
        http::Response::from_parts(parts, body)
    }

    fn record_piece(&mut self, piece: &Bytes) {
        match self.remaining_bytes.checked_sub(piece.len()) {
            Some(room) => {
                self.remaining_bytes = room;
                self.recorded.push(piece.clone());
            }
            // Coalesced requests that wait for the entry must continue at once.
            None => {
                self.retention = None;
                self.recorded = Vec::new();
            }
        }
    }

    /// Stores the answer once the caller has all of it.
    fn finish(&mut self) {
        let Some(retention) = self.retention.take() else { return };
        let Some(closed) = self.closed_answer.take() else { return };
        let ClosedAnswer { target, tokens, is_continued } = closed;
        let (stream, gathered) = (self.stream, std::mem::take(&mut self.recorded));
        let host = self.host.clone();
        self.host.defer(async move {
            let body = Bytes::from(gathered.concat());
            if let Some(conversation) = retention.conversation {
                // Cache and conversation are stored concurrently.
                let (host, body) = (host.clone(), body.clone());
                host.clone().defer(async move {
                    conversation.store(&host, stream, &body).await;
                });
            }
            if let Some(slot) =
                retention.slot.filter(|slot| !is_continued && body.len() <= slot.max_bytes)
            {
                slot.store(&host, (stream, body), target.as_deref(), tokens).await;
            }
        });
    }
}

impl<P: Host> Stream for RecordingBody<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.inner.poll_piece(cx));
        match &piece {
            Some(Ok(piece)) if self.retention.is_some() => self.record_piece(piece),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.retention = None,
            None => self.finish(),
        }
        Poll::Ready(piece)
    }
}

// Nothing inside is pinned in place.
impl<P: Host> Unpin for RecordingBody<P> {}

impl<P: Host> Drop for RecordingBody<P> {
    fn drop(&mut self) {
        // A host may drop a body after its last piece without polling for the end. The inner body
        // detects this and closes the scope accordingly when it is dropped.
        self.inner = Body::Empty;
        self.finish();
    }
}
