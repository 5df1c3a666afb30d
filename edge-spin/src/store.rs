//! `KvStore` over Redis, or over Spin's key-value store.
//!
//! Nothing is cached. A listing of the key-value store includes expired values until they are read.

use std::cell::OnceCell;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::error::HostError;
use gateway::host::{Clock, KvStore, Listing};
use spin_sdk::key_value;

use crate::bucket::{bucket, to_host_error};
use crate::host_turn::yield_once;
use crate::spin_host::SpinHost;
use crate::storage::redis_store;
use crate::ttl_envelope::{self, EnvelopeContent};

/// Prefix that separates these keys from the ledger's in the same store.
const KEY_PREFIX: &str = "store/";

/// Shortest expiration, the same on every host.
pub(crate) const MIN_TTL: Duration = Duration::from_secs(60);

/// Names in one page of a listing.
pub(crate) const PAGE_SIZE: usize = 1_000;

thread_local! {
    /// Opened once for all requests of an instance.
    static STORE: OnceCell<Rc<key_value::Store>> = const { OnceCell::new() };
}

impl KvStore for SpinHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        if let Some(store) = redis_store() {
            return store.get(name).await;
        }
        let store = store().await?;
        let name = key(name);
        let read = store.get(&name).await;
        yield_once().await;
        let Some(sealed) = read.map_err(HostError::new)? else { return Ok(None) };
        match ttl_envelope::open(sealed, self.now()) {
            EnvelopeContent::Value(value) => Ok(Some(value.into())),
            EnvelopeContent::Expired => {
                // A concurrent put may be lost here: Spin has no conditional delete. A failure is
                // ignored: the expired value does no harm.
                let _ = store.delete(&name).await;
                Ok(None)
            }
            EnvelopeContent::Foreign => {
                Err(HostError::new("corrupt store entry: not written by this gateway"))
            }
        }
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        if let Some(store) = redis_store() {
            return store.put(name, value, keep).await;
        }
        let until = keep.map(|keep| self.now() + keep.max(MIN_TTL));
        let sealed = ttl_envelope::seal(&value, until);
        let written = store().await?.set(key(name), sealed).await;
        yield_once().await;
        written.map_err(HostError::new)
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        if let Some(store) = redis_store() {
            return store.delete(name).await;
        }
        let deleted = store().await?.delete(key(name)).await;
        yield_once().await;
        deleted.map_err(HostError::new)
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        if let Some(store) = redis_store() {
            return store.list(prefix, cursor).await;
        }
        // One synchronous call. The stream of `spin:key-value` holds the lock of Spin's SQLite store
        // until it is read to its end: another call of this instance would wait for it forever.
        let mut page = Page::new(prefix, cursor);
        let mut next_keys: Option<String> = None;
        loop {
            let response = bucket()?.list_keys(next_keys.as_deref()).map_err(to_host_error)?;
            response.keys.into_iter().for_each(|key| page.add(key));
            next_keys = response.cursor;
            if next_keys.is_none() {
                return Ok(page.finish());
            }
        }
    }
}

/// The first names of a listing, collected from all keys of the store in any order.
struct Page<'a> {
    prefix: &'a str,
    cursor: Option<&'a str>,
    /// At most one name more than a page has.
    names: BinaryHeap<String>,
    max: usize,
}

impl<'a> Page<'a> {
    fn new(prefix: &'a str, cursor: Option<&'a str>) -> Self {
        Self { prefix, cursor, names: BinaryHeap::new(), max: PAGE_SIZE }
    }

    /// Adds the key of a value, if it is one of the first names after the cursor.
    fn add(&mut self, mut key: String) {
        let Some(name) = key.strip_prefix(KEY_PREFIX) else { return };
        if !name.starts_with(self.prefix) || self.cursor.is_some_and(|cursor| name <= cursor) {
            return;
        }
        if self.names.len() > self.max {
            if self.names.peek().is_some_and(|last| name >= last.as_str()) {
                return;
            }
            self.names.pop();
        }
        key.drain(..KEY_PREFIX.len());
        self.names.push(key);
    }

    fn finish(self) -> Listing {
        let mut names = self.names.into_sorted_vec();
        let has_more = names.len() > self.max;
        names.truncate(self.max);
        let cursor = names.last().filter(|_| has_more).cloned();
        Listing { names, cursor }
    }
}

fn key(name: &str) -> String {
    format!("{KEY_PREFIX}{name}")
}

async fn store() -> Result<Rc<key_value::Store>, HostError> {
    if let Some(store) = STORE.with(|cell| cell.get().cloned()) {
        return Ok(store);
    }
    let store = Rc::new(key_value::Store::open_default().await.map_err(HostError::new)?);
    Ok(STORE.with(|cell| Rc::clone(cell.get_or_init(|| store))))
}

#[cfg(test)]
mod tests {
    use gateway::host::Listing;

    use super::{KEY_PREFIX, Page};

    fn page(keys: &[String], prefix: &str, cursor: Option<&str>, max: usize) -> Listing {
        let mut page = Page { max, ..Page::new(prefix, cursor) };
        for key in keys {
            page.add(key.clone());
            assert!(page.names.len() <= max + 1);
        }
        page.finish()
    }

    #[track_caller]
    fn assert_page(names: &[&str], max: usize, expected: &[&str], cursor: Option<&str>) {
        let keys: Vec<String> = names.iter().map(|name| format!("{KEY_PREFIX}{name}")).collect();
        let names = expected.iter().map(|&name| name.to_owned()).collect();
        let expected = Listing { names, cursor: cursor.map(str::to_owned) };
        assert_eq!(page(&keys, "", None, max), expected);
    }

    #[test]
    fn page_has_the_first_names_and_the_next_cursor() {
        assert_page(&[], 2, &[], None);
        assert_page(&["b", "a"], 2, &["a", "b"], None);
        assert_page(&["c", "b", "a"], 2, &["a", "b"], Some("b"));
        assert_page(&["a", "b", "c", "d"], 2, &["a", "b"], Some("b"));
        assert_page(&["d", "a", "c", "b"], 1, &["a"], Some("a"));
    }

    #[test]
    fn pages_of_many_names_are_complete_and_in_order() {
        // 7,919 is coprime to 10,000: every number once, in no order.
        let number = |at: u32| at * 7_919 % 10_000;
        let mut keys: Vec<String> =
            (0..10_000).map(|at| format!("{KEY_PREFIX}key/{:05}", number(at))).collect();
        keys.extend(["ledger/key/0".to_owned(), format!("{KEY_PREFIX}other")]);
        let (mut cursor, mut all) = (None, Vec::new());
        loop {
            let Listing { names, cursor: next } = page(&keys, "key/", cursor.as_deref(), 1_000);
            assert_eq!(names.len(), 1_000);
            all.extend(names);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<String> = (0..10_000).map(|at| format!("key/{at:05}")).collect();
        assert_eq!(all, expected);
    }
}
