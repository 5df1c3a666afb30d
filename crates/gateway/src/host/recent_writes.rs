//! What was written to the store here a moment ago: a store may show what was there before for a minute.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;

use crate::fifo_cache::FifoCache;
use crate::host::{Clock, KvStore};

use super::futures::until_timer;

/// How long a store may show an older state.
const STORE_STALENESS: Duration = Duration::from_secs(60);
/// Longer values are left to the store: an isolate has little memory.
const MAX_VALUE_BYTES: usize = 64 << 10;
const MAX_ENTRIES: usize = 64;
/// A store that takes longer than this is not worth waiting for.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);

/// The values that were written last, by name. `None` stands for one that was deleted.
#[derive(Debug)]
pub struct RecentWrites(RefCell<FifoCache<String, (Timestamp, Option<Bytes>)>>);

impl Default for RecentWrites {
    fn default() -> Self {
        Self(RefCell::new(FifoCache::new(MAX_ENTRIES)))
    }
}

/// The store has not answered, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreUnavailable;

impl RecentWrites {
    /// Notes what is being written, or deleted.
    pub(crate) fn record_write(&self, name: String, value: Option<Bytes>, now: Timestamp) {
        let mut all = self.0.borrow_mut();
        if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
            all.remove(&name);
        } else {
            all.insert(name, (now, value));
        }
    }

    /// Forgets everything whose name begins so.
    pub(crate) fn invalidate_prefix(&self, prefix: &str) {
        self.0.borrow_mut().remove_if(|name| name.starts_with(prefix));
    }

    /// Reads a value, in bounded time.
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

    /// What was written here.
    pub(crate) fn lookup(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut all = self.0.borrow_mut();
        let (at, value) = all.get_mut(name)?;
        (now < *at + STORE_STALENESS).then(|| value.clone())
    }
}
