//! What the shell asks of JavaScript where `worker` has no short way to it: see `host.js`.

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
    /// Calls an upstream. Redirects are not followed.
    #[wasm_bindgen(catch)]
    pub(crate) fn call(
        url: &str,
        method: &str,
        headers: &str,
        body: Option<Uint8Array>,
        signal: &AbortSignal,
    ) -> Result<Promise, JsValue>;
    /// Makes a response; the body is bytes, a stream or nothing.
    #[wasm_bindgen(catch)]
    pub(crate) fn answer(status: u16, headers: &str, body: &JsValue) -> Result<Response, JsValue>;
    /// Names the function that is called with every promise's place, its value and whether it was
    /// kept.
    pub(crate) fn listen(callback: &Closure<dyn Fn(u32, JsValue, bool)>);
    /// Calls that function when a promise is settled.
    pub(crate) fn settle(promise: &Promise, place: u32);
    /// Reads the next piece of a stream and calls that function with it; at the end with `undefined`.
    pub(crate) fn read(reader: &ReadableStreamDefaultReader, place: u32);
}

#[wasm_bindgen]
extern "C" {
    /// Two streams: what is written to one is read from the other, by the host itself.
    #[wasm_bindgen(js_name = IdentityTransformStream)]
    pub(crate) type Pipe;
    /// Opens a pipe.
    #[wasm_bindgen(constructor, js_class = "IdentityTransformStream")]
    pub(crate) fn new() -> Pipe;
    /// The end that is read.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn readable(this: &Pipe) -> ReadableStream;
    /// The end that is written.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn writable(this: &Pipe) -> WritableStream;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_with_random_values(array: &BigUint64Array) -> BigUint64Array;
}

/// How many random numbers are fetched at once: a request needs three or four.
const ENTROPY_POOL_SIZE: usize = 64;

thread_local! {
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// 64 bits from the host's secure source, used once.
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

/// A host's error, as the core knows it.
pub(crate) fn to_host_error(error: &JsValue) -> HostError {
    match error.dyn_ref::<Error>() {
        Some(error) => HostError::new(String::from(error.message())),
        None => HostError::new(error.as_string().unwrap_or_default()),
    }
}
