//! Scripted response body: the steps of a plan as a stream in virtual time.

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

/// Call in progress. Dropping it records how the call ended.
pub(super) struct ActiveCall {
    world: World,
    id: CallId,
    ended: Ended,
}

impl ActiveCall {
    /// Starts as abandoned; [`ActiveCall::end`] changes that.
    pub(super) fn new(world: World, id: CallId) -> Self {
        Self { world, id, ended: Ended::Abandoned }
    }

    /// Sets how the call ends.
    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = ended;
    }

    /// Builds the response, whose body follows the steps.
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
        self.world.0.registry.borrow_mut().end_call(&self.id, self.ended);
    }
}

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
                    // With the last byte the answer is complete, even if the caller does not read the end.
                    if matches!(self.steps.front(), None | Some(BodyStep::End)) {
                        self.call.ended = Ended::Completed;
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(BodyStep::Wait(duration)) => {
                    self.pause = Some(Box::pin(self.call.world.executor().sleep(duration)));
                }
                Some(BodyStep::Cut { .. }) => {
                    self.is_over = true;
                    self.call.ended = Ended::Cut;
                    return Poll::Ready(Some(Err(HostError::new("connection reset by peer"))));
                }
                Some(BodyStep::Hang) => {
                    self.steps.push_front(BodyStep::Hang);
                    return Poll::Pending;
                }
                Some(BodyStep::End) | None => {
                    self.is_over = true;
                    self.call.ended = Ended::Completed;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
