//! Timestamps, RFC 3339, calendar days, and time zones, without a clock.

#![warn(missing_docs)]

mod date;
pub mod rfc3339;
mod timestamp;
mod tz_rule;
pub mod zone;

pub use timestamp::Timestamp;
