//! Waiting for an upstream that has not committed itself: for its head, its first byte, its next piece.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use openai::NotAnAnswer;

use crate::body::Body;
use crate::config::Timeouts;
use crate::outage::Outage;
use crate::platform::Platform;
use crate::policy::classify::Failure;
use crate::time::Timestamp;

use super::futures::race;

/// A call that came to nothing.
pub(super) struct Failed {
    /// What it means.
    pub(super) failure: Failure,
    /// The status, where one came.
    pub(super) status: Option<StatusCode>,
    /// More about it, for the record.
    pub(super) detail: Option<String>,
}

impl Failed {
    pub(super) fn connect(outage: Outage) -> Self {
        Self { failure: Failure::Connect, status: None, detail: Some(outage.reason().to_owned()) }
    }
}

impl From<NotAnAnswer> for Failed {
    fn from(found: NotAnAnswer) -> Self {
        Self { failure: Failure::NotAnAnswer, status: None, detail: Some(found.name().to_owned()) }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None, detail: None }
    }
}

/// How long one attempt may keep its caller waiting.
pub(super) struct Patience<'a, P: Platform> {
    platform: &'a P,
    idle: Duration,
    deadline: Timestamp,
    /// The next piece must be there by then.
    next_by: Timestamp,
    /// The first content must be there by then.
    first_by: Timestamp,
}

impl<'a, P: Platform> Patience<'a, P> {
    /// Begins to wait for the first byte of an attempt.
    pub(super) fn begin(platform: &'a P, timeouts: Timeouts, deadline: Timestamp) -> Self {
        let next_by = platform.now() + timeouts.first_byte;
        Self { platform, idle: timeouts.idle, deadline, next_by, first_by: next_by }
    }

    /// Waits for some work, in time.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Failed> {
        let until = self.next_by.min(self.deadline);
        let timer = self.platform.sleep(until.since(self.platform.now()));
        race(work, timer).await.ok_or(Failure::Timeout.into())
    }

    /// The next piece of a body, in time.
    pub(super) async fn piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, Failed> {
        let piece = match now_or_never(body).await {
            Some(piece) => piece,
            None => self.within(body.piece()).await?,
        };
        let piece = piece.transpose().map_err(Failed::connect)?;
        if self.platform.now() >= self.deadline {
            return Err(Failure::Timeout.into());
        }
        Ok(piece)
    }

    /// What came is held back. Progress buys the idle time, but no more than there is for the first
    /// content; a host's timer has no chance where pieces are always there.
    pub(super) fn hold(&mut self, is_progress: bool) -> Result<(), Failed> {
        let now = self.platform.now();
        if now >= self.next_by {
            return Err(Failure::Timeout.into());
        }
        if is_progress {
            self.next_by = (now + self.idle).min(self.first_by);
        }
        Ok(())
    }

    /// There was progress: the next piece has the idle time.
    pub(super) fn renew(&mut self) {
        self.next_by = self.platform.now() + self.idle;
    }
}

/// A piece that is there already: no timer need be set for it.
async fn now_or_never(body: &mut Body) -> Option<Option<Result<Bytes, Outage>>> {
    poll_fn(|cx| match body.poll_piece(cx) {
        Poll::Ready(piece) => Poll::Ready(Some(piece)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
