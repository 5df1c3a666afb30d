//! Writes streams to the caller.
//!
//! A single piece is written at once. Pieces of a burst are joined and written at most a few
//! milliseconds after the previous write, whether or not more arrive: on workerd a write costs many
//! times what the gateway does with its bytes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway::host::body::Body;
use js_sys::{Date, Uint8Array};
use worker::web_sys::{WritableStream, WritableStreamDefaultWriter};

use crate::promise::PromiseFuture;
use crate::timer::{Sleep, Timers};

/// Bytes that may wait during a write. Beyond it, the upstream is not read.
const MAX_WAITING_BYTES: usize = 64 << 10;
/// Minimum time between two writes, far below what a reader notices.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(4);

/// Writes a body into a stream. Returns early and drops the body if the caller has hung up.
///
/// A body that fails aborts the stream: the caller must not take a part for the whole.
pub(crate) async fn write(body: Body, stream: &WritableStream) {
    let Ok(writer) = stream.get_writer() else { return };
    let mut writing = StreamWriter {
        body,
        writer,
        waiting: PendingPieces::Nothing,
        under_way: None,
        wrote_at: 0.0,
        interval_timer: None,
        timers: Rc::default(),
        end: None,
    };
    poll_fn(|context| writing.poll(context)).await;
}

struct StreamWriter {
    body: Body,
    writer: WritableStreamDefaultWriter,
    waiting: PendingPieces,
    under_way: Option<PromiseFuture>,
    /// The host's clock at the last write, in milliseconds.
    wrote_at: f64,
    /// Runs until the next write is allowed, while a piece waits.
    interval_timer: Option<Sleep>,
    timers: Rc<Timers>,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Broken,
    Closing,
}

/// Pieces that wait: one is written unchanged, more are joined.
enum PendingPieces {
    Nothing,
    One(Bytes),
    Joined(BytesMut),
}

impl PendingPieces {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Joined(pieces) => pieces.len(),
        }
    }

    fn push(&mut self, piece: Bytes) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity((first.len() + piece.len()) * 4);
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
            Self::Joined(mut joined) => {
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
        }
    }

    /// Takes the waiting bytes as a JavaScript array.
    fn take(&mut self) -> Option<Uint8Array> {
        match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => None,
            Self::One(piece) => Some(Uint8Array::from(&piece[..])),
            Self::Joined(pieces) => Some(Uint8Array::from(&pieces[..])),
        }
    }
}

impl StreamWriter {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Reads the upstream first, so that the next write carries as much as possible.
            while self.end.is_none() && self.waiting.len() < MAX_WAITING_BYTES {
                match self.body.poll_piece(context) {
                    Poll::Ready(Some(Ok(piece))) => self.waiting.push(piece),
                    Poll::Ready(Some(Err(_))) => self.end = Some(End::Broken),
                    Poll::Ready(None) => self.end = Some(End::Whole),
                    Poll::Pending => break,
                }
            }
            if let Some(under_way) = &mut self.under_way {
                match Pin::new(under_way).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    // The caller has hung up.
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => self.under_way = None,
                }
            }
            if self.end.is_none() && self.poll_interval(context).is_pending() {
                return Poll::Pending;
            }
            let promise = match (self.waiting.take(), self.end) {
                (Some(chunk), _) => self.writer.write_with_chunk(&chunk),
                (None, None) => return Poll::Pending,
                (None, Some(End::Whole)) => {
                    self.end = Some(End::Closing);
                    self.writer.close()
                }
                (None, Some(End::Broken)) => {
                    self.end = Some(End::Closing);
                    self.writer.abort()
                }
                (None, Some(End::Closing)) => return Poll::Ready(()),
            };
            self.under_way = Some(PromiseFuture::new(&promise));
        }
    }

    /// Holds waiting bytes back until [`MIN_WRITE_INTERVAL`] has passed since the last write.
    fn poll_interval(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting.len() == 0 || self.waiting.len() >= MAX_WAITING_BYTES {
            return Poll::Ready(());
        }
        if self.interval_timer.is_none() {
            let now = Date::now();
            if now >= self.wrote_at + MIN_WRITE_INTERVAL.as_millis() as f64 {
                self.wrote_at = now;
                return Poll::Ready(());
            }
            self.interval_timer = Some(Sleep::new(Rc::clone(&self.timers), MIN_WRITE_INTERVAL));
        }
        if let Some(timer) = &mut self.interval_timer
            && Pin::new(timer).poll(context).is_pending()
        {
            return Poll::Pending;
        }
        self.interval_timer = None;
        self.wrote_at = Date::now();
        Poll::Ready(())
    }
}
