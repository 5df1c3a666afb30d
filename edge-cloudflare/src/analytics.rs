//! Writes requests as data points of Workers Analytics Engine, if it is bound. The order of the fields
//! is in docs/observability.md; new fields are appended.

use gateway::record::Record;
use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Longest index that the host accepts, and longest blob that is written.
const MAX_INDEX_BYTES: usize = 96;
const MAX_BLOB_BYTES: usize = 128;

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn measure(
        environment: &JsValue,
        index: &str,
        blobs: &str,
        doubles: &[f64],
    ) -> Result<(), JsValue>;
}

/// Writes the data point of one request.
pub(crate) fn write(environment: &JsValue, record: &Record) {
    if !Reflect::has(environment, &JsValue::from_str("SERIN_ANALYTICS")).unwrap_or(false) {
        return;
    }
    let (provider, model) =
        record.target.as_deref().and_then(|target| target.split_once('/')).unwrap_or_default();
    let status = record.status.map(|status| status.to_string());
    let blobs = [
        record.route.as_deref(),
        Some(provider),
        Some(model),
        status.as_deref(),
        Some(record.outcome.name()),
        record.operation,
        record.group.as_deref(),
        record.error,
        record.cache,
        record.limited_by.as_deref(),
        record.blocked_by.as_deref(),
    ];
    let blobs =
        blobs.map(|text| truncate(text.unwrap_or_default(), MAX_BLOB_BYTES).replace('\n', " "));
    let doubles = [
        record.tokens.input as f64,
        record.tokens.output as f64,
        record.cost_usd.unwrap_or_default(),
        record.first_token_ms.map_or(-1.0, |millis| millis as f64),
        record.total_ms as f64,
        record.tokens.cached as f64,
        record.tokens.reasoning as f64,
        record.attempts.len() as f64,
    ];
    let consumer = truncate(record.consumer.as_deref().unwrap_or_default(), MAX_INDEX_BYTES);
    // A rejected data point must not fail the request.
    let _ = measure(environment, consumer, &blobs.join("\n"), &doubles);
}

fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
