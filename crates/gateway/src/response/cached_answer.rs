//! Response from a cache entry: at once, or paced.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::{AGE, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::cache::Replay;
use crate::cache::lookup::CacheHit;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::Outcome;
use crate::telemetry::request_scope::RequestScope;

use super::headers::{add_gateway_headers, disable_buffering};

/// Creates the response from a cache hit.
pub(crate) fn into_response<P: Host>(
    hit: CacheHit,
    host: P,
    mut scope: RequestScope<P>,
) -> Response<Body> {
    scope.responded(StatusCode::OK, None);
    scope.answered_by(hit.target);
    scope.spent(hit.charge.unwrap_or_default());
    if matches!(hit.replay, Replay::Events(_)) {
        scope.first_token();
    }
    let mut response = Response::new(Body::Empty);
    add_gateway_headers(&mut response, &scope);
    let headers = response.headers_mut();
    headers.insert(AGE, hit.age.into());
    let content_type = match &hit.replay {
        Replay::Whole(_) => "application/json",
        Replay::Events(_) => {
            disable_buffering(headers);
            "text/event-stream"
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = match (hit.replay, hit.pace) {
        (Replay::Events(events), Some(pace)) => Body::stream(PacedReplay {
            events: events.into(),
            pace,
            timer: None,
            scope: Some(scope),
            host,
        }),
        (Replay::Events(events), None) => {
            scope.close(Outcome::Answered);
            Body::from(Bytes::from(events.concat()))
        }
        (Replay::Whole(whole), _) => {
            scope.close(Outcome::Answered);
            Body::from(whole)
        }
    };
    response
}

/// Events with a pause between them. Dropping the body before its end means that the caller hung
/// up.
struct PacedReplay<P: Host> {
    events: VecDeque<Bytes>,
    pace: Duration,
    timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
    scope: Option<RequestScope<P>>,
    host: P,
}

impl<P: Host> Stream for PacedReplay<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        let event = self.events.pop_front();
        if event.is_some() && !self.events.is_empty() {
            self.timer = Some(Box::pin(self.host.sleep(self.pace)));
        }
        if event.is_none()
            && let Some(scope) = self.scope.take()
        {
            scope.close(Outcome::Answered);
        }
        Poll::Ready(event.map(Ok))
    }
}

// Nothing inside is pinned in place: the timer is boxed.
impl<P: Host> Unpin for PacedReplay<P> {}

impl<P: Host> Drop for PacedReplay<P> {
    fn drop(&mut self) {
        if self.events.is_empty()
            && let Some(scope) = self.scope.take()
        {
            scope.close(Outcome::Answered);
        }
    }
}
