//! A stream that guards watch: it goes on as their word comes, and ends where they say so.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use openai::{Endpoint, ErrorBody, ErrorObject, Framer};

use crate::guard::Window;
use crate::observe::Outcome;
use crate::outage::Outage;
use crate::platform::Platform;

use super::blocked;
use super::inspect::{Inspector, Stop};
use super::relay::Relay;

/// The relay lets only whole events pass, and none that is longer than this.
const LONGEST_EVENT: usize = 32 << 20;

/// A relayed stream as the caller's response body, behind its guards. It asks for no more of the
/// stream while they think: the host holds what comes meanwhile.
pub struct Screen<P: Platform> {
    relay: Relay<P>,
    inspector: Rc<Inspector<P>>,
    endpoint: Endpoint,
    framer: Framer,
    state: State,
    ready: VecDeque<Bytes>,
    /// Goes off when text has waited long enough for others.
    alarm: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// How it ends, where that is not as the relay says.
    outcome: Option<Outcome>,
    ended: bool,
}

type Checked = (Window, Result<(), Stop>);

enum State {
    Reading(Window),
    Checking(Pin<Box<dyn Future<Output = Checked>>>),
    Over,
}

impl<P: Platform> Screen<P> {
    /// Puts guards before a relay.
    pub fn new(mut relay: Relay<P>, inspector: Rc<Inspector<P>>, endpoint: Endpoint) -> Self {
        relay.leave_open();
        Self {
            relay,
            endpoint,
            framer: Framer::new(LONGEST_EVENT),
            state: State::Reading(Window::default()),
            ready: VecDeque::new(),
            alarm: None,
            outcome: None,
            ended: false,
            inspector,
        }
    }

    /// Has the guards look at what waits.
    fn check(&mut self, mut window: Window) {
        self.alarm = None;
        let inspector = Rc::clone(&self.inspector);
        self.state = State::Checking(Box::pin(async move {
            window.begin_check();
            let result = inspector.check(&mut window).await;
            (window, result)
        }));
    }

    /// Goes by what the guards have said.
    fn follow(&mut self, mut window: Window, result: Result<(), Stop>) {
        if let Err(stop) = result {
            return self.stop(&stop);
        }
        let masks = self.inspector.masks.borrow();
        self.ready.extend(window.release(&*masks));
        drop(masks);
        self.state = if self.ended { State::Over } else { State::Reading(window) };
    }

    /// Ends the stream in the guards' name. What waits is never shown.
    fn stop(&mut self, stop: &Stop) {
        let (last, outcome) = match stop {
            Stop::Blocked(block) => {
                let guard = &self.inspector.config.guards[block.guard];
                let last = blocked::events(&self.inspector.platform, guard, block, self.endpoint);
                let name = guard.id.clone();
                self.relay.record(|record| record.blocked_by = Some(name));
                (last, Outcome::Blocked)
            }
            Stop::Unavailable | Stop::Unreadable(_) => {
                let error = ErrorObject {
                    message: "A guard that must check this answer cannot be reached.",
                    kind: "server_error",
                    param: None,
                    code: Some(UNAVAILABLE),
                };
                self.relay.record(|record| record.error = Some(UNAVAILABLE));
                (ErrorBody { error }.to_event().into(), Outcome::Truncated)
            }
        };
        self.ready.push_back(last);
        self.outcome = Some(outcome);
        self.relay.stop();
        self.state = State::Over;
    }

    /// Takes what the relay lets pass.
    fn take(&mut self, mut window: Window, piece: Bytes) {
        let mut readable = self.framer.push(piece).is_ok();
        while let Some(event) = self.framer.next_event() {
            readable &= window.take(self.framer.slice(event)).is_ok();
        }
        if !readable && let Err(stop) = self.inspector.unreadable() {
            return self.stop(&stop);
        }
        match window.fresh() {
            0 => self.follow(window, Ok(())),
            // The more waits for what follows, the more seldom it is looked at again.
            fresh if fresh >= self.inspector.window().max(window.waiting() / 4) => {
                self.check(window);
            }
            _ => self.state = State::Reading(window),
        }
    }

    /// Whether text has waited long enough for others.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let inspector = &self.inspector;
        let alarm =
            self.alarm.get_or_insert_with(|| Box::pin(inspector.platform.sleep(inspector.delay())));
        alarm.as_mut().poll(cx)
    }

    /// Closes the books, with what the guards have noted.
    fn close(&mut self, outcome: Option<Outcome>) {
        let notes = self.inspector.take_notes();
        self.relay.record(|record| notes.write(record));
        self.relay.close(outcome);
    }
}

const UNAVAILABLE: &str = "guard_unavailable";

impl<P: Platform> Stream for Screen<P> {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let screen = &mut *self;
        loop {
            if let Some(piece) = screen.ready.pop_front() {
                screen.relay.show(&piece);
                return Poll::Ready(Some(Ok(piece)));
            }
            match std::mem::replace(&mut screen.state, State::Over) {
                State::Over => {
                    screen.close(screen.outcome);
                    return Poll::Ready(None);
                }
                State::Checking(mut check) => match check.as_mut().poll(cx) {
                    Poll::Ready((window, result)) => screen.follow(window, result),
                    Poll::Pending => {
                        screen.state = State::Checking(check);
                        return Poll::Pending;
                    }
                },
                State::Reading(mut window) => match Pin::new(&mut screen.relay).poll_next(cx) {
                    Poll::Ready(Some(Ok(piece))) => screen.take(window, piece),
                    Poll::Ready(Some(Err(outage))) => return Poll::Ready(Some(Err(outage))),
                    Poll::Ready(None) => {
                        screen.ended = true;
                        window.end();
                        screen.check(window);
                    }
                    Poll::Pending if window.fresh() == 0 => {
                        screen.state = State::Reading(window);
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        screen.state = State::Reading(window);
                        ready!(screen.poll_alarm(cx));
                        if let State::Reading(window) =
                            std::mem::replace(&mut screen.state, State::Over)
                        {
                            screen.check(window);
                        }
                    }
                },
            }
        }
    }
}

// Nothing inside is pinned in place.
impl<P: Platform> Unpin for Screen<P> {}

impl<P: Platform> Drop for Screen<P> {
    fn drop(&mut self) {
        // A host may drop a body whose last piece it has without asking for its end.
        let all_shown = self.ready.is_empty() && matches!(self.state, State::Over);
        self.close(if all_shown { self.outcome } else { Some(Outcome::HungUp) });
    }
}

impl<P: Platform> fmt::Debug for Screen<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("relay", &self.relay).finish_non_exhaustive()
    }
}
