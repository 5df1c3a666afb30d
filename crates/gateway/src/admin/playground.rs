//! `/try`: a request as a consumer, answered as a stream that ends with the record.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::auth::caller::ActingConsumer;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::error::HostError;
use crate::request::headers::is_event_stream;
use crate::telemetry::record_tap::RecordTap;

use super::AdminRequest;
use super::request_body::parse_object;
use super::requests::detail_json;
use super::response::{AdminError, AdminResponse, AdminResult};
use super::route_match::find_consumer;

/// Longest answer that is not a stream.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Pause between two looks for the record, and their number: the usage of a stream is read to its end in the
/// background.
const RECORD_INTERVAL: Duration = Duration::from_millis(50);
const MAX_RECORD_LOOKS: u32 = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TryRequest {
    /// The consumer as which the request is made; `None` for a caller without a key.
    consumer: Option<String>,
    /// Body of a chat completion.
    request: Box<RawValue>,
}

/// `POST /try`
pub(super) async fn send<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let wanted: TryRequest = parse_object(&request.body)?;
    if !wanted.request.get().starts_with('{') {
        return Err(AdminError::invalid(
            "request",
            "another value",
            "the body of a chat completion",
        ));
    }
    let gateway = request.gateway()?;
    let consumer = match &wanted.consumer {
        None => None,
        Some(id) => Some(find_consumer(request, id).await?),
    };
    if consumer.as_ref().is_some_and(|consumer| consumer.disabled) {
        return Err(AdminError::conflict("consumer_disabled", "This consumer is disabled."));
    }
    let target =
        wanted.consumer.as_ref().map_or("anonymous".to_owned(), |id| format!("consumer/{id}"));
    let mut call = http::Request::post("/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .header("x-request-id", request.request_id)
        .body(Body::from(Bytes::copy_from_slice(wanted.request.get().as_bytes())))
        .map_err(|_| AdminError::invalid("x-request-id", "another text", "visible characters"))?;
    call.extensions_mut().insert(ActingConsumer(consumer));
    if let Some(peer) = request.parts.extensions.get::<crate::host::PeerIp>() {
        call.extensions_mut().insert(*peer);
    }
    let tap = RecordTap::new(true);
    let answer =
        async { Ok(gateway.handle_for_operator(request.host.clone(), call, tap.clone()).await) };
    let response = request.run_audited("try", target, json!({}), answer).await?;
    let (mut parts, body) = response.into_parts();
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    let body = if is_stream { body } else { one_event(body).await };
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    parts.headers.remove(CONTENT_LENGTH);
    let body = Body::stream(RecordedStream {
        host: request.host.clone(),
        body: Some(body),
        tap,
        timer: None,
        looks: 0,
    });
    Ok(AdminResponse::from_response(http::Response::from_parts(parts, body)))
}

/// A whole answer as one event.
async fn one_event(body: Body) -> Body {
    let bytes = body.collect(MAX_ANSWER_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut event = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Body::from(Bytes::from(event))
}

/// The answer, and after it an event with the record.
struct RecordedStream<P> {
    host: P,
    /// `None` once the answer is over.
    body: Option<Body>,
    tap: RecordTap,
    timer: Option<Pin<Box<dyn Future<Output = ()>>>>,
    looks: u32,
}

// No field is pinned.
impl<P> Unpin for RecordedStream<P> {}

impl<P: Host> Stream for RecordedStream<P> {
    type Item = Result<Bytes, HostError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(body) = &mut self.body {
            match ready!(body.poll_piece(cx)) {
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                // An answer that broke off has a record as well.
                Some(Err(_)) | None => self.body = None,
            }
        }
        loop {
            if self.looks > MAX_RECORD_LOOKS {
                return Poll::Ready(None);
            }
            let record = self.tap.take();
            if record.is_some() || self.looks == MAX_RECORD_LOOKS {
                self.looks = MAX_RECORD_LOOKS + 1;
                let shown = record.map(|record| detail_json(&record));
                let event = format!("event: serin\ndata: {}\n\n", json!(shown));
                return Poll::Ready(Some(Ok(Bytes::from(event))));
            }
            if self.timer.is_none() {
                self.timer = Some(Box::pin(self.host.sleep(RECORD_INTERVAL)));
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            self.timer = None;
            self.looks += 1;
        }
    }
}
