//! Metrics: what is counted for Prometheus, where, and how it is shown.
//!
//! Counters are kept in the ledger, in places of their own that every gateway adds to: they are exact
//! over isolates and instances, and go on where they were after a restart. Nothing is counted here that
//! [`crate::telemetry::usage::keys`] does not count.

mod catalogue;
mod exposition;
mod from_record;
#[cfg(test)]
mod tests;

use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::Day;
use ledger::BookId;

use crate::telemetry::usage::keys::SHARDS;

pub use catalogue::{ALL, Metric, MetricKind};
pub(crate) use exposition::render;
pub(crate) use from_record::metric_rows;

/// Where metrics are asked for.
pub const PATH: &str = "/metrics";

/// The type of the answer: Prometheus' text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long a series is kept that nobody adds to.
const SERIES_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const BOOK_PREFIX: &str = "metrics/";

/// The place of one of the shards.
pub fn book_id(shard: u8) -> BookId {
    BookId::new(format!("{BOOK_PREFIX}{}", shard % SHARDS))
}

/// Whether a place is one of metrics.
pub(crate) fn is_metrics_book(book_id: &BookId) -> bool {
    book_id.as_str().starts_with(BOOK_PREFIX)
}

/// When a series may be forgotten that was added to at a moment: at the end of a day.
pub fn retained_until(at: Timestamp) -> Timestamp {
    Day::containing(at).next().start() + SERIES_RETENTION
}
