//! Selection of the target and its fallbacks.

pub mod balance;
pub mod plan;
pub mod weighted;
