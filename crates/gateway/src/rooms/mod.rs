//! The steps of a request, each handing on a value that only it can make.

pub mod address;
pub mod admit;
pub mod authenticate;
pub mod call;
mod outgoing;
mod patience;
pub mod plan;
pub mod relay;
pub mod respond;
