//! Usage totals by hour and minute.

pub(crate) mod aggregator;
pub(crate) mod keys;
