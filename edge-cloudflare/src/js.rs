//! Bindings to JavaScript functions of `host.js` and of the host.

use std::cell::RefCell;

use gateway::host::error::HostError;
use js_sys::{BigUint64Array, Error, Promise, Uint8Array};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{
    AbortSignal, ReadableStream, ReadableStreamDefaultReader, Request, Response, WritableStream,
};

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    /// The headers of a request, as alternating lines of names and values.
    #[wasm_bindgen(js_name = headers)]
    pub(crate) fn request_headers(message: &Request) -> String;
    /// The headers of a response, as alternating lines of names and values.
    #[wasm_bindgen(js_name = headers)]
    pub(crate) fn response_headers(message: &Response) -> String;
    /// Calls an upstream without following redirects.
    #[wasm_bindgen(catch)]
    pub(crate) fn call(
        url: &str,
        method: &str,
        headers: &str,
        body: Option<Uint8Array>,
        signal: &AbortSignal,
    ) -> Result<Promise, JsValue>;
    /// Creates a response; the body is bytes, a stream, or null.
    #[wasm_bindgen(catch)]
    pub(crate) fn answer(status: u16, headers: &str, body: &JsValue) -> Result<Response, JsValue>;
    /// Sets the callback for all promises: slot, value, and whether the promise was fulfilled.
    pub(crate) fn listen(callback: &Closure<dyn Fn(u32, JsValue, bool)>);
    /// Calls the callback when a promise is settled.
    pub(crate) fn settle(promise: &Promise, slot: u32);
    /// Reads the next piece of a stream and calls the callback with it, or with `undefined` at the end.
    pub(crate) fn read(reader: &ReadableStreamDefaultReader, slot: u32);
}

#[wasm_bindgen]
extern "C" {
    /// Two connected streams, copied by the host itself.
    #[wasm_bindgen(js_name = IdentityTransformStream)]
    pub(crate) type Pipe;
    #[wasm_bindgen(constructor, js_class = "IdentityTransformStream")]
    pub(crate) fn new() -> Pipe;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn readable(this: &Pipe) -> ReadableStream;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn writable(this: &Pipe) -> WritableStream;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_with_random_values(array: &BigUint64Array) -> BigUint64Array;
}

/// Random numbers fetched at once; a request needs three or four.
const ENTROPY_POOL_SIZE: usize = 64;

thread_local! {
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Returns 64 unused bits from the host's secure random source.
pub(crate) fn entropy() -> u64 {
    RANDOM.with_borrow_mut(|pool| {
        if pool.is_empty() {
            *pool =
                fill_with_random_values(&BigUint64Array::new_with_length(ENTROPY_POOL_SIZE as u32))
                    .to_vec();
        }
        pool.pop().expect("the host filled the pool")
    })
}

/// Converts an error of the host.
pub(crate) fn to_host_error(error: &JsValue) -> HostError {
    match error.dyn_ref::<Error>() {
        Some(error) => HostError::new(String::from(error.message())),
        None => HostError::new(error.as_string().unwrap_or_default()),
    }
}
