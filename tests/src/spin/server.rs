//! Port of an app: HTTP/1.1, one task per connection, bodies that stream both ways.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use super::instance::InstanceFactory;

/// Header in which Spin passes the caller's address to a component.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("spin-client-addr");

/// Serves an app until the task is dropped, which also closes the open connections.
pub(crate) async fn serve(listener: TcpListener, factory: InstanceFactory) {
    let handler = ProxyHandler::new(factory);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // A caller that disconnects before it is accepted does not affect others.
        let Ok((stream, caller)) = accepted else { continue };
        connections.spawn(connection(stream, caller, handler.clone()));
    }
}

async fn connection(stream: TcpStream, caller: SocketAddr, handler: ProxyHandler<InstanceFactory>) {
    let service = service_fn(|request| answer(request, caller, &handler));
    // An error means that the caller disconnected or that a response broke off: the caller detects
    // both by the connection's end, and dropping the response's body signals it to the component.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: http::Request<Incoming>,
    caller: SocketAddr,
    handler: &ProxyHandler<InstanceFactory>,
) -> Result<http::Response<WasiBody>, Infallible> {
    let Some(request) = complete(request, caller) else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    match handler.handle((), request).await {
        Ok(response) => Ok(response),
        Err(error) => {
            eprintln!("the component failed to answer: {error:?}");
            Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// Adds the parts of a request that a component expects: an absolute URI, and the caller's address.
fn complete(
    mut request: http::Request<Incoming>,
    caller: SocketAddr,
) -> Option<http::Request<Incoming>> {
    let host = request.headers().get(HOST)?.to_str().ok()?;
    let authority: Authority = host.parse().ok()?;
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path);
    *request.uri_mut() = uri.build().ok()?;
    let caller = HeaderValue::from_str(&caller.to_string()).ok()?;
    request.headers_mut().insert(CLIENT_ADDRESS, caller);
    Some(request)
}

fn empty(status: StatusCode) -> http::Response<WasiBody> {
    let mut response =
        http::Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
