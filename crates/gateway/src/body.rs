//! Bodies on their way through: nothing, one piece, or a stream of pieces. Not `Send`, never copied.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Frame, SizeHint};

use crate::platform::Outage;

/// A stream of pieces as hosts deliver them. Dropping it must stop whoever produces it.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Outage>>>>;

/// A request's or an answer's body.
#[derive(Default)]
pub enum Body {
    /// No bytes at all.
    #[default]
    Empty,
    /// All bytes at once.
    Whole(Bytes),
    /// Bytes as they come.
    Stream(Pieces),
    /// Nothing more, since it broke off.
    Broken(Outage),
}

/// Why a body could not be read whole.
#[derive(Debug)]
pub enum ReadError {
    /// It is longer than the limit.
    TooLarge,
    /// It broke off.
    Broken(Outage),
}

impl Body {
    /// Wraps a stream of pieces.
    pub fn stream(pieces: impl Stream<Item = Result<Bytes, Outage>> + 'static) -> Self {
        Self::Stream(Box::pin(pieces))
    }

    /// The next piece, or `None` at the end. Empty pieces are skipped.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Outage>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(_) => {
                let Self::Whole(bytes) = std::mem::take(self) else {
                    unreachable!("matched above")
                };
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Self::Broken(_) => {
                let Self::Broken(outage) = std::mem::take(self) else {
                    unreachable!("matched above")
                };
                Poll::Ready(Some(Err(outage)))
            }
            Self::Stream(pieces) => loop {
                match ready!(pieces.as_mut().poll_next(cx)) {
                    Some(Ok(piece)) if piece.is_empty() => {}
                    other => return Poll::Ready(other),
                }
            },
        }
    }

    /// The next piece together with those that are there already, up to about `limit` bytes: for
    /// hosts on which a write costs more than a copy. It waits for none but the first.
    pub fn poll_burst(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Outage>>> {
        let mut burst = match ready!(self.poll_piece(cx)) {
            Some(Ok(first)) => first,
            end => return Poll::Ready(end),
        };
        while burst.len() < limit
            && let Poll::Ready(next) = self.poll_piece(cx)
        {
            match next {
                Some(Ok(piece)) => burst = join(burst, &piece),
                Some(Err(outage)) => {
                    *self = Self::Broken(outage);
                    break;
                }
                None => {
                    *self = Self::Empty;
                    break;
                }
            }
        }
        Poll::Ready(Some(Ok(burst)))
    }

    /// Waits for the next piece.
    pub async fn piece(&mut self) -> Option<Result<Bytes, Outage>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Reads everything, if it is at most `limit` bytes. One piece is handed on without a copy.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, ReadError> {
        let Some(first) = self.piece().await.transpose().map_err(ReadError::Broken)? else {
            return Ok(Bytes::new());
        };
        let mut whole = first;
        loop {
            if whole.len() > limit {
                return Err(ReadError::TooLarge);
            }
            match self.piece().await.transpose().map_err(ReadError::Broken)? {
                Some(piece) => whole = join(whole, &piece),
                None => return Ok(whole),
            }
        }
    }
}

/// Appends a piece, in place where nobody else holds the bytes.
pub(crate) fn join(bytes: Bytes, piece: &[u8]) -> Bytes {
    let mut joined = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    joined.extend_from_slice(piece);
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
            Self::Broken(outage) => write!(f, "Broken({outage})"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Outage;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Outage>>> {
        self.poll_piece(cx).map(|piece| piece.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) | Self::Broken(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use futures_core::Stream;

    use super::Body;
    use crate::platform::Outage;

    /// What a host delivers; `None` is a moment in which nothing is there.
    struct Script(VecDeque<Option<Result<&'static str, &'static str>>>);

    impl Stream for Script {
        type Item = Result<Bytes, Outage>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(None) => Poll::Pending,
                Some(Some(piece)) => Poll::Ready(Some(piece.map(Bytes::from).map_err(Outage::new))),
            }
        }
    }

    #[track_caller]
    fn bursts(
        script: &[Option<Result<&'static str, &'static str>>],
        expected: &[Poll<Option<Result<&'static str, &'static str>>>],
    ) {
        let mut body = Body::stream(Script(script.iter().copied().collect()));
        for expected in expected {
            let burst = body.poll_burst(6, &mut Context::from_waker(Waker::noop()));
            let burst = burst
                .map(|burst| burst.map(|piece| piece.map_err(|outage| outage.reason().to_owned())));
            let expected =
                expected.map(|end| end.map(|piece| piece.map(Bytes::from).map_err(str::to_owned)));
            assert_eq!(burst, expected);
        }
    }

    #[test]
    fn a_burst_takes_what_is_there_and_waits_for_nothing_else() {
        let piece = |text| Poll::Ready(Some(Ok(text)));
        bursts(
            &[Some(Ok("ab")), Some(Ok("cd")), None, Some(Ok("ef"))],
            &[piece("abcd"), piece("ef"), Poll::Ready(None)],
        );
        bursts(&[Some(Ok("abcdef")), Some(Ok("gh"))], &[piece("abcdef"), piece("gh")]);
        bursts(&[None, Some(Ok("ab"))], &[Poll::Pending, piece("ab")]);
        bursts(
            &[Some(Ok("ab")), Some(Err("broke"))],
            &[piece("ab"), Poll::Ready(Some(Err("broke"))), Poll::Ready(None)],
        );
    }
}
