//! Timeouts of an attempt that is not committed yet: for the head, the first byte, and the next
//! piece.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Timeouts;
use http::StatusCode;
use openai::InvalidAnswer;

use crate::host::Host;
use crate::host::body::{self, Body};
use crate::host::error::HostError;
use crate::host::futures::until_timer;
use crate::upstream::classify::Failure;

/// Failure of an attempt.
pub(crate) struct AttemptError {
    pub(crate) failure: Failure,
    /// The status, if a head arrived.
    pub(crate) status: Option<StatusCode>,
    /// Detail for the record.
    pub(crate) detail: Option<String>,
}

impl AttemptError {
    /// The connection failed before the head of a response.
    pub(crate) fn no_response(error: HostError) -> Self {
        Self { failure: Failure::NoResponse, status: None, detail: Some(error.reason().to_owned()) }
    }

    pub(crate) fn connect(error: HostError) -> Self {
        Self { failure: Failure::Connect, status: None, detail: Some(error.reason().to_owned()) }
    }

    /// A failure with the name by which it was recognized.
    pub(crate) fn named(failure: Failure, name: Option<&'static str>) -> Self {
        Self { failure, status: None, detail: name.map(str::to_owned) }
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

/// Timeouts of one attempt.
pub(crate) struct AttemptTimeouts<'a, P: Host> {
    host: &'a P,
    idle: Duration,
    deadline: Timestamp,
    /// Deadline of the next piece.
    idle_deadline: Timestamp,
    /// Deadline of the first content.
    first_content_deadline: Timestamp,
}

impl<'a, P: Host> AttemptTimeouts<'a, P> {
    /// Starts the wait for the first byte of an attempt. A model that was asked to think may be as silent
    /// before a stream's content as before a whole answer.
    pub(crate) fn start(
        task_host: &'a P,
        timeouts: Timeouts,
        request: &openai::Request,
        deadline: Timestamp,
    ) -> Self {
        let first = timeouts.until_first_byte(request.stream && !request.asks_for_thinking);
        let idle_deadline = task_host.now() + first;
        let idle = if request.asks_for_thinking { first } else { timeouts.idle };
        Self {
            host: task_host,
            idle,
            deadline,
            idle_deadline,
            first_content_deadline: idle_deadline,
        }
    }

    /// Runs a future until the next deadline.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, AttemptError> {
        let until = self.idle_deadline.min(self.deadline);
        let timer = self.host.sleep(until.since(self.host.now()));
        until_timer(work, timer).await.ok_or(Failure::Timeout.into())
    }

    /// Reads the next piece of a body before the next deadline.
    pub(crate) async fn next_piece(
        &mut self,
        body: &mut Body,
    ) -> Result<Option<Bytes>, AttemptError> {
        let piece = match body::now_or_never(body).await {
            Some(piece) => piece,
            None => self.run(body.next_piece()).await?,
        };
        let piece = piece.transpose().map_err(AttemptError::connect)?;
        if self.host.now() >= self.deadline {
            return Err(Failure::Timeout.into());
        }
        Ok(piece)
    }

    /// Checks the deadlines of a stream that is held back. Progress extends the idle time, but not
    /// beyond the deadline of the first content. A host's timer never fires while pieces are always
    /// available.
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

    /// Restarts the idle time after progress.
    pub(crate) fn reset_idle(&mut self) {
        self.idle_deadline = self.host.now() + self.idle;
    }
}
