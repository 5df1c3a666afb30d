//! What services answer, read leniently: they write the same thing in several ways.
//!
//! It judges nothing.

use serde_json::Value;

use super::GuardError;

/// How long a label may be, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// Reads a body. What is not JSON is not quoted: it could hold the text that was to be judged.
pub(super) fn parse_json(body: &[u8]) -> Result<Value, GuardError> {
    json::from_bytes(body).map_err(|_| GuardError(format!("{} bytes, not JSON", body.len())))
}

/// A number, also one that was written as text.
pub(super) fn to_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A service's name for something, short enough for a metric.
pub(super) fn to_label(name: &str) -> String {
    truncate(name.trim(), MAX_LABEL_BYTES).to_owned()
}

/// As much of a text as fits into so many bytes.
pub(super) fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// A text as JSON writes it.
pub(super) fn to_json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}
