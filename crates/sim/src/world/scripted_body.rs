//! A scripted body that is being read: the steps of a play as a stream.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use gateway::host::body::Body;
use gateway::host::error::HostError;

use crate::executor::Sleep;
use crate::upstream::{BodyStep, CallId, Ended, PlannedResponse};

use super::World;

/// One call in progress. However it is dropped, its end is noted.
pub(super) struct ActiveCall {
    world: World,
    id: CallId,
    left: Ended,
}

impl ActiveCall {
    /// A call that has begun: abandoned, unless something better is noted.
    pub(super) fn new(world: World, id: CallId) -> Self {
        Self { world, id, left: Ended::Abandoned }
    }

    /// Notes how the call ends.
    pub(super) fn end(&mut self, ended: Ended) {
        self.left = ended;
    }

    /// Gives back the head, and the body as it is to be played.
    pub(super) fn respond(self, response: PlannedResponse) -> http::Response<Body> {
        let mut answer = http::Response::new(Body::Empty);
        *answer.status_mut() = response.status;
        *answer.headers_mut() = response.headers;
        if let Some(length) = response.length {
            answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        *answer.body_mut() = Body::stream(ScriptedBody {
            call: self,
            steps: response.steps.into(),
            pause: None,
            is_over: false,
        });
        answer
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.world.0.registry.borrow_mut().end_call(&self.id, self.left);
    }
}

/// A body that is being played.
struct ScriptedBody {
    call: ActiveCall,
    steps: VecDeque<BodyStep>,
    pause: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl Stream for ScriptedBody {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        assert!(!self.is_over, "the body was polled after its end");
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.pop_front() {
                Some(BodyStep::Send(bytes)) => {
                    // Who has every byte has the whole answer, whether or not it reads on to the end.
                    if matches!(self.steps.front(), None | Some(BodyStep::End)) {
                        self.call.left = Ended::Completed;
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(BodyStep::Wait(duration)) => {
                    self.pause = Some(Box::pin(self.call.world.executor().sleep(duration)));
                }
                Some(BodyStep::Cut { .. }) => {
                    self.is_over = true;
                    self.call.left = Ended::Cut;
                    return Poll::Ready(Some(Err(HostError::new("connection reset by peer"))));
                }
                Some(BodyStep::Hang) => {
                    self.steps.push_front(BodyStep::Hang);
                    return Poll::Pending;
                }
                Some(BodyStep::End) | None => {
                    self.is_over = true;
                    self.call.left = Ended::Completed;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
