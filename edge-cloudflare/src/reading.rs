//! Bodies that the host delivers: a whole one for as long as it is short, pieces otherwise.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use gateway::body::Body;
use gateway::outage::Outage;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response};

use crate::host;
use crate::outbound::Abort;
use crate::promises::Promised;

/// A body of at most this length is asked for whole: one promise instead of one for every piece.
const LONGEST_WHOLE: u64 = 256 << 10;

/// The body of a caller's request.
pub(crate) fn of_request(request: &Request, headers: &HeaderMap) -> Body {
    match length(headers) {
        Some(0) => Body::Empty,
        Some(length) if length <= LONGEST_WHOLE => {
            let request: Request = JsValue::from(request).unchecked_into();
            Body::stream(Whole::Asked(Box::new(move || request.array_buffer()), None))
        }
        _ => request.body().map_or(Body::Empty, |stream| pieces(&stream, None)),
    }
}

/// The body of an upstream's response. `abort` stops the call when the body is dropped early.
pub(crate) fn of_response(response: Response, headers: &HeaderMap, abort: Abort) -> Body {
    let stream = match length(headers) {
        Some(1..=LONGEST_WHOLE) => {
            let ask = Box::new(move || response.array_buffer());
            return Body::stream(Whole::Asked(ask, Some(abort)));
        }
        Some(0) => None,
        _ => response.body(),
    };
    match stream {
        Some(stream) => pieces(&stream, Some(abort)),
        None => {
            abort.disarm();
            Body::Empty
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body in one piece, which the host is asked for when somebody wants it.
enum Whole {
    Asked(Box<dyn Fn() -> Result<Promise, JsValue>>, Option<Abort>),
    Coming(Promised, Option<Abort>),
    Over,
}

impl Stream for Whole {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Self::Asked(ask, abort) = &mut *self {
            let abort = abort.take();
            *self = match ask() {
                Ok(promise) => Self::Coming(Promised::of(&promise), abort),
                Err(error) => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Err(host::outage(&error))));
                }
            };
        }
        let Self::Coming(coming, abort) = &mut *self else { return Poll::Ready(None) };
        let result = ready!(Pin::new(coming).poll(context));
        if let Some(abort) = abort.take() {
            abort.disarm();
        }
        *self = Self::Over;
        Poll::Ready(Some(match result {
            Ok(buffer) => Ok(Uint8Array::new(&buffer).to_vec().into()),
            Err(error) => Err(host::outage(&error)),
        }))
    }
}

fn pieces(stream: &ReadableStream, abort: Option<Abort>) -> Body {
    let reader = stream.get_reader().unchecked_into();
    Body::stream(Pieces { reader, coming: None, abort, over: false })
}

/// A body as it comes.
struct Pieces {
    reader: ReadableStreamDefaultReader,
    coming: Option<Promised>,
    abort: Option<Abort>,
    over: bool,
}

impl Pieces {
    fn end(&mut self) {
        self.over = true;
        if let Some(abort) = self.abort.take() {
            abort.disarm();
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Outage>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut coming = match self.coming.take() {
            Some(coming) => coming,
            None => Promised::read(&self.reader),
        };
        let Poll::Ready(result) = Pin::new(&mut coming).poll(context) else {
            self.coming = Some(coming);
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(value) if value.is_undefined() => {
                self.end();
                None
            }
            Ok(value) => Some(Ok(value.unchecked_into::<Uint8Array>().to_vec().into())),
            Err(error) => {
                self.end();
                Some(Err(host::outage(&error)))
            }
        })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if !self.over {
            // The abort, where there is one, says it to the upstream too.
            let _ = self.reader.cancel();
        }
    }
}
