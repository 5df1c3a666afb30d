//! Places of the ledger and of the store: Spin's key-value store, or Redis.

use std::cell::OnceCell;

use config::{Problems, Storage};

use crate::redis::connection::RedisPlace;
use crate::redis::store::RedisStore;

thread_local! {
    /// Places of the deployed document, for as long as the instance lives.
    static PLACES: OnceCell<Places> = const { OnceCell::new() };
}

struct Places {
    deployed: Storage,
    ledger: Option<RedisPlace>,
    store: Option<RedisPlace>,
}

impl Places {
    fn new(deployed: Storage) -> Self {
        let ledger = deployed.ledger.as_ref().map(|server| RedisPlace::new(server, None));
        let store = deployed.store.as_ref().map(|server| RedisPlace::new(server, ledger.as_ref()));
        Self { deployed, ledger, store }
    }
}

/// Uses the places of the first call, and reports others of later calls.
pub(crate) fn use_storage(storage: &Storage) -> Result<(), Problems> {
    PLACES.with(|places| {
        let places = places.get_or_init(|| Places::new(storage.clone()));
        storage.check_is_deployed(&places.deployed)
    })
}

/// The ledger's place in Redis. `None`: the key-value store.
pub(crate) fn redis_ledger() -> Option<RedisPlace> {
    PLACES.with(|places| places.get()?.ledger.clone())
}

/// The store's place in Redis. `None`: the key-value store.
pub(crate) fn redis_store() -> Option<RedisStore> {
    PLACES.with(|places| places.get()?.store.clone().map(RedisStore))
}
