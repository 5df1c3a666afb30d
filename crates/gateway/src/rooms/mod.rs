//! The steps of a request, each handing on a value that only it can make.

pub mod address;
pub mod admit;
pub(crate) mod allowance;
pub mod authenticate;
pub mod budgets;
pub mod call;
pub mod entry;
mod exchange;
pub mod fleet;
mod hedge;
pub mod need;
pub(crate) mod notary;
mod outgoing;
mod patience;
pub mod permit;
pub mod plan;
pub mod relay;
pub mod reserve;
pub mod respond;
mod resume;
pub mod vouch;
