//! Baseline of the gateway on Workers: the minimum for a gateway in Rust, written the way
//! workers-rs suggests. It parses the model's name from the request body and passes everything on;
//! the response passes unread.
#![cfg(target_arch = "wasm32")]

use serde::Deserialize;
use worker::wasm_bindgen::JsValue;
use worker::{Context, Env, Fetch, Request, RequestInit, Response, Result, event, js_sys};

/// Fields that a gateway needs to select an upstream.
#[derive(Deserialize)]
struct Asked {
    model: String,
}

#[event(fetch)]
async fn fetch(mut request: Request, environment: Env, _: Context) -> Result<Response> {
    let body = request.bytes().await?;
    let asked: Asked = serde_json::from_slice(&body)?;
    if asked.model.is_empty() {
        return Response::error("no model", 400);
    }
    let upstream = environment.var("UPSTREAM")?.to_string();
    let mut init = RequestInit::new();
    init.with_method(request.method()).with_headers(request.headers().clone());
    init.with_body(Some(JsValue::from(js_sys::Uint8Array::from(&body[..]))));
    let request = Request::new_with_init(&format!("{upstream}{}", request.path()), &init)?;
    Fetch::Request(request).send().await
}
