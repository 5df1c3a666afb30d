//! The service that a host runs: sends each request to the API's pipeline or to the admin API.

use std::rc::Rc;

use crate::admin;
use crate::body::Body;
use crate::boot;
use crate::gateway::Gateway;
use crate::platform::Platform;
use crate::versions::{Stamp, Station};

/// The gateway as a host serves it, by the version of the configuration that is in force. A host keeps
/// one for as long as it lives; a clone is the same service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    station: Rc<Station>,
}

impl Service {
    /// Answers one request. Dropping the future, or the response's body before its end, means that
    /// the caller hung up.
    pub async fn handle<P: Platform>(
        &self,
        platform: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        match self.station.current(&platform).await {
            Some(gateway) => dispatch(&gateway, Some(&self.station), platform, request).await,
            None => boot::refusal(),
        }
    }

    /// The version that is served. `None` before the first request, or if none can be served.
    pub fn version(&self) -> Option<Stamp> {
        self.station.stamp()
    }
}

/// Answers one request by one gateway. Without a `station` the admin API cannot change the
/// configuration.
pub async fn dispatch<P: Platform>(
    gateway: &Rc<Gateway>,
    station: Option<&Station>,
    platform: P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    if admin::owns(request.uri().path()) {
        // Boxed to keep the future of API requests small.
        return Box::pin(admin::handle(gateway, station, platform, request)).await;
    }
    gateway.handle(platform, request).await
}
