//! What is kept, in Workers KV.
//!
//! A place in the world shows a value that it has read before for [`SHOWN`] more seconds: a write is
//! seen there so much later, at most. Nothing is remembered here.

use std::time::Duration;

use bytes::Bytes;
use gateway::outage::Outage;
use gateway::platform::Listing;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::host;
use crate::promises::Promised;

/// The shortest time that KV accepts, in seconds, since January 2026. Without it a value is shown for
/// 60 seconds.
const SHOWN: u32 = 30;

/// The shortest time for which KV keeps a value, in seconds. It refuses a shorter one.
const SHORTEST: u64 = 60;

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

/// The value of a name.
pub(crate) async fn get(environment: &JsValue, name: &str) -> Result<Option<Bytes>, Outage> {
    let value = settled(load(environment, name, SHOWN)).await?;
    Ok((!value.is_null()).then(|| Uint8Array::new(&value).to_vec().into()))
}

/// Keeps a value.
pub(crate) async fn put(
    environment: &JsValue,
    name: &str,
    value: &[u8],
    time: Option<Duration>,
) -> Result<(), Outage> {
    let time = time.map(seconds);
    settled(keep(environment, name, &Uint8Array::from(value), time)).await.map(drop)
}

/// Forgets a name.
pub(crate) async fn delete(environment: &JsValue, name: &str) -> Result<(), Outage> {
    settled(forget(environment, name)).await.map(drop)
}

/// One page of names.
pub(crate) async fn list(
    environment: &JsValue,
    prefix: &str,
    cursor: Option<&str>,
) -> Result<Listing, Outage> {
    let page = settled(page(environment, prefix, cursor)).await?;
    Ok(listing(&page.as_string().unwrap_or_default()))
}

async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, Outage> {
    let promise = promise.map_err(|error| host::outage(&error))?;
    Promised::of(&promise).await.map_err(|error| host::outage(&error))
}

/// Whole seconds, as KV counts: never shorter than what was asked for.
fn seconds(time: Duration) -> f64 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    whole.max(SHORTEST) as f64
}

/// Reads what `host.js` wrote: where to go on, then the names.
fn listing(text: &str) -> Listing {
    let mut lines = text.split('\n');
    let cursor = lines.next().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
    Listing { names: lines.map(str::to_owned).collect(), cursor }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway::platform::Listing;

    use super::{listing, seconds};

    #[test]
    fn times_are_whole_seconds_and_never_shorter_than_asked_for() {
        assert_eq!(seconds(Duration::ZERO), 60.0);
        assert_eq!(seconds(Duration::from_secs(60)), 60.0);
        assert_eq!(seconds(Duration::from_millis(60_001)), 61.0);
        assert_eq!(seconds(Duration::from_secs(86_400)), 86_400.0);
    }

    #[track_caller]
    fn check(text: &str, names: &[&str], cursor: Option<&str>) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(listing(text), Listing { names, cursor: cursor.map(str::to_owned) }, "{text:?}");
    }

    #[test]
    fn listings_are_read() {
        check("", &[], None);
        check("\nkey/a\nkey/b", &["key/a", "key/b"], None);
        check("AAx=\nkey/a", &["key/a"], Some("AAx="));
        // KV may send a page without names that is not the last one.
        check("AAx=", &[], Some("AAx="));
    }
}
