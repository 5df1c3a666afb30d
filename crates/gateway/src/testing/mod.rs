//! Support for unit tests.

pub(crate) mod fake_host;
