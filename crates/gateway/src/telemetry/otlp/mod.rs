//! What a collector is told, as OTLP/HTTP in JSON: spans of requests and of their attempts, and
//! metrics as what has come since the last time.
//!
//! JSON and not protobuf, since everything for it is in the artifact already. Nothing here sends: that
//! is [`crate::telemetry::otlp::exporter`]. No content and no secret has a place in it.

mod attributes;
pub mod exporter;
mod metrics;
mod spans;
#[cfg(test)]
mod tests;
mod trace_context;

pub use metrics::DeltaMetrics;
pub use spans::traces_body;
pub use trace_context::TraceContext;
