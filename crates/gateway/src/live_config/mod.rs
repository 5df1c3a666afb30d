//! Configuration versions: the document in force, its history, and how every isolate comes to serve the
//! newest version.
//!
//! The key-value store may show older states and has no transactions. The ledger decides which version
//! is in force: a register is replaced only by a writer that names its current value. The store holds
//! the rest: documents by hash, one entry for each version, and a copy of the current version that every
//! isolate polls. If an isolate crashes between these writes, the next isolate that reads the register
//! completes them.
//!
//! Permissions are the admin API's concern, not this module's.

mod diff;
mod reloading_gateway;
mod version;
mod version_store;

pub use diff::{DocumentChange, diff_documents};
pub use reloading_gateway::ReloadingGateway;
pub use version::VersionInfo;

pub(crate) use version_store::{CommitOutcome, VersionStore};
