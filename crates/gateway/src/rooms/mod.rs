//! The steps of a request, each handing on a value that only it can make.

pub mod address;
pub mod admit;
pub(crate) mod allowance;
pub mod authenticate;
pub mod budgets;
pub mod call;
pub mod entry;
pub mod fleet;
pub mod flight;
pub mod need;
pub(crate) mod notary;
mod outgoing;
mod patience;
pub mod permit;
pub mod plan;
pub mod recall;
pub mod recent;
pub mod relay;
pub mod reserve;
pub mod respond;
mod retell;
pub mod shelf;
pub mod tee;
pub mod vouch;
