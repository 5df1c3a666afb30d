//! Support for unit tests.

pub(crate) mod fake_host;
pub(crate) mod pieces;
