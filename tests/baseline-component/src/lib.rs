//! Baseline of the gateway in the wasmtime host: the minimum for a component in front of an
//! upstream. The host carries both bodies; the component reads neither.
#![cfg(target_arch = "wasm32")]

use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Scheme};

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let upstream = variables::get("upstream").await;
        let upstream =
            upstream.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let refused = |()| ErrorCode::HttpRequestUriInvalid;
        request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
        request.set_authority(Some(&upstream)).map_err(refused)?;
        client::send(request).await
    }
}

spin_sdk::wasip3::http::service::export!(Component);
