//! Selection of the target and its fallbacks.

pub(crate) mod balance;
pub(crate) mod plan;
pub(crate) mod weighted;
