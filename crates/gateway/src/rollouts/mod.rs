//! Rollouts of an isolate: the share in force of each route, and the evidence for its next report.

mod batch;
pub(crate) mod feedback;
mod isolate;
mod observation;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use isolate::Rollouts;
pub(crate) use sync::{call, confirm, read_state};
