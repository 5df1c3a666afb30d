//! The request scope, usage totals, metrics and OTLP export.

mod lost_attempts;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod record_sinks;
pub(crate) mod record_tap;
pub(crate) mod request_scope;
pub(crate) mod transcript;
pub(crate) mod usage;
