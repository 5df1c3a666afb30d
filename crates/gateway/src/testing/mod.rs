//! Support for unit tests.

#[cfg(test)]
pub(crate) mod fake_host;
