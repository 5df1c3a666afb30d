//! serin on Cloudflare Workers: the core's doors over Workers APIs, and the translation of bodies.
//!
//! No policy lives here. The isolate keeps one gateway from its first request on; the document is
//! the variable `GATEWAY_CONFIG` (JSON) or, without it, the one that was bundled by the build.

mod edge;
mod headers;
mod host;
mod ledger;
mod object;
mod outbound;
mod promises;
mod reading;
mod serving;
mod store;
mod tasks;
mod timer;
mod writing;

use std::cell::OnceCell;
use std::rc::Rc;

use gateway::boot;
use gateway::gateway::Gateway;
use gateway::secret::Secret;
use js_sys::{Promise, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::worker_sys::Context;
use worker::{console_error, web_sys};

use crate::edge::Edge;

/// The document that the build put in.
const BUNDLED: &str = include_str!(concat!(env!("OUT_DIR"), "/gateway.json"));

thread_local! {
    /// `None` inside: the configuration did not boot, and the log says why.
    static GATEWAY: OnceCell<Option<Rc<Gateway>>> = const { OnceCell::new() };
}

/// The Worker's entry, which the host calls with every request.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, environment: JsValue, context: Context) -> Promise {
    let gateway = GATEWAY.with(|kept| kept.get_or_init(|| open(&environment)).clone());
    serving::serve(request, move |request| async move {
        match gateway {
            Some(gateway) => gateway.handle(Edge::new(context, environment), request).await,
            None => boot::refusal(),
        }
    })
}

fn open(environment: &JsValue) -> Option<Rc<Gateway>> {
    let variable =
        |name: &str| Reflect::get(environment, &JsValue::from_str(name)).ok()?.as_string();
    let document = variable("GATEWAY_CONFIG");
    let secrets = |name: &str| variable(name).map(|value| Secret::new(&value));
    let allow_inactive = variable("ALLOW_INACTIVE").as_deref() == Some("true");
    match boot::boot(document.as_deref().unwrap_or(BUNDLED), &secrets, allow_inactive) {
        Ok(gateway) => Some(gateway),
        Err(problems) => {
            console_error!("The configuration is invalid:\n{problems}");
            None
        }
    }
}
