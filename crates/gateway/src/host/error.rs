//! Failures of a host.

use std::fmt;

/// A host's failure to connect, read, or write. The gateway decides how to handle it.
#[derive(Clone, PartialEq, Eq)]
pub struct HostError {
    reason: Box<str>,
}

impl HostError {
    /// Wraps the host's reason, which is logged and never sent to a caller.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string().into() }
    }

    /// The host's reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outage({})", self.reason)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for HostError {}
