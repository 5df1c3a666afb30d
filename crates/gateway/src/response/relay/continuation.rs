//! Continuation of a relayed stream that broke off.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use openai::{ContentParts, StreamEvent};
use protocol::model::Protocol;

use crate::error::StreamError;
use crate::host::Host;
use crate::host::body::Body;
use crate::telemetry::request_scope::{LateUpdates, RequestScope};
use crate::upstream::circuit_breaker::Signal;
use crate::upstream::commit::Committed;
use crate::upstream::continuation::splice::ContinuationSplicer;

use super::Relay;

/// Returns the scope, and the stream of the continuation if there is one.
type ContinuationFuture<P> =
    Pin<Box<dyn Future<Output = (RequestScope<P>, Option<Box<Committed>>)>>>;

/// A requested continuation of an interrupted stream.
pub(super) struct PendingContinuation<P: Host> {
    pub(super) work: ContinuationFuture<P>,
    /// Changes to the record while the scope is in use by `work`.
    pub(super) late_updates: LateUpdates,
    /// Error for the caller if no target continues the stream.
    pub(super) error: StreamError,
}

impl<P: Host> Relay<P> {
    /// Requests a continuation, or ends the stream with an error event.
    pub(super) fn continue_or_truncate(&mut self, error: StreamError) {
        if self.start_continuation(error) {
            return;
        }
        let reader = self.stream.reader.as_ref();
        let (protocol, events) = reader
            .map_or((Protocol::Chat, 0), |reader| (reader.protocol(), reader.meter().events()));
        let event = error.event(protocol, events);
        self.stream.ready.push_back(StreamEvent::without_content(event));
        self.truncate(error);
    }

    /// Requests a continuation of the stream if one is possible. Returns whether it is.
    fn start_continuation(&mut self, error: StreamError) -> bool {
        let is_late = self.host.now() >= self.deadline;
        let Some(continuation_targets) = self.continuation_targets.take().filter(|_| !is_late)
        else {
            return false;
        };
        let Some(reader) = &self.stream.reader else { return false };
        let Some((streamed_text, text)) =
            reader.streamed_text().and_then(|streamed| Some((streamed, streamed.text()?)))
        else {
            return false;
        };
        let Some(mut scope) = self.scope.take() else { return false };
        scope.split_usage(self.stream.tokens());
        let parts = ContentParts { delta: false, ..reader.parts() };
        self.splicer = Some(ContinuationSplicer::new(streamed_text, parts));
        let late_updates = scope.late_updates();
        let work = continuation_targets.continue_stream(self.host.clone(), scope, text.to_owned());
        self.continuation = Some(PendingContinuation { work: Box::pin(work), late_updates, error });
        self.is_usage_recorded = true;
        self.record_signal(Signal::Failure);
        self.stream.body = Body::Empty;
        true
    }

    /// Polls the requested continuation and applies its result.
    pub(super) fn poll_continuation(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pending) = &mut self.continuation else { return Poll::Ready(()) };
        let (scope, stream) = ready!(pending.work.as_mut().poll(cx));
        let error = pending.error;
        (self.scope, self.continuation) = (Some(scope), None);
        match stream {
            Some(stream) => {
                (self.stream, self.is_usage_recorded) = (*stream, false);
                self.idle_since = None;
                self.apply_state();
            }
            None => {
                self.splicer = None;
                self.continue_or_truncate(error);
            }
        }
        Poll::Ready(())
    }
}
