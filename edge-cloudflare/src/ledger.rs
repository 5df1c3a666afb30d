//! Calls to the ledger: one Durable Object for each place, where [`object`](crate::object) runs.
//!
//! Where the object lives is left to the platform. Nothing is tried twice: an operation may have been
//! applied although the answer was lost.

use gateway::json;
use gateway::ledger::{Operation, Place, Reply};
use gateway::outage::Outage;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::host;
use crate::promises::Promised;

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn ask(environment: &JsValue, place: &str, operation: &str) -> Result<Promise, JsValue>;
}

/// Has an operation applied to the book of a place.
pub(crate) async fn apply(
    environment: &JsValue,
    place: &Place,
    operation: &Operation,
) -> Result<Reply, Outage> {
    let operation = serde_json::to_string(operation).map_err(Outage::new)?;
    let promise = ask(environment, place.as_str(), &operation);
    let promise = promise.map_err(|error| host::outage(&error))?;
    let reply = Promised::of(&promise).await.map_err(|error| host::outage(&error))?;
    let reply =
        reply.as_string().ok_or_else(|| Outage::new("the ledger did not answer in text"))?;
    json::from_text(&reply).map_err(Outage::new)
}
