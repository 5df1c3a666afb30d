//! Bodies that arrive in pieces, over time.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::host::body::Body;
use crate::host::error::HostError;

use super::fake_host::FakeHost;

/// A body of equal pieces of spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// Bytes of a piece.
    pub size: usize,
    pub count: usize,
    /// Time that passes before each piece.
    pub every: Duration,
    /// Whether the end follows the last piece; else nothing follows, for ever.
    pub ends: bool,
}

struct PieceStream {
    host: FakeHost,
    pieces: Pieces,
    read: Rc<Cell<usize>>,
}

impl Pieces {
    /// The body, and the number of its pieces that were read.
    pub(crate) fn into_body(self, host: &FakeHost) -> (Body, Rc<Cell<usize>>) {
        let read = Rc::new(Cell::new(0));
        let stream = PieceStream { host: host.clone(), pieces: self, read: Rc::clone(&read) };
        (Body::stream(stream), read)
    }
}

impl Stream for PieceStream {
    type Item = Result<Bytes, HostError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Pieces { size, count, every, ends } = self.pieces;
        if self.read.get() == count {
            return if ends { Poll::Ready(None) } else { Poll::Pending };
        }
        self.read.set(self.read.get() + 1);
        self.host.advance(every);
        Poll::Ready(Some(Ok(Bytes::from(vec![b' '; size]))))
    }
}
