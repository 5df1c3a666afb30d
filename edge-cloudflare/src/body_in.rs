//! Bodies from the host: read whole if short, in pieces otherwise.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response};

use crate::js;
use crate::outbound::AbortOnDrop;
use crate::promise::PromiseFuture;

/// Longest body that is read whole: one promise instead of one for each piece.
const MAX_WHOLE_BYTES: u64 = 256 << 10;

/// The body of a caller's request.
pub(crate) fn request_body(request: &Request, headers: &HeaderMap) -> Body {
    match length(headers) {
        Some(0) => Body::Empty,
        Some(length) if length <= MAX_WHOLE_BYTES => {
            let request: Request = JsValue::from(request).unchecked_into();
            Body::stream(WholeBody::NotStarted(Box::new(move || request.array_buffer()), None))
        }
        _ => request.body().map_or(Body::Empty, |stream| streamed_body(&stream, None)),
    }
}

/// The body of an upstream's response. `abort` cancels the call if the body is dropped early.
pub(crate) fn response_body(response: Response, headers: &HeaderMap, abort: AbortOnDrop) -> Body {
    let stream = match length(headers) {
        Some(1..=MAX_WHOLE_BYTES) => {
            let ask = Box::new(move || response.array_buffer());
            return Body::stream(WholeBody::NotStarted(ask, Some(abort)));
        }
        Some(0) => None,
        _ => response.body(),
    };
    match stream {
        Some(stream) => streamed_body(&stream, Some(abort)),
        None => {
            abort.disarm();
            Body::Empty
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body in one piece, requested from the host at the first poll.
enum WholeBody {
    NotStarted(Box<dyn Fn() -> Result<Promise, JsValue>>, Option<AbortOnDrop>),
    Pending(PromiseFuture, Option<AbortOnDrop>),
    Ended,
}

impl Stream for WholeBody {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Self::NotStarted(ask, abort) = &mut *self {
            let abort = abort.take();
            *self = match ask() {
                Ok(promise) => Self::Pending(PromiseFuture::new(&promise), abort),
                Err(error) => {
                    *self = Self::Ended;
                    return Poll::Ready(Some(Err(js::to_host_error(&error))));
                }
            };
        }
        let Self::Pending(promise, abort) = &mut *self else { return Poll::Ready(None) };
        let result = ready!(Pin::new(promise).poll(context));
        if let Some(abort) = abort.take() {
            abort.disarm();
        }
        *self = Self::Ended;
        Poll::Ready(Some(match result {
            Ok(buffer) => Ok(Uint8Array::new(&buffer).to_vec().into()),
            Err(error) => Err(js::to_host_error(&error)),
        }))
    }
}

fn streamed_body(stream: &ReadableStream, abort: Option<AbortOnDrop>) -> Body {
    let reader = stream.get_reader().unchecked_into();
    Body::stream(StreamedBody { reader, pending: None, abort, is_ended: false })
}

/// A body that arrives in pieces.
struct StreamedBody {
    reader: ReadableStreamDefaultReader,
    pending: Option<PromiseFuture>,
    abort: Option<AbortOnDrop>,
    is_ended: bool,
}

impl StreamedBody {
    fn end(&mut self) {
        self.is_ended = true;
        if let Some(abort) = self.abort.take() {
            abort.disarm();
        }
    }
}

impl Stream for StreamedBody {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let mut promise = match self.pending.take() {
            Some(promise) => promise,
            None => PromiseFuture::read(&self.reader),
        };
        let Poll::Ready(result) = Pin::new(&mut promise).poll(context) else {
            self.pending = Some(promise);
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
                Some(Err(js::to_host_error(&error)))
            }
        })
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        if !self.is_ended {
            // For an upstream's response, `abort` also cancels the call.
            let _ = self.reader.cancel();
        }
    }
}
