//! Ledger calls: one Durable Object for each book (see [`durable_object`](crate::durable_object)).
//!
//! The platform chooses the object's location. Nothing is retried: an operation may have been applied
//! although its reply was lost.

use gateway::host::error::HostError;
use js_sys::Promise;
use ledger::{BookId, LedgerReply, Operation};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::js;
use crate::promise::PromiseFuture;

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn ask(environment: &JsValue, book_id: &str, operation: &str) -> Result<Promise, JsValue>;
}

/// Applies an operation to a book.
pub(crate) async fn apply(
    environment: &JsValue,
    book_id: &BookId,
    operation: &Operation,
) -> Result<LedgerReply, HostError> {
    let operation = serde_json::to_string(operation).map_err(HostError::new)?;
    let promise = ask(environment, book_id.as_str(), &operation);
    let promise = promise.map_err(|error| js::to_host_error(&error))?;
    let reply = PromiseFuture::new(&promise).await.map_err(|error| js::to_host_error(&error))?;
    let reply =
        reply.as_string().ok_or_else(|| HostError::new("unexpected ledger reply: not text"))?;
    json::from_text(&reply).map_err(HostError::new)
}
