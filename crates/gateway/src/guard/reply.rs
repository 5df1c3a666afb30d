//! What services answer, read leniently: they write the same thing in several ways.
//!
//! It judges nothing.

use serde_json::Value;

use crate::json;

use super::NoVerdict;

/// How long a label may be, in bytes.
const LABEL: usize = 64;

/// Reads a body. What is not JSON is not quoted: it could hold the text that was to be judged.
pub(super) fn read(body: &[u8]) -> Result<Value, NoVerdict> {
    json::from_bytes(body).map_err(|_| NoVerdict(format!("{} bytes, not JSON", body.len())))
}

/// A number, also one that was written as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A service's name for something, short enough for a metric.
pub(super) fn label(name: &str) -> String {
    cut(name.trim(), LABEL).to_owned()
}

/// As much of a text as fits into so many bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A text as JSON writes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}
