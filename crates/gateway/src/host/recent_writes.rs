//! Recent writes of this isolate, over a store that may return older values for up to a minute.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;

use crate::fifo_cache::FifoCache;
use crate::host::{Clock, KvStore};

use super::futures::until_timer;

/// Maximum age of a value that the store returns.
const STORE_STALENESS: Duration = Duration::from_secs(60);
/// Longer values are read from the store: an isolate has little memory.
const MAX_VALUE_BYTES: usize = 64 << 10;
const MAX_ENTRIES: usize = 64;
/// Timeout of a read from the store.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);

/// The most recent writes, by name. `None` stands for a deletion.
#[derive(Debug)]
pub(crate) struct RecentWrites(RefCell<FifoCache<String, (Timestamp, Option<Bytes>)>>);

impl Default for RecentWrites {
    fn default() -> Self {
        Self(RefCell::new(FifoCache::new(MAX_ENTRIES)))
    }
}

/// The store failed or timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreUnavailable;

impl RecentWrites {
    /// Records a write or a deletion.
    pub(crate) fn record_write(&self, name: String, value: Option<Bytes>, now: Timestamp) {
        let mut all = self.0.borrow_mut();
        if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
            all.remove(&name);
        } else {
            all.insert(name, (now, value));
        }
    }

    /// Forgets all names with a prefix.
    pub(crate) fn invalidate_prefix(&self, prefix: &str) {
        self.0.borrow_mut().remove_if(|name| name.starts_with(prefix));
    }

    /// Reads a value, with a timeout.
    pub(crate) async fn get(
        &self,
        host: &(impl Clock + KvStore),
        name: &str,
    ) -> Result<Option<Bytes>, StoreUnavailable> {
        let now = host.now();
        if let Some(value) = self.lookup(name, now) {
            return Ok(value);
        }
        match until_timer(host.get(name), host.sleep(STORE_TIMEOUT)).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) | None => Err(StoreUnavailable),
        }
    }

    /// The value that was written here.
    pub(crate) fn lookup(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut all = self.0.borrow_mut();
        let (at, value) = all.get_mut(name)?;
        (now < *at + STORE_STALENESS).then(|| value.clone())
    }
}
