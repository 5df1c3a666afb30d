//! Prometheus metrics: catalogue, counting, and text exposition.
//!
//! Counters are kept in the ledger, in books of their own that every gateway adds to. They are
//! exact over isolates and instances, and survive restarts. The requests counted are those of
//! [`crate::telemetry::usage::keys`].

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

pub(crate) use exposition::{ConfigVersions, render};
pub(crate) use from_record::{attempt_results, metric_rows, split_target};

/// Path of the endpoint.
pub(crate) const PATH: &str = "/metrics";

/// `content-type` of the Prometheus text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Retention of a series without updates.
const SERIES_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const BOOK_PREFIX: &str = "metrics/";

/// Book of a shard.
pub(crate) fn book_id(shard: u8) -> BookId {
    BookId::new(format!("{BOOK_PREFIX}{}", shard % SHARDS))
}

/// Whether a book holds metrics.
pub(crate) fn is_metrics_book(book_id: &BookId) -> bool {
    book_id.as_str().starts_with(BOOK_PREFIX)
}

/// Time until which a series that is updated at `at` is kept: the end of a day.
pub(crate) fn retained_until(at: Timestamp) -> Timestamp {
    Day::containing(at).next().start() + SERIES_RETENTION
}
