//! What a collector is told, as OTLP/HTTP in JSON: spans of requests and of their attempts, and
//! metrics as what has come since the last time.
//!
//! JSON and not protobuf, since everything for it is in the artifact already. Nothing here sends: that
//! is [`crate::rooms::exporter`]. No content and no secret has a place in it.

mod metric;
mod span;
#[cfg(test)]
mod tests;
mod trace;
mod value;

pub use metric::DeltaMetrics;
pub use span::traces_body;
pub use trace::TraceContext;
