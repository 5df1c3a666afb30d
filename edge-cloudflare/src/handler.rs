//! Converts a request of the host, runs it as one task, and sends the response. A hang-up drops the
//! task's work.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use gateway::host::PeerIp;
use gateway::host::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys;

use crate::body_out::write;
use crate::js::{self, Pipe};
use crate::{body_in, executor, headers};

/// Handles one request with `handle`.
pub(crate) fn serve<H, F>(request: web_sys::Request, handle: H) -> Promise
where
    H: FnOnce(Request<Body>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    let mut given = Some((request, handle));
    Promise::new(&mut |resolve: Function, _reject| {
        let Some((request, handle)) = given.take() else { return };
        executor::spawn(async move {
            let caller = CallerSignal::listen(request.signal());
            let reply = ResponseCallback(resolve);
            if caller.unless_gone(exchange(request, handle, &reply)).await.is_none() {
                // The caller has hung up, but the host would log a promise without a result.
                reply.send(STATUS_CALLER_LEFT, &HeaderMap::new(), &JsValue::NULL);
            }
        });
    })
}

/// Status of a request whose caller hung up, by nginx's convention.
const STATUS_CALLER_LEFT: u16 = 499;

async fn exchange<H, F>(request: web_sys::Request, handle: H, reply: &ResponseCallback)
where
    H: FnOnce(Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    let response = match read(&request) {
        Some(request) => handle(request).await,
        None => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    };
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    match body {
        Body::Empty => reply.send(status, &head.headers, &JsValue::NULL),
        Body::Whole(bytes) => reply.send(status, &head.headers, &Uint8Array::from(&bytes[..])),
        Body::Stream(_) => {
            let pipe = Pipe::new();
            reply.send(status, &head.headers, &pipe.readable());
            write(body, &pipe.writable()).await;
        }
    }
}

/// Converts the caller's request; `None` if its method or URL is invalid.
fn read(request: &web_sys::Request) -> Option<Request<Body>> {
    let mut read = Request::new(Body::Empty);
    *read.method_mut() = Method::from_bytes(request.method().as_bytes()).ok()?;
    *read.uri_mut() = request.url().parse::<Uri>().ok()?;
    *read.headers_mut() = headers::read(&js::request_headers(request));
    if let Some(address) = peer(read.headers()) {
        read.extensions_mut().insert(PeerIp(address));
    }
    *read.body_mut() = body_in::request_body(request, read.headers());
    Some(read)
}

/// Header with the address of the peer. Cloudflare overwrites a caller's value.
const CONNECTING_IP_HEADER: &str = "cf-connecting-ip";

fn peer(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(CONNECTING_IP_HEADER)?.to_str().ok()?.parse().ok()
}

/// Resolves the promise of the response.
struct ResponseCallback(Function);

impl ResponseCallback {
    fn send(&self, status: u16, headers: &HeaderMap, body: &JsValue) {
        let response = js::answer(status, &headers::write(headers), body)
            .or_else(|_| js::answer(502, "", &JsValue::NULL));
        if let Ok(response) = response {
            // The function that settles a promise never throws.
            let _ = self.0.call1(&JsValue::UNDEFINED, &response);
        }
    }
}

/// Observes whether the caller has hung up.
struct CallerSignal {
    signal: web_sys::AbortSignal,
    state: Rc<CallerState>,
    listener: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct CallerState {
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

const ABORT: &str = "abort";

impl CallerSignal {
    fn listen(signal: web_sys::AbortSignal) -> Self {
        let state = Rc::new(CallerState::default());
        state.gone.set(signal.aborted());
        let listener = Closure::new({
            let state = Rc::clone(&state);
            move || {
                state.gone.set(true);
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                    executor::run();
                }
            }
        });
        // Fails only for a listener that is not a function.
        let _ = signal.add_event_listener_with_callback(ABORT, listener.as_ref().unchecked_ref());
        Self { signal, state, listener }
    }

    /// Runs `work` to its end, or until the caller hangs up, which drops it.
    async fn unless_gone<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.state.gone.get() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            self.state.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Drop for CallerSignal {
    fn drop(&mut self) {
        let listener = self.listener.as_ref().unchecked_ref();
        let _ = self.signal.remove_event_listener_with_callback(ABORT, listener);
    }
}
