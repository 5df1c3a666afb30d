//! Relay of a committed stream to the caller: passes whole events, and reports an early end.

mod continuation;
mod drain;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Timeouts;
use futures_core::Stream;
use openai::StreamEvent;

use crate::error::StreamError;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::{Outcome, Record};
use crate::telemetry::request_scope::RequestScope;
use crate::telemetry::transcript::Transcript;
use crate::upstream::circuit_breaker::Signal;
use crate::upstream::commit::Committed;
use crate::upstream::continuation::ContinuationTargets;
use crate::upstream::continuation::splice::ContinuationSplicer;
use crate::upstream::sse_reader::StreamState;

use continuation::PendingContinuation;

/// A committed stream as the caller's response body.
///
/// Dropping it before its end means that the caller hung up: the upstream's body is dropped with it,
/// and the record's outcome says so.
pub(crate) struct Relay<P: Host> {
    stream: Committed,
    /// Targets that can continue the stream if it breaks off.
    continuation_targets: Option<Box<ContinuationTargets>>,
    host: P,
    scope: Option<RequestScope<P>>,
    /// Transcript of the events that the caller is shown.
    transcript: Option<Rc<Transcript>>,
    ending: Option<Outcome>,
    /// Whether the outer layer closes the record, because it may end the stream earlier.
    is_close_deferred: bool,
    /// A requested continuation, which holds the scope meanwhile.
    continuation: Option<PendingContinuation<P>>,
    /// Splices the stream behind an interrupted one, if it is a continuation.
    splicer: Option<ContinuationSplicer>,
    /// Events of a continuation that are shown next.
    spliced: VecDeque<StreamEvent>,
    /// Whether the stream's tokens are recorded already.
    is_usage_recorded: bool,
    idle: Duration,
    deadline: Timestamp,
    /// Start of the wait for the upstream; `None` while no piece is awaited, so that a slow reader is
    /// not mistaken for a silent upstream.
    idle_since: Option<Timestamp>,
    idle_timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<P: Host> Relay<P> {
    /// Starts to relay a stream. The relay owns the request's scope from here on.
    pub(crate) fn new(
        stream: Committed,
        continuation_targets: Option<Box<ContinuationTargets>>,
        host: P,
        scope: RequestScope<P>,
        timeouts: Timeouts,
    ) -> Self {
        let mut relay = Self {
            idle: timeouts.idle,
            deadline: scope.began() + timeouts.total,
            idle_since: None,
            idle_timer: None,
            stream,
            continuation_targets,
            ending: None,
            is_close_deferred: false,
            continuation: None,
            splicer: None,
            spliced: VecDeque::new(),
            is_usage_recorded: false,
            transcript: scope.transcript().cloned(),
            scope: Some(scope),
            host,
        };
        relay.apply_state();
        relay
    }

    /// Applies the state that the reader returned last.
    fn apply_state(&mut self) {
        match self.stream.state {
            StreamState::Open => {}
            StreamState::Done => {
                let body = std::mem::take(&mut self.stream.body);
                drain::drain_in_background(&self.host, body);
                self.finish_answer();
            }
            StreamState::Error => {
                self.continue_or_truncate(StreamError::UpstreamError);
            }
            StreamState::Malformed => {
                self.continue_or_truncate(StreamError::NotAChunk);
            }
        }
    }

    /// Handles the end of the upstream's body.
    fn upstream_ended(&mut self) {
        self.stream.body = Body::Empty;
        if let Some(reader) = &mut self.stream.reader {
            self.stream.state = reader.finish(&mut self.stream.ready);
            self.apply_state();
        }
        match &self.stream.reader {
            _ if self.ending.is_some() || self.continuation.is_some() => {}
            Some(reader) if !reader.meter().is_complete() => {
                self.continue_or_truncate(StreamError::Incomplete);
            }
            Some(_) | None => self.finish_answer(),
        }
    }

    /// Ends a complete answer.
    fn finish_answer(&mut self) {
        if let Some(permit) = &self.stream.permit {
            permit.record_tokens(self.stream.tokens());
        }
        // An empty answer is no proof of health.
        self.record_signal(match self.stream.has_text() {
            true => Signal::Success,
            false => Signal::Neutral,
        });
        self.ending = Some(Outcome::Answered);
    }

    /// Records the signal of the stream's end for the circuit breaker, once.
    fn record_signal(&mut self, signal: Signal) {
        if let Some(permit) = self.stream.permit.take() {
            permit.record(signal, self.host.now(), self.host.entropy());
        }
    }

    fn truncate(&mut self, error: StreamError) {
        // The request's own deadline is no evidence about the upstream.
        let is_late = self.host.now() >= self.deadline;
        self.record_signal(if is_late { Signal::Neutral } else { Signal::Failure });
        self.stream.body = Body::Empty;
        self.ending = Some(Outcome::Truncated);
        if let Some(scope) = &mut self.scope {
            scope.broke_off(error.code());
        }
    }

    /// Ends a stream that failed: events end with an error event, but a JSON body can only break off.
    fn fail(&mut self, error: StreamError) -> Result<(), HostError> {
        if self.stream.reader.is_some() {
            self.continue_or_truncate(error);
            Ok(())
        } else {
            self.truncate(error);
            Err(HostError::new(error.message()))
        }
    }

    /// Leaves the time of [`Relay::close`] to the outer layer.
    pub(crate) fn defer_close(&mut self) {
        self.is_close_deferred = true;
    }

    /// Adds an event that the caller is shown to the transcript, if there is one.
    pub(crate) fn transcribe(&self, event: &StreamEvent) {
        if let Some(transcript) = &self.transcript {
            transcript.add_event(event);
        }
    }

    /// Drops the rest of the stream.
    pub(crate) fn stop(&mut self) {
        self.stream.body = Body::Empty;
    }

    /// Changes the record while it is open.
    pub(crate) fn update_record(&mut self, change: impl FnOnce(&mut Record) + 'static) {
        if let Some(scope) = &mut self.scope {
            scope.update(change);
        } else if let Some(pending) = &self.continuation {
            pending.late_updates.borrow_mut().push(Box::new(change));
        }
    }

    /// Closes the record unless it is closed: with this outcome, or that of the stream's end.
    pub(crate) fn close(&mut self, outcome: Option<Outcome>) {
        let outcome = outcome.or(self.ending).unwrap_or(Outcome::HungUp);
        if outcome == Outcome::HungUp && self.close_after_usage() {
            return;
        }
        if let Some(scope) = self.record_usage() {
            scope.close(outcome);
        } else {
            self.update_record(move |record| record.outcome = outcome);
            // Drops the scope, which writes the record.
            self.continuation = None;
        }
    }

    /// Records the tokens, and returns the scope.
    fn record_usage(&mut self) -> Option<RequestScope<P>> {
        let mut scope = self.scope.take()?;
        if self.is_usage_recorded {
            return Some(scope);
        }
        scope.spent(self.stream.tokens());
        // A whole answer has shown it before.
        scope.update(|record| record.is_cut |= self.stream.is_cut());
        Some(scope)
    }

    /// Closes the record of a caller that left between the answer's end and its usage, once the
    /// usage has arrived. Returns whether it does so.
    fn close_after_usage(&mut self) -> bool {
        let stream = &self.stream;
        let awaits_usage =
            stream.reader.as_ref().is_some_and(|reader| reader.meter().awaits_usage());
        if !awaits_usage || self.is_usage_recorded || matches!(stream.body, Body::Empty) {
            return false;
        }
        let (Some(mut scope), Some(reader)) = (self.scope.take(), self.stream.reader.take()) else {
            return false;
        };
        scope.caller_left();
        let body = std::mem::take(&mut self.stream.body);
        let (prompt, bounds) = (self.stream.prompt_size, self.stream.bounds);
        let host = self.host.clone();
        self.host.defer(async move {
            let reader = drain::read_usage(&host, body, reader).await;
            scope.spent(reader.meter().tokens(prompt, bounds));
            scope.close(Outcome::HungUp);
        });
        true
    }

    /// Ready when the idle timeout or the deadline has passed. One timer serves many pieces: it is set
    /// again only when it fires.
    fn poll_idle_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.host.now();
            let since = *self.idle_since.get_or_insert(now);
            let due = (since + self.idle).min(self.deadline);
            if now >= due {
                return Poll::Ready(());
            }
            let host = &self.host;
            let timer = self.idle_timer.get_or_insert_with(|| Box::pin(host.sleep(due.since(now))));
            ready!(timer.as_mut().poll(cx));
            self.idle_timer = None;
        }
    }

    /// Polls the upstream's next piece and puts the events that may pass into `ready`.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HostError>> {
        let Poll::Ready(piece) = self.stream.body.poll_piece(cx) else {
            ready!(self.poll_idle_timeout(cx));
            return Poll::Ready(self.fail(StreamError::IdleTimeout));
        };
        self.idle_since = None;
        Poll::Ready(match piece {
            None => {
                self.upstream_ended();
                Ok(())
            }
            Some(Err(_)) => self.fail(StreamError::ConnectionBroken),
            Some(Ok(_)) if self.host.now() >= self.deadline => {
                self.fail(StreamError::DeadlinePassed)
            }
            Some(Ok(piece)) => {
                match &mut self.stream.reader {
                    Some(reader) => self.stream.state = reader.push(piece, &mut self.stream.ready),
                    None => {
                        self.stream.usage_tail.push(&piece);
                        self.stream.ready.push_back(StreamEvent::unparsed(piece));
                    }
                }
                self.apply_state();
                Ok(())
            }
        })
    }

    /// Whether an event has arrived that [`Relay::poll_event`] has not returned yet.
    pub(crate) fn has_ready_event(&self) -> bool {
        !self.stream.ready.is_empty() || !self.spliced.is_empty()
    }

    /// Polls the next event that the caller may be shown, or neighboring events if their content is
    /// not requested.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<StreamEvent, HostError>>> {
        loop {
            if let Some(event) = self.spliced.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if let Some(event) = self.stream.ready.pop_front() {
                match &mut self.splicer {
                    // The rest of the interrupted stream goes first, unchanged.
                    Some(splicer) if self.continuation.is_none() => {
                        splicer.splice(event, &mut self.spliced);
                    }
                    Some(_) | None => return Poll::Ready(Some(Ok(event))),
                }
                continue;
            }
            if self.continuation.is_some() {
                ready!(self.poll_continuation(cx));
                continue;
            }
            if self.ending.is_some() {
                if !self.is_close_deferred {
                    self.close(None);
                }
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_upstream(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl<P: Host> Stream for Relay<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.poll_event(cx));
        if let Some(Ok(event)) = &event {
            self.transcribe(event);
        }
        Poll::Ready(event.map(|event| event.map(StreamEvent::into_bytes)))
    }
}

// Nothing inside is pinned in place: the timer is boxed, the rest is plain data.
impl<P: Host> Unpin for Relay<P> {}

impl<P: Host> Drop for Relay<P> {
    fn drop(&mut self) {
        // Only content that was shown is charged. A host also drops a body that broke off, or whose
        // last piece it has, without polling for the end.
        self.close(self.has_ready_event().then_some(Outcome::HungUp));
    }
}

impl<P: Host> fmt::Debug for Relay<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("stream", &self.stream).finish_non_exhaustive()
    }
}
