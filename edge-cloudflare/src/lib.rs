//! serin on Cloudflare Workers: the host traits over Workers APIs, and the conversion of bodies.
//!
//! This crate has no policy. The deployed document is the variable `GATEWAY_CONFIG` (JSON) or, without
//! it, the document that was bundled by the build. `gateway::live_config` replaces it with newer
//! versions.

mod analytics;
mod body_in;
mod body_out;
mod cloudflare_host;
mod durable_object;
mod executor;
mod handler;
mod headers;
mod js;
mod ledger;
mod outbound;
mod promise;
mod store;
mod timer;

use std::borrow::Cow;

use gateway::host::Settings;
use gateway::host::error::HostError;
use gateway::service::Service;
use js_sys::{Promise, Reflect};
use secret::Secret;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::web_sys;
use worker::worker_sys::Context;

use crate::cloudflare_host::CloudflareHost;

/// The document that was bundled by the build.
const BUNDLED: &str = include_str!(concat!(env!("OUT_DIR"), "/gateway.json"));

thread_local! {
    static SERVICE: Service = Service::default();
}

/// Entry point of the Worker, called for every request.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, environment: JsValue, context: Context) -> Promise {
    let service = SERVICE.with(Service::clone);
    handler::serve(request, move |request| async move {
        service.handle(CloudflareHost::new(context, environment), request).await
    })
}

impl Settings for CloudflareHost {
    const EDGE: &'static str = "cloudflare";

    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        let document = variable(self.environment(), "GATEWAY_CONFIG");
        Ok(document.map_or(Cow::Borrowed(BUNDLED), Cow::Owned))
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        Ok(variable(self.environment(), name).map(|value| Secret::new(&value)))
    }
}

fn variable(environment: &JsValue, name: &str) -> Option<String> {
    Reflect::get(environment, &JsValue::from_str(name)).ok()?.as_string()
}
