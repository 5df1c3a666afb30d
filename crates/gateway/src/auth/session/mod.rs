//! Sessions of operators at the console: a signed cookie, and the list of revoked sessions.
//!
//! A session is verified, not looked up, so it counts in every isolate at once. The store holds only
//! revocations, and entries for the operators' list of sessions.

mod revocation;
mod signed;

pub(crate) use revocation::SessionCache;
pub(crate) use signed::{Session, SessionKey};
