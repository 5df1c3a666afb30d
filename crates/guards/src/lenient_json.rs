//! Lenient readers of JSON from guard services, which write the same value in several ways.

use serde_json::Value;

use super::GuardError;

/// Maximum length of a label, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// Parses a body. The error does not quote it: it could contain the checked text.
pub(super) fn parse_json(body: &[u8]) -> Result<Value, GuardError> {
    json::from_bytes(body)
        .map_err(|_| GuardError::new(format!("the response of {} bytes is not JSON", body.len())))
}

/// Reads a number, also one that is written as a string.
pub(super) fn to_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Returns a service's name of a finding, short enough for a metric.
pub(super) fn to_label(name: &str) -> String {
    truncate(name.trim(), MAX_LABEL_BYTES).to_owned()
}

/// Returns as much of a text as fits into `max` bytes.
pub(super) fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

pub(super) fn to_json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}
