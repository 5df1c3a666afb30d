//! Gathers an answer on its way to the caller, and keeps it once all of it was shown.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;

use crate::body::Body;
use crate::observe::{Outcome, Record, Tokens};
use crate::outage::Outage;
use crate::platform::Platform;

use super::entry::Entry;
use super::recall::Recollection;
use super::shelf::Slot;

/// The longest answer that is gathered for a conversation alone, in bytes: a stream is many times longer
/// than its text.
const LONGEST: usize = 1 << 20;

/// What is to be kept of an answer.
#[derive(Debug, Default)]
pub struct Keep {
    /// Its place in the cache.
    pub slot: Option<Box<Slot>>,
    /// The conversation that it goes on with.
    pub conversation: Option<Box<Recollection>>,
}

/// What the books say of an answer that may be kept.
#[derive(Debug)]
struct Shown {
    target: Option<String>,
    tokens: Tokens,
}

/// The outermost layer of an answer's body. What it wraps closes the books before it ends.
pub struct Tee<P: Platform> {
    inner: Body,
    platform: P,
    keep: Option<Keep>,
    stream: bool,
    gathered: Vec<Bytes>,
    /// How many bytes may still come.
    room: usize,
    shown: Rc<RefCell<Option<Shown>>>,
}

impl<P: Platform> Tee<P> {
    /// Takes over what is to be kept, and has itself told how the answer ends. `None`: nothing is.
    pub(crate) fn over(keep: Keep, entry: &mut Entry<P>, platform: &P) -> Option<Self> {
        let most = keep.slot.as_ref().map(|slot| slot.most);
        let most = most.max(keep.conversation.as_ref().map(|_| LONGEST))?;
        let shown = Rc::new(RefCell::new(None));
        let told = Rc::clone(&shown);
        entry.on_close(Box::new(move |record: &Record| {
            let is_good = record.outcome == Outcome::Answered
                && record.status == Some(200)
                && record.blocked_by.is_none();
            if is_good {
                told.replace(Some(Shown { target: record.target.clone(), tokens: record.tokens }));
            }
        }));
        Some(Self {
            inner: Body::Empty,
            platform: platform.clone(),
            keep: Some(keep),
            stream: false,
            gathered: Vec::new(),
            room: most,
            shown,
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
                self.gather(&whole);
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

    fn gather(&mut self, piece: &Bytes) {
        match self.room.checked_sub(piece.len()) {
            Some(room) => {
                self.room = room;
                self.gathered.push(piece.clone());
            }
            // Whoever waits for it is told at once.
            None => {
                self.keep = None;
                self.gathered = Vec::new();
            }
        }
    }

    /// The caller has all that it will get.
    fn finish(&mut self) {
        let Some(keep) = self.keep.take() else { return };
        let Some(Shown { target, tokens }) = self.shown.take() else { return };
        let (stream, gathered) = (self.stream, std::mem::take(&mut self.gathered));
        let platform = self.platform.clone();
        self.platform.defer(async move {
            let body = Bytes::from(gathered.concat());
            if let Some(conversation) = keep.conversation {
                // Neither waits for the other's store.
                let (platform, body) = (platform.clone(), body.clone());
                platform.clone().defer(async move {
                    conversation.store(&platform, stream, &body).await;
                });
            }
            if let Some(slot) = keep.slot.filter(|slot| body.len() <= slot.most) {
                slot.store(&platform, (stream, body), target.as_deref(), tokens).await;
            }
        });
    }
}

impl<P: Platform> Stream for Tee<P> {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.inner.poll_piece(cx));
        match &piece {
            Some(Ok(piece)) if self.keep.is_some() => self.gather(piece),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.keep = None,
            None => self.finish(),
        }
        Poll::Ready(piece)
    }
}

// Nothing inside is pinned in place.
impl<P: Platform> Unpin for Tee<P> {}

impl<P: Platform> Drop for Tee<P> {
    fn drop(&mut self) {
        // A host may drop a body whose last piece it has without asking for the end. What is wrapped
        // knows whether it was the last, and closes the books accordingly when it goes.
        self.inner = Body::Empty;
        self.finish();
    }
}
