//! Gathers an answer on its way to the caller, and keeps it once all of it was shown.

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
use crate::telemetry::request_scope::RequestScope;

/// The longest answer that is gathered for a conversation alone, in bytes: a stream is many times longer
/// than its text.
const MAX_CONVERSATION_BYTES: usize = 1 << 20;

/// What is to be kept of an answer.
#[derive(Debug, Default)]
pub struct Retention {
    /// Its place in the cache.
    pub slot: Option<Box<FillSlot>>,
    /// The conversation that it goes on with.
    pub conversation: Option<Box<LoadedConversation>>,
}

/// What the books say of an answer that may be kept.
#[derive(Debug)]
struct ClosedAnswer {
    target: Option<String>,
    tokens: Tokens,
}

/// The outermost layer of an answer's body. What it wraps closes the books before it ends.
pub struct RecordingBody<P: Host> {
    inner: Body,
    host: P,
    retention: Option<Retention>,
    stream: bool,
    recorded: Vec<Bytes>,
    /// How many bytes may still come.
    remaining_bytes: usize,
    closed_answer: Rc<RefCell<Option<ClosedAnswer>>>,
}

impl<P: Host> RecordingBody<P> {
    /// Takes over what is to be kept, and has itself told how the answer ends. `None`: nothing is.
    pub(crate) fn from_scope(
        retention: Retention,
        scope: &mut RequestScope<P>,
        host: &P,
    ) -> Option<Self> {
        let max = retention.slot.as_ref().map(|slot| slot.max_bytes);
        let max = max.max(retention.conversation.as_ref().map(|_| MAX_CONVERSATION_BYTES))?;
        let shown = Rc::new(RefCell::new(None));
        let told = Rc::clone(&shown);
        scope.on_close(Box::new(move |record: &Record| {
            let is_good = record.outcome == Outcome::Answered
                && record.status == Some(200)
                && record.blocked_by.is_none();
            if is_good {
                told.replace(Some(ClosedAnswer {
                    target: record.target.clone(),
                    tokens: record.tokens,
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
            closed_answer: shown,
        })
    }

    /// Puts itself around a response's body.
    pub(crate) fn wrap(mut self, response: http::Response<Body>) -> http::Response<Body> {
        let (parts, body) = response.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE);
        self.stream =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let body = match body {
            Body::Empty => Body::Empty,
            Body::Whole(whole) => {
                self.record_piece(&whole);
                self.finish();
                Body::Whole(whole)
            }
            stream @ Body::Stream(_) => {
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
            // Whoever waits for it is told at once.
            None => {
                self.retention = None;
                self.recorded = Vec::new();
            }
        }
    }

    /// The caller has all that it will get.
    fn finish(&mut self) {
        let Some(retention) = self.retention.take() else { return };
        let Some(ClosedAnswer { target, tokens }) = self.closed_answer.take() else { return };
        let (stream, gathered) = (self.stream, std::mem::take(&mut self.recorded));
        let host = self.host.clone();
        self.host.defer(async move {
            let body = Bytes::from(gathered.concat());
            if let Some(conversation) = retention.conversation {
                // Neither waits for the other's store.
                let (host, body) = (host.clone(), body.clone());
                host.clone().defer(async move {
                    conversation.store(&host, stream, &body).await;
                });
            }
            if let Some(slot) = retention.slot.filter(|slot| body.len() <= slot.max_bytes) {
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
        // A host may drop a body whose last piece it has without asking for the end. What is wrapped
        // knows whether it was the last, and closes the books accordingly when it goes.
        self.inner = Body::Empty;
        self.finish();
    }
}
