//! Errors that have exit codes of their own.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// Rejection that a corrected document or a retry can resolve.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl Error for Refused {}

/// Arguments that cannot be used, such as a file that does not exist.
#[derive(Debug)]
pub(super) struct Misused(pub(super) String);

impl Display for Misused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misused {}
