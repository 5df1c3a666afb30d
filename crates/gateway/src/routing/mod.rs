//! Selection of the target and its fallbacks.

pub(crate) mod balance;
mod choice;
pub(crate) mod matched_route;
pub(crate) mod plan;
pub(crate) mod weighted;
