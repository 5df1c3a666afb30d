//! Bodies of requests and responses: empty, whole, or a stream of pieces. Not `Send`, never copied.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Frame, SizeHint};

use crate::host::error::HostError;

/// A stream of pieces as hosts deliver them. Dropping it must cancel its producer.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, HostError>>>>;

/// The body of a request or a response.
#[derive(Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All bytes at once.
    Whole(Bytes),
    /// Bytes as they arrive.
    Stream(ByteStream),
}

/// Reasons for which a body could not be read whole.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It exceeds the limit.
    TooLarge,
    /// It broke off.
    Broken,
}

impl Body {
    /// Wraps a stream of pieces.
    pub fn stream(pieces: impl Stream<Item = Result<Bytes, HostError>> + 'static) -> Self {
        Self::Stream(Box::pin(pieces))
    }

    /// The next piece, or `None` at the end and from then on. Empty pieces are skipped.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, HostError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(_) => {
                let Self::Whole(bytes) = std::mem::take(self) else {
                    unreachable!("matched above")
                };
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Self::Stream(pieces) => loop {
                match ready!(pieces.as_mut().poll_next(cx)) {
                    Some(Ok(piece)) if piece.is_empty() => {}
                    None => {
                        *self = Self::Empty;
                        return Poll::Ready(None);
                    }
                    other => return Poll::Ready(other),
                }
            },
        }
    }

    /// Waits for the next piece.
    pub async fn next_piece(&mut self) -> Option<Result<Bytes, HostError>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Reads a body of at most `limit` bytes. A single piece is returned without a copy.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.collect_from(limit).await
    }

    /// Reads a body of at most `limit` bytes, and leaves the rest of a longer one.
    pub(crate) async fn collect_from(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        let mut whole = Bytes::new();
        while let Some(piece) =
            self.next_piece().await.transpose().map_err(|_| ReadError::Broken)?
        {
            if whole.len() + piece.len() > limit {
                return Err(ReadError::TooLarge);
            }
            whole = append(whole, piece);
        }
        Ok(whole)
    }
}

/// A piece that has already arrived, which needs no timer.
pub(crate) async fn now_or_never(body: &mut Body) -> Option<Option<Result<Bytes, HostError>>> {
    poll_fn(|cx| match body.poll_piece(cx) {
        Poll::Ready(piece) => Poll::Ready(Some(piece)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Appends a piece: the first is returned as it is, later ones are copied with amortized growth.
pub(crate) fn append(whole: Bytes, piece: Bytes) -> Bytes {
    if whole.is_empty() {
        return piece;
    }
    let mut joined = whole.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    joined.extend_from_slice(&piece);
    joined.freeze()
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(bytes) }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = HostError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HostError>>> {
        self.poll_piece(cx).map(|piece| piece.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
