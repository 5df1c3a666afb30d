//! Limits: demand, reservation, settlement and the `x-ratelimit-*` headers.

pub(crate) mod admission;
pub mod demand;
pub(crate) mod headers;
pub(crate) mod ledger_client;
pub mod local_state;
pub mod matching;
pub mod reservation;
