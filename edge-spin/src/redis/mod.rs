//! Ledger and store in a Redis server that several machines share, through Spin's outbound Redis.
//!
//! `ledger` does not depend on Spin, so it is tested natively.

pub(crate) mod connection;
pub(crate) mod ledger;
pub(crate) mod store;
