//! A guarded stream: passes text after its guards have checked it, and ends where they block.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use guards::StreamWindow;
use openai::{ContentParts, Endpoint, StreamEvent};
use protocol::model::Protocol;

use crate::error::StreamError;
use crate::guards::block_response;
use crate::guards::pipeline::{GuardPipeline, GuardRejection};
use crate::host::Host;
use crate::host::error::HostError;
use crate::record::Outcome;

use super::relay::Relay;

/// A relayed stream behind its guards, as the caller's response body. It does not read on while a
/// check is pending: the host buffers the stream meanwhile.
pub(crate) struct GuardedStream<P: Host> {
    relay: Relay<P>,
    guards: Rc<GuardPipeline<P>>,
    endpoint: Endpoint,
    state: GuardedState,
    ready: VecDeque<StreamEvent>,
    /// Fires when waiting text must be checked although the window is not full.
    delay_timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Outcome of the request, if it is not the relay's.
    outcome: Option<Outcome>,
    /// Events were added to the window whose text is neither checked nor released yet.
    is_unsettled: bool,
    ended: bool,
}

type CheckResult = (StreamWindow, Result<(), GuardRejection>);

enum GuardedState {
    Reading(StreamWindow),
    Checking(Pin<Box<dyn Future<Output = CheckResult>>>),
    Ended,
}

impl<P: Host> GuardedStream<P> {
    /// Puts guards behind a relay.
    pub(crate) fn new(
        mut relay: Relay<P>,
        guards: Rc<GuardPipeline<P>>,
        endpoint: Endpoint,
    ) -> Self {
        relay.defer_close();
        Self {
            relay,
            endpoint,
            state: GuardedState::Reading(StreamWindow::default()),
            ready: VecDeque::new(),
            delay_timer: None,
            outcome: None,
            is_unsettled: false,
            ended: false,
            guards,
        }
    }

    /// Starts a check of the waiting text.
    fn start_check(&mut self, mut window: StreamWindow) {
        self.delay_timer = None;
        let guards = Rc::clone(&self.guards);
        self.state = GuardedState::Checking(Box::pin(async move {
            window.begin_check();
            let result = guards.check_texts(&mut window).await;
            (window, result)
        }));
    }

    /// Applies the result of a check.
    fn apply_result(&mut self, mut window: StreamWindow, result: Result<(), GuardRejection>) {
        if let Err(rejection) = result {
            return self.block(&rejection);
        }
        let masks = self.guards.masks.borrow();
        self.ready.extend(window.release(&*masks));
        drop(masks);
        self.state = if self.ended { GuardedState::Ended } else { GuardedState::Reading(window) };
    }

    /// Ends the stream with the guard's response. The waiting text is never shown.
    fn block(&mut self, rejection: &GuardRejection) {
        let (last, outcome) = match rejection {
            GuardRejection::Blocked(block) => {
                let guard = &self.guards.config.guards[block.guard];
                let last =
                    block_response::block_events(&self.guards.host, guard, block, self.endpoint);
                let name = guard.id.clone();
                self.relay.update_record(|record| record.blocked_by = Some(name));
                (last, Outcome::Blocked)
            }
            GuardRejection::Unavailable | GuardRejection::Unreadable(_) => {
                let error = StreamError::GuardUnavailable;
                self.relay.update_record(move |record| record.error = Some(error.code()));
                (vec![error.event(Protocol::Chat, 0)], Outcome::Truncated)
            }
        };
        let parts = ContentParts { texts: true, delta: false };
        self.ready.extend(last.into_iter().map(|event| StreamEvent::parse(event, parts).1));
        self.outcome = Some(outcome);
        self.relay.stop();
        self.state = GuardedState::Ended;
    }

    /// Adds an event from the relay.
    fn push(&mut self, mut window: StreamWindow, event: StreamEvent) {
        if window.push_event(event).is_err()
            && let Err(rejection) = self.guards.reject_unread("the answer cannot be read")
        {
            return self.block(&rejection);
        }
        // Events that arrived together are checked and released together: each check and each release
        // costs time for all held text. Without text the window is empty after each event.
        if window.waiting_bytes() > 0 && self.relay.has_ready_event() {
            self.is_unsettled = true;
            self.state = GuardedState::Reading(window);
        } else {
            self.settle(window);
        }
    }

    /// Checks or releases the texts of the window, if it is time.
    fn settle(&mut self, window: StreamWindow) {
        self.is_unsettled = false;
        match window.unchecked_chars() {
            0 => self.apply_result(window, Ok(())),
            // The more text is waiting for its continuation, the less often it is checked again.
            fresh if fresh >= self.guards.window_chars().max(window.waiting_bytes() / 4) => {
                self.start_check(window);
            }
            _ => self.state = GuardedState::Reading(window),
        }
    }

    /// Polls the timer of waiting text.
    fn poll_delay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let guards = &self.guards;
        let timer =
            self.delay_timer.get_or_insert_with(|| Box::pin(guards.host.sleep(guards.max_delay())));
        timer.as_mut().poll(cx)
    }

    /// Closes the record, with the findings of the guards.
    fn close_record(&mut self, outcome: Option<Outcome>) {
        let findings = self.guards.take_findings();
        self.relay.update_record(|record| findings.write_to(record));
        self.relay.close(outcome);
    }
}

impl<P: Host> Stream for GuardedStream<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.ready.pop_front() {
                this.relay.transcribe(&event);
                return Poll::Ready(Some(Ok(event.into_bytes())));
            }
            match std::mem::replace(&mut this.state, GuardedState::Ended) {
                GuardedState::Ended => {
                    this.close_record(this.outcome);
                    return Poll::Ready(None);
                }
                GuardedState::Checking(mut check) => match check.as_mut().poll(cx) {
                    Poll::Ready((window, result)) => this.apply_result(window, result),
                    Poll::Pending => {
                        this.state = GuardedState::Checking(check);
                        return Poll::Pending;
                    }
                },
                GuardedState::Reading(mut window) => match this.relay.poll_event(cx) {
                    Poll::Ready(Some(Ok(event))) => this.push(window, event),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => {
                        this.ended = true;
                        window.finish();
                        this.start_check(window);
                    }
                    // The relay has dropped the rest of the events that arrived together.
                    Poll::Pending if this.is_unsettled => this.settle(window),
                    Poll::Pending if window.unchecked_chars() == 0 => {
                        this.state = GuardedState::Reading(window);
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        this.state = GuardedState::Reading(window);
                        ready!(this.poll_delay(cx));
                        if let GuardedState::Reading(window) =
                            std::mem::replace(&mut this.state, GuardedState::Ended)
                        {
                            this.start_check(window);
                        }
                    }
                },
            }
        }
    }
}

// Nothing inside is pinned in place.
impl<P: Host> Unpin for GuardedStream<P> {}

impl<P: Host> Drop for GuardedStream<P> {
    fn drop(&mut self) {
        // A host may drop a body after its last piece without polling for the end.
        let all_shown = self.ready.is_empty() && matches!(self.state, GuardedState::Ended);
        self.close_record(if all_shown { self.outcome } else { Some(Outcome::HungUp) });
    }
}

impl<P: Host> fmt::Debug for GuardedStream<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream").field("relay", &self.relay).finish_non_exhaustive()
    }
}
