//! What was written to the store here a moment ago: a store may show what was there before for a minute.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;

use crate::memory::Memory;
use crate::platform::{Clock, Store};
use crate::time::Timestamp;

use super::futures::race;

/// How long a store may show an older state.
const STALE: Duration = Duration::from_secs(60);
/// Longer values are left to the store: an isolate has little memory.
const LONGEST: usize = 64 << 10;
const MOST: usize = 64;
/// A store that takes longer than this is not worth waiting for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The values that were written last, by name. `None` stands for one that was deleted.
#[derive(Debug)]
pub struct Recent(RefCell<Memory<String, (Timestamp, Option<Bytes>)>>);

impl Default for Recent {
    fn default() -> Self {
        Self(RefCell::new(Memory::new(MOST)))
    }
}

/// The store has not answered, or not in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away;

impl Recent {
    /// Notes what is being written, or deleted.
    pub(crate) fn note(&self, name: String, value: Option<Bytes>, now: Timestamp) {
        let mut all = self.0.borrow_mut();
        if value.as_ref().is_some_and(|value| value.len() > LONGEST) {
            all.forget(&name);
        } else {
            all.put(name, (now, value));
        }
    }

    /// Forgets everything whose name begins so.
    pub(crate) fn forget(&self, prefix: &str) {
        self.0.borrow_mut().forget_if(|name| name.starts_with(prefix));
    }

    /// Reads a value, in bounded time.
    pub(crate) async fn read(
        &self,
        platform: &(impl Clock + Store),
        name: &str,
    ) -> Result<Option<Bytes>, Away> {
        let now = platform.now();
        if let Some(value) = self.find(name, now) {
            return Ok(value);
        }
        match race(platform.get(name), platform.sleep(PATIENCE)).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) | None => Err(Away),
        }
    }

    /// What was written here.
    pub(crate) fn find(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut all = self.0.borrow_mut();
        let (at, value) = all.find(name)?;
        (now < *at + STALE).then(|| value.clone())
    }
}
