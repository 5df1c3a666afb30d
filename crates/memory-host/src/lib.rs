//! State that the in-memory hosts of tests share: a key-value store, a ledger, and random numbers.
//!
//! Has no clock, latency, or faults: each host adds its own. Does not depend on `gateway`, so that
//! the unit tests of `gateway` and the simulator above it use the same code.

mod ledger;
mod splitmix64;
mod store;

pub use crate::ledger::{MemoryLedger, Rows};
pub use crate::splitmix64::splitmix64;
pub use crate::store::{MemoryStore, StoredValue};
