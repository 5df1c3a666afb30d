//! The service that a host runs: sends each request to the API's pipeline or to the admin API.

use std::rc::Rc;

use http::StatusCode;
use openai::{ErrorBody, ErrorObject};

use crate::admin;
use crate::gateway::Gateway;
use crate::host::Host;
use crate::host::body::Body;
use crate::live_config::{ReloadingGateway, VersionInfo};
use crate::response::json::json_response;

/// The gateway as a host serves it, by the version of the configuration that is in force. A host keeps
/// one for as long as it lives; a clone is the same service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    reloading_gateway: Rc<ReloadingGateway>,
}

impl Service {
    /// Answers one request. Dropping the future, or the response's body before its end, means that
    /// the caller hung up.
    pub async fn handle<P: Host>(
        &self,
        host: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        match self.reloading_gateway.current(&host).await {
            Some(gateway) => dispatch(&gateway, Some(&self.reloading_gateway), host, request).await,
            None => unavailable_response(),
        }
    }

    /// The version that is served. `None` before the first request, or if none can be served.
    pub fn version(&self) -> Option<VersionInfo> {
        self.reloading_gateway.version()
    }
}

/// Answers one request by one gateway. Without a `station` the admin API cannot change the
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

/// The answer to every request while there is no gateway. The reasons are for the log only.
fn unavailable_response() -> http::Response<Body> {
    let error = ErrorObject {
        message: "The gateway's configuration is invalid. Its log says where.",
        kind: "server_error",
        param: None,
        code: Some("invalid_configuration"),
    };
    json_response(StatusCode::INTERNAL_SERVER_ERROR, ErrorBody { error }.to_json())
}

#[cfg(test)]
mod tests {
    use super::unavailable_response;

    #[test]
    fn a_caller_learns_no_reasons() {
        let response = unavailable_response();
        assert_eq!(response.status(), 500);
        let crate::host::body::Body::Whole(body) = response.into_body() else {
            panic!("an error is one piece")
        };
        let body = std::str::from_utf8(&body).expect("JSON is text");
        assert!(body.contains(r#""code":"invalid_configuration""#), "{body}");
    }
}
