//! Outbound calls of the component: HTTP/1.1 over pooled connections, as in Spin. Calls with TLS
//! open a new connection each.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use http::uri::Scheme;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use super::allowed::AllowedHosts;

/// Connections of a host, shared by its apps.
#[derive(Clone)]
pub(crate) struct Upstreams {
    client: Client<HttpConnector, WasiBody>,
}

impl Upstreams {
    /// An empty pool.
    pub(crate) fn new() -> Self {
        // Without TCP_NODELAY, like Spin.
        Self { client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }
}

/// Outbound calls of one instance.
#[derive(Clone)]
pub(crate) struct Outbound {
    upstreams: Upstreams,
    allowed: Arc<AllowedHosts>,
}

impl Outbound {
    /// Outbound calls to the allowed hosts.
    pub(crate) fn new(upstreams: Upstreams, allowed: Arc<AllowedHosts>) -> Self {
        Self { upstreams, allowed }
    }
}

/// Future that drives a connection concurrently with its response.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Driver,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Driver), Error>> + Send> {
        let permitted = self.allowed.permits(request.uri());
        let client = self.upstreams.client.clone();
        Box::new(async move {
            if !permitted {
                return Err(Error::HttpRequestDenied);
            }
            if request.uri().scheme() == Some(&Scheme::HTTPS) {
                let (response, driver) = default_send_request(request, options).await?;
                return Ok((response.map(BodyExt::boxed_unsync), Box::new(driver) as Driver));
            }
            let response = client.request(request).await.map_err(|error| failure(&error))?;
            let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
            // The pool drives its connections itself.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Driver))
        })
    }
}

/// Classifies a failure before the response.
fn failure(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                _ if error.is_connect() => Error::DestinationUnavailable,
                _ => Error::ConnectionTerminated,
            };
        }
        cause = inner.source();
    }
    if error.is_connect() { Error::DestinationUnavailable } else { Error::ConnectionTerminated }
}
