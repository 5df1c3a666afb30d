//! The key-value store over Workers KV.
//!
//! A location caches a value that it has read for [`MIN_CACHE_TTL_SECONDS`], so a write is visible there
//! after at most that time. This module caches nothing.

use std::time::Duration;

use bytes::Bytes;
use gateway::host::Listing;
use gateway::host::error::HostError;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::js;
use crate::promise::PromiseFuture;

/// Shortest cache time that KV accepts (since January 2026). KV's default is 60 seconds.
const MIN_CACHE_TTL_SECONDS: u32 = 30;

/// Shortest expiration that KV accepts.
const MIN_EXPIRATION_SECONDS: u64 = 60;

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn load(environment: &JsValue, name: &str, cache_ttl: u32) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn keep(
        environment: &JsValue,
        name: &str,
        value: &Uint8Array,
        expiration_ttl: Option<f64>,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn forget(environment: &JsValue, name: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = list)]
    fn page(environment: &JsValue, prefix: &str, cursor: Option<&str>) -> Result<Promise, JsValue>;
}

pub(crate) async fn get(environment: &JsValue, name: &str) -> Result<Option<Bytes>, HostError> {
    let value = settled(load(environment, name, MIN_CACHE_TTL_SECONDS)).await?;
    Ok((!value.is_null()).then(|| Uint8Array::new(&value).to_vec().into()))
}

pub(crate) async fn put(
    environment: &JsValue,
    name: &str,
    value: &[u8],
    time: Option<Duration>,
) -> Result<(), HostError> {
    let time = time.map(seconds);
    settled(keep(environment, name, &Uint8Array::from(value), time)).await.map(drop)
}

pub(crate) async fn delete(environment: &JsValue, name: &str) -> Result<(), HostError> {
    settled(forget(environment, name)).await.map(drop)
}

pub(crate) async fn list(
    environment: &JsValue,
    prefix: &str,
    cursor: Option<&str>,
) -> Result<Listing, HostError> {
    let page = settled(page(environment, prefix, cursor)).await?;
    Ok(listing(&page.as_string().unwrap_or_default()))
}

async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, HostError> {
    let promise = promise.map_err(|error| js::to_host_error(&error))?;
    PromiseFuture::new(&promise).await.map_err(|error| js::to_host_error(&error))
}

/// Converts to whole seconds, rounded up.
fn seconds(time: Duration) -> f64 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    whole.max(MIN_EXPIRATION_SECONDS) as f64
}

/// Parses a listing from `host.js`: the next cursor, then the names.
fn listing(text: &str) -> Listing {
    let mut lines = text.split('\n');
    let cursor = lines.next().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    Listing { names: lines.map(str::to_owned).collect(), cursor }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway::host::Listing;

    use super::{listing, seconds};

    #[test]
    fn seconds_are_rounded_up_to_at_least_60() {
        assert_eq!(seconds(Duration::ZERO), 60.0);
        assert_eq!(seconds(Duration::from_secs(60)), 60.0);
        assert_eq!(seconds(Duration::from_millis(60_001)), 61.0);
        assert_eq!(seconds(Duration::from_secs(86_400)), 86_400.0);
    }

    #[track_caller]
    fn assert_listing(text: &str, names: &[&str], cursor: Option<&str>) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(listing(text), Listing { names, cursor: cursor.map(str::to_owned) }, "{text:?}");
    }

    #[test]
    fn listing_parses_cursor_and_names() {
        assert_listing("", &[], None);
        assert_listing("\nkey/a\nkey/b", &["key/a", "key/b"], None);
        assert_listing("AAx=\nkey/a", &["key/a"], Some("AAx="));
        // KV may return an empty page that is not the last one.
        assert_listing("AAx=", &[], Some("AAx="));
    }
}
