//! Places of the ledger and of the store: Spin's key-value store, or Redis.

use std::cell::OnceCell;

use config::{Problems, RedisServer, Storage};

thread_local! {
    /// Places of the deployed document, for as long as the instance lives.
    static DEPLOYED: OnceCell<Storage> = const { OnceCell::new() };
}

/// Uses the places of the first call, and reports others of later calls.
pub(crate) fn use_storage(storage: &Storage) -> Result<(), Problems> {
    DEPLOYED.with(|deployed| storage.check_is_deployed(deployed.get_or_init(|| storage.clone())))
}

/// The Redis server of the ledger. `None`: the key-value store.
pub(crate) fn ledger_server() -> Option<RedisServer> {
    DEPLOYED.with(|deployed| deployed.get()?.ledger.clone())
}

/// The Redis server of the store. `None`: the key-value store.
pub(crate) fn store_server() -> Option<RedisServer> {
    DEPLOYED.with(|deployed| deployed.get()?.store.clone())
}
