//! The request scope, usage totals, metrics and OTLP export.

pub mod metrics;
pub mod otlp;
pub mod record_sinks;
pub mod request_scope;
pub mod transcript;
pub mod usage;
