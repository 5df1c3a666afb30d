//! Handles of the key-value interfaces that a component holds.

use std::sync::Arc;

use super::storage::Storage;

/// An open store, of either interface.
#[expect(unreachable_pub, reason = "the bindings, which are public in their module, name it")]
pub struct Bucket(pub(super) Arc<Storage>);

/// A compare-and-swap handle with the value that was read.
#[expect(unreachable_pub, reason = "the bindings, which are public in their module, name it")]
pub struct CasHandle {
    pub(super) storage: Arc<Storage>,
    pub(super) name: String,
    pub(super) value: Option<Vec<u8>>,
}
