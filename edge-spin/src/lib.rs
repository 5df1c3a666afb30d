//! serin as a Spin component: the host traits over Spin and WASI 0.3, and nothing else.
//!
//! This crate has no policy. `spin_host`, `settings`, `store`, `bucket`, `ledger`, and `redis` call the
//! host; `http_conversion` converts messages. The first request opens the gateway; an instance then serves
//! many requests concurrently. `console` has the files of the web console. `ttl_envelope`, `commit`, `commit_queue`,
//! `cas_check`, `console`, and `host_turn` do not depend on Spin, so they are tested natively.

mod bucket;
mod cas_check;
mod commit;
mod commit_queue;
mod console;
mod host_turn;
mod http_conversion;
mod ledger;
mod redis;
mod settings;
mod spin_host;
mod storage;
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
        let (request, unread) = http_conversion::to_core_request(request)?;
        let response = match console::answer(&request) {
            Some(page) => page,
            None => service.handle(SpinHost, request).await,
        };
        unread.drain_in_background();
        http_conversion::to_wasi_response(response)
    }
}

spin_sdk::wasip3::http::service::export!(Component);
