//! `KvStore` over Spin's key-value store.
//!
//! Nothing is cached. A listing includes expired values until they are read.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::error::HostError;
use gateway::host::{Clock, KvStore, Listing};
use spin_sdk::key_value;

use crate::spin_host::SpinHost;
use crate::ttl_envelope::{self, EnvelopeContent};

/// Prefix that separates these keys from the ledger's in the same store.
const KEY_PREFIX: &str = "store/";

/// Shortest expiration, the same on every host.
const MIN_TTL: Duration = Duration::from_secs(60);

/// Names in one page of a listing.
const PAGE_SIZE: usize = 1_000;

thread_local! {
    /// Opened once for all requests of an instance.
    static STORE: OnceCell<Rc<key_value::Store>> = const { OnceCell::new() };
}

impl KvStore for SpinHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        let store = store().await?;
        let name = key(name);
        let Some(sealed) = store.get(&name).await.map_err(HostError::new)? else { return Ok(None) };
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
        let until = keep.map(|keep| self.now() + keep.max(MIN_TTL));
        let sealed = ttl_envelope::seal(&value, until);
        store().await?.set(key(name), sealed).await.map_err(HostError::new)
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        store().await?.delete(key(name)).await.map_err(HostError::new)
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        let mut keys = store().await?.get_keys().await;
        let mut names = Vec::new();
        while let Some(key) = keys.next().await {
            if let Some(name) = key.strip_prefix(KEY_PREFIX)
                && name.starts_with(prefix)
                && cursor.is_none_or(|cursor| name > cursor)
            {
                names.push(name.to_owned());
            }
        }
        // The stream of names also ends if the listing fails.
        keys.result().await.map_err(HostError::new)?;
        Ok(paginate(names, PAGE_SIZE))
    }
}

/// Returns the first names in order and the cursor of the next page.
fn paginate(mut names: Vec<String>, max: usize) -> Listing {
    names.sort_unstable();
    let more = names.len() > max;
    names.truncate(max);
    let cursor = names.last().filter(|_| more).cloned();
    Listing { names, cursor }
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

    use super::paginate;

    #[track_caller]
    fn assert_page(names: &[&str], max: usize, expected: &[&str], cursor: Option<&str>) {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let expected = Listing { names: own(expected), cursor: cursor.map(str::to_owned) };
        assert_eq!(paginate(own(names), max), expected);
    }

    #[test]
    fn paginate_sorts_names_and_returns_the_next_cursor() {
        assert_page(&[], 2, &[], None);
        assert_page(&["b", "a"], 2, &["a", "b"], None);
        assert_page(&["c", "b", "a"], 2, &["a", "b"], Some("b"));
    }
}
