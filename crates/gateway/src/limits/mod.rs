//! Limits: demand, reservation, settlement and the `x-ratelimit-*` headers.

mod acquire;
pub(crate) mod admission;
pub mod demand;
pub(crate) mod headers;
pub(crate) mod ledger_client;
pub mod local_state;
pub mod matching;
pub mod pricing;
mod release;
pub mod reservation;
