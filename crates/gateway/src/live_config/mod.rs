//! Configuration that changes while the gateway runs: which version of the document is in force, all
//! those before it, and how every isolate comes to serve the newest.
//!
//! The store shows old states and knows no transactions. So the ledger says which version is in force
//! (a register that is replaced only by whoever knows what stands in it), and the store holds what was
//! said: documents by their hash, a stamp for each version, and a copy of the current one that every
//! isolate follows. Whatever a crash leaves undone of the latter two is done by the next one who looks.
//!
//! Nothing here knows who may change a document: that is the admin plane's.

mod diff;
mod reloading_gateway;
mod version;
mod version_store;

pub use diff::{DocumentChange, diff_documents};
pub use reloading_gateway::ReloadingGateway;
pub use version::VersionInfo;

pub(crate) use version_store::{CommitOutcome, VersionStore};
