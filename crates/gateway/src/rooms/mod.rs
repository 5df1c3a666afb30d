//! The steps of a request, each handing on a value that only it can make.

pub mod address;
pub mod admit;
pub(crate) mod allowance;
pub mod authenticate;
pub mod blocked;
pub mod budgets;
pub mod call;
mod consult;
pub mod entry;
mod exchange;
pub mod fleet;
mod hedge;
pub mod inspect;
pub mod lists;
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
pub mod screen;
pub mod vouch;
