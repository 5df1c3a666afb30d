//! Scenario runner in virtual time.

use config::author;
use gateway::config_loader::GatewaySecrets;
use gateway::gateway::Gateway;
use gateway::host::body::Body;
use gateway::service;
use secret::Secret;

use crate::world::{CLOSED, HangUp, UPSTREAM, World};

use super::expect::Observed;
use super::{Request, Scenario};

/// Seed of the entropy in every scenario. A fixed seed makes runs identical.
const SEED: u64 = 1;

impl Scenario {
    /// Plays every request and compares the responses with the expectations. The error names the request
    /// and each difference.
    pub fn run_in_simulator(&self) -> Result<(), String> {
        let secret = |name: &str| self.secrets.get(name).map(|value| Secret::new(value));
        let config = author::from_toml_to_serve(&self.config_for(UPSTREAM, CLOSED), &secret)
            .map_err(|problems| format!("invalid configuration: {problems}"))?;
        let world = World::new(SEED, self.upstreams.clone());
        let gateway = Gateway::new(config, GatewaySecrets::lookup(&secret));
        for (index, request) in self.requests.iter().enumerate() {
            for turn in 0..request.repeat {
                let in_request = |cause: String| format!("request {index}, turn {turn}: {cause}");
                let message = request
                    .message()
                    .map_err(|error| in_request(format!("invalid request: {error:#}")))?;
                let answer = service::dispatch(&gateway, None, world.clone(), message);
                let received = world
                    .play(answer, request.hang_up())
                    .map_err(|stuck| in_request(format!("stuck: {stuck}")))?;
                let body = received.body();
                let hung_up = !received.is_whole && received.broken.is_none();
                let (status, headers) = received.head.unzip();
                let observed = Observed {
                    status: status.map(|status| status.as_u16()),
                    headers: headers.unwrap_or_default(),
                    body,
                    broken: received.broken,
                    hung_up,
                    records: Some(world.take_records()),
                };
                request.expect.check(&observed).map_err(in_request)?;
                self.check_secrecy(&observed).map_err(in_request)?;
            }
        }
        self.expect.check(&world.calls())
    }
}

impl Request {
    /// Moment at which the caller hangs up.
    pub fn hang_up(&self) -> HangUp {
        match (self.hang_up_after_events, self.hang_up_after) {
            (Some(count), _) => HangUp::AfterEvents(count),
            (None, Some(duration)) => HangUp::After(duration),
            (None, None) => HangUp::Never,
        }
    }

    fn message(&self) -> anyhow::Result<http::Request<Body>> {
        let mut message = http::Request::builder()
            .method(self.method.as_str())
            .uri(&self.path)
            .body(Body::from(bytes::Bytes::from(self.body.clone())))?;
        *message.headers_mut() = self.request_headers()?;
        Ok(message)
    }
}
