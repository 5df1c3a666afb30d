//! A committed stream on its way to the caller: passed on event by event, and ended truthfully.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Timeouts;
use futures_core::Stream;
use openai::{ErrorBody, ErrorObject};

use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::{Outcome, Record};
use crate::telemetry::request_scope::{LateUpdates, RequestScope};
use crate::telemetry::transcript::Transcript;
use crate::upstream::circuit_breaker::Signal;
use crate::upstream::commit::Committed;
use crate::upstream::continuation::ContinuationTargets;
use crate::upstream::continuation::splice::ContinuationSplicer;
use crate::upstream::sse_reader::StreamState;

/// How long the upstream may take to end its body after `[DONE]`, so that the host can use the
/// connection again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// What it may still say until then, in bytes.
const MAX_DRAINED_BYTES: usize = 64 << 10;

/// A committed stream as the caller's response body.
///
/// Dropping it before its end means that the caller hung up: the upstream's body is dropped with it
/// and the record says so.
pub struct Relay<P: Host> {
    stream: Committed,
    /// Targets that can continue the stream where it breaks off.
    continuation_targets: Option<Box<ContinuationTargets>>,
    host: P,
    scope: Option<RequestScope<P>>,
    /// Where to write down what the caller is shown.
    transcript: Option<Rc<Transcript>>,
    ending: Option<Outcome>,
    /// Somebody else closes the record, who may end the stream in another way.
    is_close_deferred: bool,
    /// Somebody is asked to go on where the stream broke off. Holds the entry meanwhile.
    continuation: Option<PendingContinuation<P>>,
    /// The stream is another one's rest.
    splicer: Option<ContinuationSplicer>,
    /// The stream's tokens are in the books already.
    is_usage_recorded: bool,
    idle: Duration,
    deadline: Timestamp,
    /// When the upstream began to be silent; `None` while nobody has had to wait for it, so that a
    /// caller who reads slowly is not mistaken for it.
    idle_since: Option<Timestamp>,
    idle_timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Gives the entry back, and the stream that goes on.
type ContinuationFuture<P> =
    Pin<Box<dyn Future<Output = (RequestScope<P>, Option<Box<Committed>>)>>>;

/// A stream that broke off, while somebody is asked to go on.
struct PendingContinuation<P: Host> {
    work: ContinuationFuture<P>,
    /// What the entry is to hear if nobody waits for the work any more.
    late_updates: LateUpdates,
    /// What the caller is told if nobody does.
    code: &'static str,
    message: &'static str,
}

impl<P: Host> Relay<P> {
    /// Begins to pass a stream on. From here on the relay holds the request's record.
    pub fn new(
        (stream, continuation_targets): (Committed, Option<Box<ContinuationTargets>>),
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
            is_usage_recorded: false,
            transcript: scope.transcript().cloned(),
            scope: Some(scope),
            host,
        };
        relay.apply_state();
        relay
    }

    /// Draws the consequences of what the reader saw last.
    fn apply_state(&mut self) {
        match self.stream.state {
            StreamState::Open => {}
            StreamState::Done => {
                let body = std::mem::take(&mut self.stream.body);
                self.host.defer(drain(body, self.host.sleep(DRAIN_TIMEOUT)));
                self.finish_answer();
            }
            StreamState::Error => {
                self.continue_or_truncate("upstream_error", "The upstream reported an error.")
            }
            StreamState::Malformed => {
                self.continue_or_truncate(
                    "upstream_error",
                    "The upstream sent something that is not a chunk.",
                );
            }
        }
    }

    /// The upstream's body ended.
    fn upstream_ended(&mut self) {
        self.stream.body = Body::Empty;
        if let Some(reader) = &mut self.stream.reader {
            self.stream.state = reader.finish(&mut self.stream.ready);
            self.apply_state();
        }
        match &self.stream.reader {
            _ if self.ending.is_some() || self.continuation.is_some() => {}
            Some(reader) if !reader.meter().is_complete() => {
                self.continue_or_truncate(
                    "upstream_error",
                    "The upstream ended the stream before the answer was complete.",
                );
            }
            Some(_) | None => self.finish_answer(),
        }
    }

    /// The answer is whole.
    fn finish_answer(&mut self) {
        self.record_signal(Signal::Success);
        self.ending = Some(Outcome::Answered);
    }

    /// Notes what the end of the stream says about the upstream's health, once.
    fn record_signal(&mut self, signal: Signal) {
        if let Some(permit) = self.stream.permit.take() {
            permit.record(signal, self.host.now(), self.host.entropy());
        }
    }

    /// Has somebody asked to go on, or ends the stream with an error event in place of what is missing.
    fn continue_or_truncate(&mut self, code: &'static str, message: &'static str) {
        if self.start_continuation(code, message) {
            return;
        }
        let error = ErrorObject { message, kind: "upstream_error", param: None, code: Some(code) };
        self.stream.ready.push_back(ErrorBody { error }.to_event().into());
        self.truncate(code);
    }

    /// Asks somebody to go on where the stream broke off, if that is possible.
    fn start_continuation(&mut self, code: &'static str, message: &'static str) -> bool {
        let is_late = self.host.now() >= self.deadline;
        let Some(continuation_targets) = self.continuation_targets.take().filter(|_| !is_late)
        else {
            return false;
        };
        let Some(reader) = &self.stream.reader else { return false };
        let Some((streamed_text, said)) = reader
            .streamed_text()
            .and_then(|streamed_text| Some((streamed_text, streamed_text.text()?)))
        else {
            return false;
        };
        let Some(mut scope) = self.scope.take() else { return false };
        scope.split_usage(reader.meter().tokens(self.stream.prompt_size));
        self.splicer = Some(ContinuationSplicer::new(streamed_text));
        let notes = scope.late_updates();
        let work = continuation_targets.continue_stream(self.host.clone(), scope, said.to_owned());
        self.continuation =
            Some(PendingContinuation { work: Box::pin(work), late_updates: notes, code, message });
        self.is_usage_recorded = true;
        self.record_signal(Signal::Failure);
        self.stream.body = Body::Empty;
        true
    }

    /// Takes what became of asking somebody to go on.
    fn poll_continuation(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(continuing) = &mut self.continuation else { return Poll::Ready(()) };
        let (scope, stream) = ready!(continuing.work.as_mut().poll(cx));
        let (code, message) = (continuing.code, continuing.message);
        (self.scope, self.continuation) = (Some(scope), None);
        match stream {
            Some(stream) => {
                (self.stream, self.is_usage_recorded) = (*stream, false);
                self.idle_since = None;
                self.apply_state();
            }
            None => {
                self.splicer = None;
                self.continue_or_truncate(code, message);
            }
        }
        Poll::Ready(())
    }

    fn truncate(&mut self, code: &'static str) {
        // That the time of this request is up says nothing about the upstream.
        let is_late = self.host.now() >= self.deadline;
        self.record_signal(if is_late { Signal::Neutral } else { Signal::Failure });
        self.stream.body = Body::Empty;
        self.ending = Some(Outcome::Truncated);
        if let Some(scope) = &mut self.scope {
            scope.broke_off(code);
        }
    }

    /// The stream cannot go on. Events end with one that says so; a JSON body can only break off.
    fn fail(&mut self, code: &'static str, message: &'static str) -> Result<(), HostError> {
        if self.stream.reader.is_some() {
            self.continue_or_truncate(code, message);
            Ok(())
        } else {
            self.truncate(code);
            Err(HostError::new(message))
        }
    }

    /// Leaves it to the caller of [`Relay::close`] when the record is written.
    pub(crate) fn defer_close(&mut self) {
        self.is_close_deferred = true;
    }

    /// Writes down events that the caller is shown, where that is wanted.
    pub(crate) fn transcribe(&self, events: &Bytes) {
        if let Some(transcript) = &self.transcript {
            transcript.add_events(events);
        }
    }

    /// Asks for no more of the stream.
    pub(crate) fn stop(&mut self) {
        self.stream.body = Body::Empty;
    }

    /// Notes something in the record, while it is open.
    pub(crate) fn update_record(&mut self, note: impl FnOnce(&mut Record) + 'static) {
        if let Some(scope) = &mut self.scope {
            scope.update(note);
        } else if let Some(continuing) = &self.continuation {
            continuing.late_updates.borrow_mut().push(Box::new(note));
        }
    }

    /// Closes the record, if that was not done: in this way, or as the stream has ended.
    pub(crate) fn close(&mut self, outcome: Option<Outcome>) {
        let outcome = outcome.or(self.ending).unwrap_or(Outcome::HungUp);
        if let Some(scope) = self.record_usage() {
            scope.close(outcome);
        } else {
            self.update_record(move |record| record.outcome = outcome);
            // The entry goes with it.
            self.continuation = None;
        }
    }

    /// Hands the tokens to the record, which is written when the entry goes.
    fn record_usage(&mut self) -> Option<RequestScope<P>> {
        let mut scope = self.scope.take()?;
        if self.is_usage_recorded {
            return Some(scope);
        }
        scope.spent(match &self.stream.reader {
            Some(reader) => reader.meter().tokens(self.stream.prompt_size),
            None => self.stream.usage_tail.tokens(self.stream.prompt_size),
        });
        Some(scope)
    }

    /// Whether the upstream has been silent for too long. One timer serves many pieces: it is set
    /// anew only when it goes off.
    fn poll_idle_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.host.now();
            let since = *self.idle_since.get_or_insert(now);
            let due = (since + self.idle).min(self.deadline);
            if now >= due {
                return Poll::Ready(());
            }
            let host = &self.host;
            let alarm = self.idle_timer.get_or_insert_with(|| Box::pin(host.sleep(due.since(now))));
            ready!(alarm.as_mut().poll(cx));
            self.idle_timer = None;
        }
    }

    /// Waits for the upstream's next piece and puts what may pass into `ready`.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HostError>> {
        let Poll::Ready(piece) = self.stream.body.poll_piece(cx) else {
            ready!(self.poll_idle_timeout(cx));
            return Poll::Ready(
                self.fail("upstream_timeout", "The upstream was silent for too long."),
            );
        };
        self.idle_since = None;
        Poll::Ready(match piece {
            None => {
                self.upstream_ended();
                Ok(())
            }
            Some(Err(_)) => self.fail("upstream_error", "The connection to the upstream broke."),
            Some(Ok(_)) if self.host.now() >= self.deadline => {
                self.fail("upstream_timeout", "The time for this request is up.")
            }
            Some(Ok(piece)) => {
                match &mut self.stream.reader {
                    Some(reader) => self.stream.state = reader.push(piece, &mut self.stream.ready),
                    None => {
                        self.stream.usage_tail.push(&piece);
                        self.stream.ready.push_back(piece);
                    }
                }
                self.apply_state();
                Ok(())
            }
        })
    }
}

impl<P: Host> Stream for Relay<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let relay = &mut *self;
        loop {
            if let Some(piece) = relay.stream.ready.pop_front() {
                let piece = match &mut relay.splicer {
                    // What is left of the stream that broke off goes first, as it is.
                    Some(splicer) if relay.continuation.is_none() => splicer.splice(piece),
                    Some(_) | None => piece,
                };
                if piece.is_empty() {
                    continue;
                }
                // Who closes the record also knows what is shown of this.
                if !relay.is_close_deferred {
                    relay.transcribe(&piece);
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            if relay.continuation.is_some() {
                ready!(relay.poll_continuation(cx));
                continue;
            }
            if relay.ending.is_some() {
                if !relay.is_close_deferred {
                    relay.close(None);
                }
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(relay.poll_upstream(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

// Nothing inside is pinned in place: the alarm is boxed, the rest is plain data.
impl<P: Host> Unpin for Relay<P> {}

impl<P: Host> Drop for Relay<P> {
    fn drop(&mut self) {
        // What was shown until the caller left is what is charged. A host also drops a body that
        // broke off, or whose last piece it has, without asking for the end.
        let all_shown = self.stream.ready.is_empty();
        self.close((!all_shown).then_some(Outcome::HungUp));
    }
}

impl<P: Host> fmt::Debug for Relay<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Reads a body to its end and throws it away, as long as the timer and `MOST_DRAINED` let it.
async fn drain(mut body: Body, timer: impl Future<Output = ()>) {
    let mut timer = pin!(timer);
    let mut drained = 0;
    poll_fn(|cx| {
        while let Poll::Ready(piece) = body.poll_piece(cx) {
            match piece {
                Some(Ok(piece)) if drained < MAX_DRAINED_BYTES => drained += piece.len(),
                Some(_) | None => return Poll::Ready(()),
            }
        }
        timer.as_mut().poll(cx)
    })
    .await;
}
