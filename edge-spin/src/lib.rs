//! serin as a Spin component: the doors of the core over Spin and WASI 0.3, and nothing else.
//!
//! It has no policy. `doors`, `start`, `store` and `ledger` ask the host, `wire` translates messages. The
//! first request opens the gateway; an instance then serves many, several at a time.
//! `envelope`, `commit` and `queue` know nothing of Spin: what they say can be tested without it.

mod commit;
mod commit_queue;
mod http_conversion;
mod ledger;
mod settings;
mod spin_host;
mod store;
mod ttl_envelope;

use gateway::service::Service;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::spin_host::SpinHost;

thread_local! {
    static SERVICE: Service = Service::default();
}

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let service = SERVICE.with(Service::clone);
        http_conversion::to_wasi_response(
            service.handle(SpinHost, http_conversion::to_core_request(request)?).await,
        )
    }
}

spin_sdk::wasip3::http::service::export!(Component);
