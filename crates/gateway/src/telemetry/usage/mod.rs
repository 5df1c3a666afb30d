//! Usage totals by hour and minute.

pub(crate) mod aggregator;
pub(crate) mod details;
pub(crate) mod keys;
pub(crate) mod request_log;
