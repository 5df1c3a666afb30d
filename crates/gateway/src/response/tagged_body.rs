//! Body of an answer of Responses whose ids of stored responses get the tag of their owner.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use openai::{Event, Framer};
use protocol::{edit_answer_ids, edit_event_ids};

use crate::host::body::Body;
use crate::host::error::HostError;
use crate::request::headers::is_event_stream;
use crate::upstream::response_tag::ResponseTagger;
use crate::upstream::sse_reader::MAX_EVENT_BYTES;

/// Tags the ids in a response's body. All other bytes stay.
pub(crate) fn tag(response: http::Response<Body>, tagger: ResponseTagger) -> http::Response<Body> {
    let (parts, body) = response.into_parts();
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    let body = match body {
        Body::Whole(whole) if !is_stream => {
            let text = str::from_utf8(&whole).ok();
            let tagged = text.and_then(|text| edit_answer_ids(text, &|id| tagger.tag(id)));
            Body::from(tagged.map_or(whole, Bytes::from))
        }
        events @ (Body::Whole(_) | Body::Stream(_)) if is_stream => Body::stream(TaggedStream {
            inner: events,
            framer: Framer::new(MAX_EVENT_BYTES),
            tagger,
        }),
        // A whole answer that is too long to hold: its id stays without a tag, and names nothing.
        other => other,
    };
    http::Response::from_parts(parts, body)
}

/// Stream of events with tagged ids.
struct TaggedStream {
    inner: Body,
    framer: Framer,
    tagger: ResponseTagger,
}

impl TaggedStream {
    /// Appends the whole events of a piece.
    fn push(&mut self, piece: Bytes, out: &mut Vec<u8>) -> Result<(), HostError> {
        let oversized = |_| HostError::new("an event of the stream is too long");
        self.framer.push(piece).map_err(oversized)?;
        while let Some(range) = self.framer.next_event() {
            let bytes = self.framer.bytes(range);
            match self.tagged_event(bytes) {
                Some(event) => out.extend_from_slice(event.as_bytes()),
                None => out.extend_from_slice(bytes),
            }
        }
        Ok(())
    }

    /// Returns an event with tagged ids. `None` if it holds no response.
    fn tagged_event(&self, bytes: &[u8]) -> Option<String> {
        memchr::memmem::find(bytes, b"\"response\"")?;
        let event = Event::parse(bytes);
        let data = event.data.as_ref()?;
        let data = edit_event_ids(str::from_utf8(data).ok()?, &|id| self.tagger.tag(id))?;
        let name = event.name.and_then(|name| str::from_utf8(name).ok());
        let name = name.map_or_else(String::new, |name| format!("event: {name}\n"));
        Some(format!("{name}data: {}\n\n", data.replace(['\n', '\r'], " ")))
    }
}

impl Stream for TaggedStream {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let piece = match ready!(self.inner.poll_piece(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            let mut out = Vec::with_capacity(piece.len());
            if let Err(error) = self.push(piece, &mut out) {
                return Poll::Ready(Some(Err(error)));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out.into())));
            }
        }
    }
}

impl fmt::Debug for TaggedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaggedStream").field("inner", &self.inner).finish_non_exhaustive()
    }
}
