//! The door `Store` over Spin's key-value store.
//!
//! It caches nothing. A listing names values whose time is over as long as nobody has read them.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::outage::Outage;
use gateway::platform::{Clock, Listing, Store};
use spin_sdk::key_value;

use crate::doors::Spin;
use crate::envelope::{self, Content};

/// What sets these names apart from the ledger's, which are in the same store.
const PREFIX: &str = "store/";

/// The shortest time that a value is kept, the same on every host.
const SHORTEST: Duration = Duration::from_secs(60);

/// How many names a listing has.
const PAGE: usize = 1_000;

thread_local! {
    /// Opened once for all the requests of an instance.
    static STORE: OnceCell<Rc<key_value::Store>> = const { OnceCell::new() };
}

impl Store for Spin {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Outage> {
        let store = store().await?;
        let name = key(name);
        let Some(sealed) = store.get(&name).await.map_err(Outage::new)? else { return Ok(None) };
        match envelope::open(sealed, self.now()) {
            Content::Value(value) => Ok(Some(value.into())),
            Content::Expired => {
                // Whoever puts a new value at this very moment may lose it: Spin cannot delete on a
                // condition. One that is still there does no harm, so a failure is not told.
                let _ = store.delete(&name).await;
                Ok(None)
            }
            Content::Foreign => Err(Outage::new("a value of the store is not one of ours")),
        }
    }

    async fn put(&self, name: &str, value: Vec<u8>, keep: Option<Duration>) -> Result<(), Outage> {
        let until = keep.map(|keep| self.now() + keep.max(SHORTEST));
        let sealed = envelope::seal(&value, until);
        store().await?.set(key(name), sealed).await.map_err(Outage::new)
    }

    async fn delete(&self, name: &str) -> Result<(), Outage> {
        store().await?.delete(key(name)).await.map_err(Outage::new)
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, Outage> {
        let mut keys = store().await?.get_keys().await;
        let mut names = Vec::new();
        while let Some(key) = keys.next().await {
            if let Some(name) = key.strip_prefix(PREFIX)
                && name.starts_with(prefix)
                && cursor.is_none_or(|cursor| name > cursor)
            {
                names.push(name.to_owned());
            }
        }
        // The end of the names alone does not say whether they are all.
        keys.result().await.map_err(Outage::new)?;
        Ok(page(names, PAGE))
    }
}

/// The first names in their order, and where to go on.
fn page(mut names: Vec<String>, most: usize) -> Listing {
    names.sort_unstable();
    let more = names.len() > most;
    names.truncate(most);
    let cursor = names.last().filter(|_| more).cloned();
    Listing { names, cursor }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

async fn store() -> Result<Rc<key_value::Store>, Outage> {
    if let Some(store) = STORE.with(|cell| cell.get().cloned()) {
        return Ok(store);
    }
    let store = Rc::new(key_value::Store::open_default().await.map_err(Outage::new)?);
    Ok(STORE.with(|cell| Rc::clone(cell.get_or_init(|| store))))
}

#[cfg(test)]
mod tests {
    use gateway::platform::Listing;

    use super::page;

    #[track_caller]
    fn check(names: &[&str], most: usize, expected: &[&str], cursor: Option<&str>) {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let expected = Listing { names: own(expected), cursor: cursor.map(str::to_owned) };
        assert_eq!(page(own(names), most), expected);
    }

    #[test]
    fn a_page_is_in_order_and_ends_with_where_to_go_on() {
        check(&[], 2, &[], None);
        check(&["b", "a"], 2, &["a", "b"], None);
        check(&["c", "b", "a"], 2, &["a", "b"], Some("b"));
    }
}
