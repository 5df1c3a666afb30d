//! Stream whose events a rewriter replaces.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use openai::Framer;

use crate::host::body::Body;
use crate::host::error::HostError;

use super::sse_reader::MAX_EVENT_BYTES;

/// Rewriter of the events of a stream.
pub(crate) trait EventRewriter: Unpin {
    /// Appends what stands in the place of one whole event.
    fn event(&mut self, event: &[u8], out: &mut Vec<u8>);
    /// Appends the end of a stream with an event that is longer than [`MAX_EVENT_BYTES`].
    fn too_long(&mut self, out: &mut Vec<u8>);
    /// Appends the end of the stream.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Body with rewritten events. Dropping it drops the inner body.
pub(crate) struct RewrittenEvents<R> {
    /// Bytes before those of the body.
    start: Bytes,
    inner: Body,
    framer: Framer,
    rewriter: R,
    has_ended: bool,
}

impl<R: EventRewriter> RewrittenEvents<R> {
    /// Rewrites the events of a body, of which `start` was already read.
    pub(crate) fn new(start: Bytes, inner: Body, rewriter: R) -> Self {
        let framer = Framer::new(MAX_EVENT_BYTES);
        Self { start, inner, framer, rewriter, has_ended: false }
    }

    /// Rewrites the whole events of a piece.
    fn push(&mut self, piece: Bytes, out: &mut Vec<u8>) {
        if self.framer.push(piece).is_err() {
            self.has_ended = true;
            return self.rewriter.too_long(out);
        }
        while let Some(event) = self.framer.next_event() {
            self.rewriter.event(self.framer.bytes(event), out);
        }
    }

    /// Ends the stream with its body.
    fn finish(&mut self, out: &mut Vec<u8>) {
        self.has_ended = true;
        if !self.framer.unfinished().is_empty() {
            self.push(Bytes::from_static(b"\n\n"), out);
        }
        self.rewriter.end(out);
    }
}

impl<R: EventRewriter> Stream for RewrittenEvents<R> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.has_ended {
            let start = std::mem::take(&mut self.start);
            let piece = match start.is_empty() {
                true => ready!(self.inner.poll_piece(cx)),
                false => Some(Ok(start)),
            };
            let mut out = Vec::new();
            match piece {
                Some(Ok(piece)) => self.push(piece, &mut out),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.finish(&mut out),
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out.into())));
            }
        }
        Poll::Ready(None)
    }
}

impl<R> fmt::Debug for RewrittenEvents<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenEvents").field("inner", &self.inner).finish_non_exhaustive()
    }
}
