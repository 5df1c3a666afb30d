//! OTLP/HTTP in JSON: spans of requests and attempts, and delta metrics.
//!
//! JSON rather than protobuf, because the artifact holds everything for it already. This module
//! only encodes; [`crate::telemetry::otlp::exporter`] sends. Exports never hold content or secrets.

mod attributes;
pub(crate) mod exporter;
mod metrics;
mod spans;
#[cfg(test)]
mod tests;
mod trace_context;

pub(crate) use metrics::DeltaMetrics;
pub(crate) use spans::traces_body;
pub(crate) use trace_context::TraceContext;
