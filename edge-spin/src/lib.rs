//! serin as a Spin component: the doors of the core over Spin and WASI 0.3, and nothing else.
//!
//! It has no policy. `doors`, `store` and `ledger` ask the host, `wire` translates messages, `start`
//! opens the gateway when the first request arrives; an instance then serves many, several at a time.
//! `envelope`, `commit` and `queue` know nothing of Spin: what they say can be tested without it.

mod commit;
mod doors;
mod envelope;
mod ledger;
mod queue;
mod start;
mod store;
mod wire;

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::doors::Spin;

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let response = match start::gateway().await {
            Some(gateway) => gateway.handle(Spin, wire::receive(request)?).await,
            None => gateway::boot::refusal(),
        };
        wire::respond(response)
    }
}

spin_sdk::wasip3::http::service::export!(Component);
