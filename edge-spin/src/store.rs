//! The door `KvStore` over Spin's key-value store.
//!
//! It caches nothing. A listing names values whose time is over as long as nobody has read them.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::host::error::HostError;
use gateway::host::{Clock, KvStore, Listing};
use spin_sdk::key_value;

use crate::spin_host::SpinHost;
use crate::ttl_envelope::{self, EnvelopeContent};

/// What sets these names apart from the ledger's, which are in the same store.
const KEY_PREFIX: &str = "store/";

/// The shortest time that a value is kept, the same on every host.
const MIN_TTL: Duration = Duration::from_secs(60);

/// How many names a listing has.
const PAGE_SIZE: usize = 1_000;

thread_local! {
    /// Opened once for all the requests of an instance.
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
                // Whoever puts a new value at this very moment may lose it: Spin cannot delete on a
                // condition. One that is still there does no harm, so a failure is not told.
                let _ = store.delete(&name).await;
                Ok(None)
            }
            EnvelopeContent::Foreign => {
                Err(HostError::new("a value of the store is not one of ours"))
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
        // The end of the names alone does not say whether they are all.
        keys.result().await.map_err(HostError::new)?;
        Ok(paginate(names, PAGE_SIZE))
    }
}

/// The first names in their order, and where to go on.
fn paginate(mut names: Vec<String>, most: usize) -> Listing {
    names.sort_unstable();
    let more = names.len() > most;
    names.truncate(most);
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
    fn assert_page(names: &[&str], most: usize, expected: &[&str], cursor: Option<&str>) {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let expected = Listing { names: own(expected), cursor: cursor.map(str::to_owned) };
        assert_eq!(paginate(own(names), most), expected);
    }

    #[test]
    fn a_page_is_in_order_and_ends_with_where_to_go_on() {
        assert_page(&[], 2, &[], None);
        assert_page(&["b", "a"], 2, &["a", "b"], None);
        assert_page(&["c", "b", "a"], 2, &["a", "b"], Some("b"));
    }
}
