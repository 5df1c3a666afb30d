//! The service that a host runs: sends each request to the pipeline or to the admin API.

use std::rc::Rc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use openai::{ErrorBody, ErrorObject};

use crate::admin;
use crate::gateway::Gateway;
use crate::host::Host;
use crate::host::body::Body;
use crate::live_config::{ReloadingGateway, VersionInfo};
use crate::request::endpoint::is_health_check;
use crate::request::read_body;
use crate::response::json::json_response;

/// Serves requests with the configuration version in force. A host creates one and keeps it; clones
/// share their state.
#[derive(Clone, Debug, Default)]
pub struct Service {
    reloading_gateway: Rc<ReloadingGateway>,
}

impl Service {
    /// Handles one request. Dropping the future, or the response's body before its end, means that the
    /// caller hung up.
    pub async fn handle<P: Host>(
        &self,
        host: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let current = if is_health_check(&request) {
            self.reloading_gateway.current_for_health(&host).await
        } else {
            self.reloading_gateway.current(&host).await
        };
        match current {
            Some(gateway) => dispatch(&gateway, Some(&self.reloading_gateway), host, request).await,
            None => {
                let (parts, mut body) = request.into_parts();
                read_body::drain_body(&host, &parts.headers, &mut body).await;
                match self.reloading_gateway.version() {
                    Some(_) => unknown_version_response(),
                    None => unavailable_response(),
                }
            }
        }
    }

    /// The version that is served; `None` before the first request, or if no version can be served.
    pub fn version(&self) -> Option<VersionInfo> {
        self.reloading_gateway.version()
    }
}

/// Handles one request with a given gateway. Without `reloading_gateway` the admin API cannot change the
/// configuration.
pub async fn dispatch<P: Host>(
    gateway: &Rc<Gateway>,
    reloading_gateway: Option<&ReloadingGateway>,
    host: P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    if admin::is_admin_path(request.uri().path()) {
        // Boxed to keep the future of API requests small.
        return Box::pin(admin::handle(gateway, reloading_gateway, host, request)).await;
    }
    gateway.handle(host, request).await
}

/// The response to every request while no configuration can be loaded. The reasons go to the log only.
fn unavailable_response() -> http::Response<Body> {
    let error = ErrorObject {
        message: "The gateway's configuration is invalid. The gateway's log lists the problems.",
        kind: "server_error",
        param: None,
        code: Some("invalid_configuration"),
    };
    json_response(StatusCode::INTERNAL_SERVER_ERROR, ErrorBody { error }.to_json())
}

/// The response while the version in force is not known, and the deployed document must not take its place.
fn unknown_version_response() -> http::Response<Body> {
    let error = ErrorObject {
        message: "The gateway's store is unavailable, so its configuration is not known. Try again in 5 s.",
        kind: "server_error",
        param: None,
        code: Some("store_unavailable"),
    };
    let body = ErrorBody { error }.to_json();
    let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

#[cfg(test)]
mod tests {
    use super::unavailable_response;

    #[test]
    fn response_without_configuration_holds_no_reasons() {
        let response = unavailable_response();
        assert_eq!(response.status(), 500);
        let crate::host::body::Body::Whole(body) = response.into_body() else {
            panic!("an error is one piece")
        };
        let body = std::str::from_utf8(&body).expect("JSON is text");
        assert!(body.contains(r#""code":"invalid_configuration""#), "{body}");
    }
}
