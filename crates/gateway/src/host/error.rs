//! The failure of a host.

use std::fmt;

/// The host failed to do what a door promises: connecting, reading, writing. The core decides what
/// that means.
#[derive(Clone, PartialEq, Eq)]
pub struct HostError {
    reason: Box<str>,
}

impl HostError {
    /// Tells of a failure in the host's own words, which go to the log and never to a caller.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string().into() }
    }

    /// The host's own words.
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
