//! Conversion of messages between WASI 0.3 and the core, with streamed bodies.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use gateway::host::PeerIp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body::Body as _;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme, Trailers};
use spin_sdk::wasip3::http_compat::IncomingMessage;
use spin_sdk::wasip3::wit_bindgen::{
    FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter,
};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// Bytes read from a body at once.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// Time and bytes for the rest of a request's body that the core did not read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_DRAINED_BYTES: usize = 64 << 20;

/// Interval of hang-up checks while no piece is available. WASI reports a hang-up only on a write.
const HANGUP_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Converts a caller's request. Its body is read on demand; the handle is for its rest.
pub(crate) fn to_core_request(
    request: Request,
) -> Result<(http::Request<Body>, UnreadBody), ErrorCode> {
    let method =
        Method::try_from(request.get_method()).map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let path = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let uri = Uri::try_from(path).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let mut headers = HeaderMap::try_from(request.get_headers())?;
    // Hosts keep the header apart, and pages of the same origin are recognized by it.
    if let Some(authority) = request.get_authority()
        && let Ok(host) = HeaderValue::from_str(&authority)
    {
        headers.entry(HOST).or_insert(host);
    }
    let peer = peer(&mut headers);
    let (body, unread) = request_body(Incoming::new(request, &headers));
    let mut received = http::Request::new(body);
    *received.method_mut() = method;
    *received.uri_mut() = uri;
    *received.headers_mut() = headers;
    if let Some(peer) = peer {
        received.extensions_mut().insert(peer);
    }
    Ok((received, unread))
}

/// A caller's body as far as the core has not read it.
pub(crate) struct UnreadBody(Rc<RefCell<Option<Incoming<Request>>>>);

impl UnreadBody {
    /// Reads the rest in the background, within [`DRAIN_TIMEOUT`] and [`MAX_DRAINED_BYTES`]. Otherwise
    /// Spin closes the connection, and a caller that still sends its body does not see the response.
    pub(crate) fn drain_in_background(self) {
        let Some(mut incoming) = self.0.take() else { return };
        spawn(async move {
            let mut timer = pin!(spin_sdk::time::sleep(DRAIN_TIMEOUT));
            let mut drained = 0;
            while drained < MAX_DRAINED_BYTES {
                let mut piece = pin!(incoming.piece());
                let next = poll_fn(|cx| match piece.as_mut().poll(cx) {
                    Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
                    Poll::Ready(piece) => Poll::Ready(piece),
                });
                match next.await {
                    Some(Ok(piece)) => drained += piece.len(),
                    Some(Err(_)) | None => return,
                }
            }
        });
    }
}

/// Creates a body that leaves its unread part to the handle.
fn request_body(incoming: Incoming<Request>) -> (Body, UnreadBody) {
    let shared = Rc::new(RefCell::new(Some(incoming)));
    let unread = UnreadBody(Rc::clone(&shared));
    let body = Body::stream(unfold(shared, |shared| async move {
        let mut incoming = shared.take()?;
        let piece = incoming.piece().await?;
        shared.replace(Some(incoming));
        Some((piece, shared))
    }));
    (body, unread)
}

/// Header with the caller's address. Spin overwrites a caller's value.
const CLIENT_ADDRESS_HEADER: &str = "spin-client-addr";

/// Removes the caller's address from the headers and returns it.
fn peer(headers: &mut HeaderMap) -> Option<PeerIp> {
    let address: SocketAddr = headers.remove(CLIENT_ADDRESS_HEADER)?.to_str().ok()?.parse().ok()?;
    Some(PeerIp(address.ip()))
}

/// Converts the core's response. Its body is written in the background.
pub(crate) fn to_wasi_response(response: http::Response<Body>) -> Result<Response, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    // Without a length even the shortest body would be sent in chunks. An empty body may be all, or the
    // response to HEAD: then a length would be that of the absent body.
    let length = body.size_hint().exact().filter(|length| *length > 0);
    if let Some(length) = length.filter(|_| may_have_length(parts.status)) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let headers = Fields::try_from(parts.headers).map_err(|error| internal(&error))?;
    let (writer, reader) = wit_stream::new();
    // If writing stops for any reason, the caller must not take a part for the whole.
    let (ending, ended) = wit_future::new(|| Err(ErrorCode::HttpResponseIncomplete));
    let (response, _transmitted) = Response::new(headers, Some(reader), ended);
    response.set_status_code(parts.status.as_u16()).map_err(|()| ErrorCode::InternalError(None))?;
    spawn(write_body(body, writer, ending));
    Ok(response)
}

/// Converts the core's request to an upstream.
pub(crate) fn to_wasi_request(request: http::Request<Bytes>) -> Result<Request, ErrorCode> {
    let (mut parts, body) = request.into_parts();
    if !body.is_empty() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let headers = Fields::try_from(parts.headers).map_err(|error| internal(&error))?;
    let (ending, ended) = wit_future::new(|| Ok(None));
    let contents = (!body.is_empty()).then(|| {
        let (mut writer, reader) = wit_stream::new();
        let mut write = Box::pin(async move {
            // The remainder was not wanted: the upstream answered early, or the call was canceled.
            writer.write_all(body.into()).await;
            drop(writer);
            drop(ending);
        });
        // The write begins before the host receives the request, so that head and body leave in one
        // segment. A second segment would wait for the upstream's delayed acknowledgement: Spin does
        // not set TCP_NODELAY.
        if write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            spawn(write);
        }
        reader
    });
    let (request, _transmitted) = Request::new(headers, contents, ended, None);
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_method(&parts.method.into()).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(parts.uri.scheme().map(Scheme::from).as_ref()).map_err(refused)?;
    request
        .set_authority(parts.uri.authority().map(|authority| authority.as_str()))
        .map_err(refused)?;
    request
        .set_path_with_query(parts.uri.path_and_query().map(|path| path.as_str()))
        .map_err(refused)?;
    Ok(request)
}

/// Converts an upstream's response. Dropping its body cancels the call.
pub(crate) fn to_core_response(response: Response) -> Result<http::Response<Body>, ErrorCode> {
    let status =
        StatusCode::from_u16(response.get_status_code()).map_err(|error| internal(&error))?;
    let headers = HeaderMap::try_from(response.get_headers())?;
    let mut answer = http::Response::new(Incoming::new(response, &headers).into_body());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// A message's body, read in pieces on demand.
enum Incoming<M> {
    Unread(M, Option<usize>),
    Reading {
        stream: StreamReader<u8>,
        /// Bytes left by the message's length, if it has one. At zero the end is not awaited: that costs
        /// the host two more turns.
        left: Option<usize>,
        ending: FutureReader<Result<Option<Trailers>, ErrorCode>>,
        // Dropping it signals success to the host.
        _received: FutureWriter<Result<(), ErrorCode>>,
    },
    Ended,
}

impl<M: IncomingMessage + 'static> Incoming<M> {
    fn new(message: M, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self::Unread(message, length.and_then(|length| length.to_str().ok()?.parse().ok()))
    }

    fn into_body(self) -> Body {
        Body::stream(unfold(self, |mut incoming| async move {
            let piece = incoming.piece().await?;
            Some((piece, incoming))
        }))
    }

    async fn piece(&mut self) -> Option<Result<Bytes, HostError>> {
        if let Self::Unread(..) = self {
            let unread = std::mem::replace(self, Self::Ended);
            let Self::Unread(message, left) = unread else { return None };
            let (received, result) = wit_future::new(|| Ok(()));
            let (stream, ending) = message.consume_body(result);
            *self = Self::Reading { stream, left, ending, _received: received };
        }
        let Self::Reading { stream, left, .. } = self else { return None };
        match stream.read(Vec::with_capacity(READ_BUFFER_BYTES)).await {
            (StreamResult::Complete(_), piece) => {
                // A wrong length is a proxy's mistake, and ignored from here on.
                *left = left.and_then(|left| left.checked_sub(piece.len()));
                if *left == Some(0) {
                    *self = Self::Ended;
                }
                Some(Ok(piece.into()))
            }
            (StreamResult::Dropped | StreamResult::Cancelled, _) => {
                let Self::Reading { ending, .. } = std::mem::replace(self, Self::Ended) else {
                    return None;
                };
                // The stream also ends if the body is incomplete.
                ending.await.err().map(|error| Err(HostError::new(error)))
            }
        }
    }
}

/// Event that the writer of a body waits for.
enum BodyEvent {
    Piece(Option<Result<Bytes, HostError>>),
    HangupCheck,
}

/// Writes a response's body until its end, its failure, or a hang-up, and then drops it.
async fn write_body(
    mut body: Body,
    mut writer: StreamWriter<u8>,
    ending: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
) {
    // One timer serves many pieces, and a body that is available at once never starts it.
    let mut timer = pin!(spin_sdk::time::sleep(HANGUP_CHECK_INTERVAL));
    let result = loop {
        let next = poll_fn(|cx| match body.poll_piece(cx) {
            Poll::Ready(piece) => Poll::Ready(BodyEvent::Piece(piece)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| BodyEvent::HangupCheck),
        });
        match next.await {
            BodyEvent::Piece(Some(Ok(piece))) => {
                if !writer.write_all(piece.into()).await.is_empty() {
                    return;
                }
            }
            BodyEvent::Piece(Some(Err(_))) => break Err(ErrorCode::HttpResponseIncomplete),
            BodyEvent::Piece(None) => break Ok(None),
            BodyEvent::HangupCheck => {
                // An empty write makes the host report a hang-up.
                if let (StreamResult::Dropped, _) = writer.write(Vec::new()).await {
                    return;
                }
                timer.set(spin_sdk::time::sleep(HANGUP_CHECK_INTERVAL));
            }
        }
    };
    drop(body);
    drop(writer);
    // The caller may have hung up.
    let _ = ending.write(result).await;
}

/// HTTP forbids `content-length` for responses without a body.
fn may_have_length(status: StatusCode) -> bool {
    !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

fn internal(error: &dyn std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
