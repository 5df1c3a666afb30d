//! Limits: demand, reservation, settlement and the `x-ratelimit-*` headers.

mod acquire;
pub(crate) mod admission;
pub(crate) mod demand;
pub(crate) mod headers;
pub(crate) mod ledger_client;
pub(crate) mod local_state;
mod made_up_values;
pub(crate) mod matching;
pub(crate) mod pricing;
mod recent_refusals;
mod release;
pub(crate) mod reservation;
