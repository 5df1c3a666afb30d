//! Waiting for an upstream that has not committed itself: for its head, its first byte, its next piece.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Timeouts;
use http::StatusCode;
use openai::InvalidAnswer;

use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::host::futures::until_timer;
use crate::upstream::classify::Failure;

/// A call that came to nothing.
pub(crate) struct AttemptError {
    /// What it means.
    pub(crate) failure: Failure,
    /// The status, where one came.
    pub(crate) status: Option<StatusCode>,
    /// More about it, for the record.
    pub(crate) detail: Option<String>,
}

impl AttemptError {
    pub(crate) fn connect(error: HostError) -> Self {
        Self { failure: Failure::Connect, status: None, detail: Some(error.reason().to_owned()) }
    }
}

impl From<InvalidAnswer> for AttemptError {
    fn from(found: InvalidAnswer) -> Self {
        Self { failure: Failure::NotAnAnswer, status: None, detail: Some(found.name().to_owned()) }
    }
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None, detail: None }
    }
}

/// How long one attempt may keep its caller waiting.
pub(crate) struct AttemptTimeouts<'a, P: Host> {
    host: &'a P,
    idle: Duration,
    deadline: Timestamp,
    /// The next piece must be there by then.
    idle_deadline: Timestamp,
    /// The first content must be there by then.
    first_content_deadline: Timestamp,
}

impl<'a, P: Host> AttemptTimeouts<'a, P> {
    /// Begins to wait for the first byte of an attempt.
    pub(crate) fn start(task_host: &'a P, timeouts: Timeouts, deadline: Timestamp) -> Self {
        let idle_deadline = task_host.now() + timeouts.first_byte;
        Self {
            host: task_host,
            idle: timeouts.idle,
            deadline,
            idle_deadline,
            first_content_deadline: idle_deadline,
        }
    }

    /// Waits for some work, in time.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, AttemptError> {
        let until = self.idle_deadline.min(self.deadline);
        let timer = self.host.sleep(until.since(self.host.now()));
        until_timer(work, timer).await.ok_or(Failure::Timeout.into())
    }

    /// The next piece of a body, in time.
    pub(crate) async fn next_piece(
        &mut self,
        body: &mut Body,
    ) -> Result<Option<Bytes>, AttemptError> {
        let piece = match now_or_never(body).await {
            Some(piece) => piece,
            None => self.run(body.next_piece()).await?,
        };
        let piece = piece.transpose().map_err(AttemptError::connect)?;
        if self.host.now() >= self.deadline {
            return Err(Failure::Timeout.into());
        }
        Ok(piece)
    }

    /// What came is held back. Progress buys the idle time, but no more than there is for the first
    /// content; a host's timer has no chance where pieces are always there.
    pub(crate) fn check_progress(&mut self, is_progress: bool) -> Result<(), AttemptError> {
        let now = self.host.now();
        if now >= self.idle_deadline {
            return Err(Failure::Timeout.into());
        }
        if is_progress {
            self.idle_deadline = (now + self.idle).min(self.first_content_deadline);
        }
        Ok(())
    }

    /// There was progress: the next piece has the idle time.
    pub(crate) fn reset_idle(&mut self) {
        self.idle_deadline = self.host.now() + self.idle;
    }
}

/// A piece that is there already: no timer need be set for it.
async fn now_or_never(body: &mut Body) -> Option<Option<Result<Bytes, HostError>>> {
    poll_fn(|cx| match body.poll_piece(cx) {
        Poll::Ready(piece) => Poll::Ready(Some(piece)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
