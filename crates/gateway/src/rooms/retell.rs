//! A kept answer on its way to the caller, at once or in its own time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::{AGE, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::cache::Replay;
use crate::observe::Outcome;
use crate::outage::Outage;
use crate::platform::Platform;

use super::entry::Entry;
use super::headers::{must_pass_at_once, name};
use super::shelf::Hit;

/// Gives the caller what was kept.
pub(super) fn deliver<P: Platform>(hit: Hit, platform: P, mut entry: Entry<P>) -> Response<Body> {
    entry.responded(StatusCode::OK, None);
    entry.answered_by(hit.target);
    entry.spent(hit.charge.unwrap_or_default());
    entry.first_token();
    let mut response = Response::new(Body::Empty);
    name(&mut response, &entry);
    let headers = response.headers_mut();
    headers.insert(AGE, hit.age.into());
    let content_type = match &hit.replay {
        Replay::Whole(_) => "application/json",
        Replay::Events(_) => {
            must_pass_at_once(headers);
            "text/event-stream"
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = match (hit.replay, hit.pace) {
        (Replay::Events(events), Some(pace)) => {
            let alarm = None;
            Body::stream(Paced { events: events.into(), pace, alarm, entry: Some(entry), platform })
        }
        (Replay::Events(events), None) => {
            entry.close(Outcome::Answered);
            Body::from(Bytes::from(events.concat()))
        }
        (Replay::Whole(whole), _) => {
            entry.close(Outcome::Answered);
            Body::from(whole)
        }
    };
    response
}

/// Events with a pause between them. Dropping it before its end means that the caller hung up.
struct Paced<P: Platform> {
    events: VecDeque<Bytes>,
    pace: Duration,
    alarm: Option<Pin<Box<dyn Future<Output = ()>>>>,
    entry: Option<Entry<P>>,
    platform: P,
}

impl<P: Platform> Stream for Paced<P> {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
        }
        let event = self.events.pop_front();
        if event.is_some() && !self.events.is_empty() {
            self.alarm = Some(Box::pin(self.platform.sleep(self.pace)));
        }
        if event.is_none()
            && let Some(entry) = self.entry.take()
        {
            entry.close(Outcome::Answered);
        }
        Poll::Ready(event.map(Ok))
    }
}

// Nothing inside is pinned in place: the alarm is boxed.
impl<P: Platform> Unpin for Paced<P> {}

impl<P: Platform> Drop for Paced<P> {
    fn drop(&mut self) {
        if self.events.is_empty()
            && let Some(entry) = self.entry.take()
        {
            entry.close(Outcome::Answered);
        }
    }
}
