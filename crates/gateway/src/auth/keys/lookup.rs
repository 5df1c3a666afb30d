//! Lookup of a key's consumer, with a cache: requests should not wait for the store, and a flood of
//! wrong keys must not become a flood of reads.
//!
//! Maximum age of a result: [`FRESH_FOR`] and [`REFRESH_GRACE`], plus the age of the host's own
//! cache (the hosts ask for 30 s). The total is less than a minute. Changes made by this isolate
//! count at once.
//!
//! Concurrent lookups of a key are independent: on Workers a request must not await another
//! request's I/O.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Config, Consumer};
use serde_json::Value;

use crate::fifo_cache::FifoCache;
use crate::host::error::HostError;
use crate::host::{Clock, KvStore};

use super::format::is_adoptable;
use super::hashing::{KeyHash, Pepper};
use super::records::StoredConsumer;
use super::store::KeyStore;

/// Time for which a result is used again, including "unknown key".
pub(super) const FRESH_FOR: Duration = Duration::from_secs(10);

/// Further time for which other requests use a result while one refreshes it.
pub(super) const REFRESH_GRACE: Duration = Duration::from_secs(2);

/// Maximum age of a known key while the store is unavailable.
pub(super) const STALE_FOR: Duration = Duration::from_secs(5 * 60);

/// Maximum number of cached known keys, and of cached unknown ones.
pub(super) const MAX_CACHED_KEYS: usize = 4_096;

/// Time for which a value written here overrides the store.
const WRITE_OVERLAY_TTL: Duration = Duration::from_secs(30);

/// Time for which a deletion here overrides the store: longer than any host's cache.
const DELETE_OVERLAY_TTL: Duration = Duration::from_secs(60);

/// Maximum number of overriding changes.
const MAX_OVERLAY_ENTRIES: usize = 1_024;

/// Cached keys of an isolate. The cache belongs to one configuration, since permissions refer to
/// its routes.
#[derive(Debug)]
pub(crate) struct KeyCache {
    known_keys: RefCell<FifoCache<KeyHash, CachedKey>>,
    unknown_keys: RefCell<FifoCache<KeyHash, Timestamp>>,
    overlay: Rc<RefCell<FifoCache<String, OverlayEntry>>>,
    /// Number of changes made here: a result that was read before a change is not cached after it.
    change_count: Cell<u64>,
}

/// The owner of a key.
#[derive(Debug)]
pub(crate) struct KeyOwner {
    /// The consumer that owns the key.
    pub consumer: Rc<Consumer>,
    /// The key's id.
    pub key_id: String,
    expires: Option<Timestamp>,
}

#[derive(Debug)]
struct CachedKey {
    owner: Rc<KeyOwner>,
    read_at: Timestamp,
    /// Time until which the store is not read again.
    refresh_after: Timestamp,
}

#[derive(Debug)]
struct OverlayEntry {
    value: Option<Bytes>,
    at: Timestamp,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            known_keys: RefCell::new(FifoCache::new(MAX_CACHED_KEYS)),
            unknown_keys: RefCell::new(FifoCache::new(MAX_CACHED_KEYS)),
            overlay: Rc::new(RefCell::new(FifoCache::new(MAX_OVERLAY_ENTRIES))),
            change_count: Cell::new(0),
        }
    }
}

impl KeyCache {
    /// An empty cache for another configuration. Changes made through either of the two override
    /// the store for both.
    pub(crate) fn carry_over(&self) -> Self {
        Self { overlay: Rc::clone(&self.overlay), ..Self::default() }
    }

    /// Returns the owner of a key; `None` if the key is unknown or expired.
    ///
    /// If the store is unavailable, a key that was known less than [`STALE_FOR`] ago is still
    /// valid; any other key is an error. A consumer with a document that this configuration cannot
    /// read is an error too.
    pub(crate) async fn lookup<P: Clock + KvStore>(
        &self,
        host: &P,
        config: &Config,
        pepper: &Pepper,
        key: &str,
    ) -> Result<Option<Rc<KeyOwner>>, HostError> {
        if !is_adoptable(pepper, key) {
            return Ok(None);
        }
        let hash = pepper.digest(key);
        if let Some(answer) = self.get_cached(&hash, host.now()) {
            return Ok(answer);
        }
        let before = self.change_count.get();
        let read = self.load_key(host, config, &hash).await;
        let now = host.now();
        match read {
            Ok(found) => {
                if before == self.change_count.get() {
                    self.insert(hash, found.clone(), now);
                }
                Ok(found.filter(|found| found.is_valid(now)))
            }
            Err(error) => self.extend_stale(&hash, now).ok_or(error),
        }
    }

    async fn load_key<P: Clock + KvStore>(
        &self,
        host: &P,
        config: &Config,
        hash: &KeyHash,
    ) -> Result<Option<Rc<KeyOwner>>, HostError> {
        let key_store = KeyStore::new(host, self);
        let Some(key) = key_store.get_key(hash).await? else { return Ok(None) };
        let configured = config.consumers.iter().find(|consumer| consumer.id == key.consumer);
        let consumer = if let Some(consumer) = configured {
            consumer.clone()
        } else {
            let Some(stored) = key_store.get_consumer(&key.consumer).await? else {
                return Ok(None);
            };
            // A key that was missed when an earlier consumer of this name was deleted.
            if key.created < stored.created {
                return Ok(None);
            }
            parse_stored(config, &key.consumer, &stored)?
        };
        let found = KeyOwner { consumer: Rc::new(consumer), key_id: key.id, expires: key.expires };
        Ok(Some(Rc::new(found)))
    }

    /// Returns the admin API's consumer of this name. It is not cached.
    pub(crate) async fn load_consumer<P: Clock + KvStore>(
        &self,
        host: &P,
        config: &Config,
        id: &str,
    ) -> Result<Option<Consumer>, HostError> {
        let stored = KeyStore::new(host, self).get_consumer(id).await?;
        stored.map(|stored| parse_stored(config, id, &stored)).transpose()
    }

    /// The cached result, if it may be used without reading the store.
    fn get_cached(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<KeyOwner>>> {
        if let Some(known) = self.known_keys.borrow_mut().get_mut(hash) {
            // A result must not last longer because the clock went back.
            if known.read_at > now {
                return None;
            }
            if now < known.refresh_after {
                return Some(known.owner.if_valid(now));
            }
            // This request refreshes the result; concurrent ones need not.
            known.refresh_after =
                known.refresh_after.max(known.read_at + FRESH_FOR + REFRESH_GRACE);
            return None;
        }
        let read = *self.unknown_keys.borrow_mut().get_mut(hash)?;
        (read <= now && now.since(read) < FRESH_FOR).then_some(None)
    }

    fn insert(&self, hash: KeyHash, found: Option<Rc<KeyOwner>>, now: Timestamp) {
        match found {
            Some(found) => {
                self.unknown_keys.borrow_mut().remove(&hash);
                let known =
                    CachedKey { owner: found, read_at: now, refresh_after: now + FRESH_FOR };
                self.known_keys.borrow_mut().insert(hash, known);
            }
            None => {
                self.known_keys.borrow_mut().remove(&hash);
                self.unknown_keys.borrow_mut().insert(hash, now);
            }
        }
    }

    /// The previous result, if the store is unavailable. Other requests need not try the store
    /// again at once.
    fn extend_stale(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<KeyOwner>>> {
        let mut cache = self.known_keys.borrow_mut();
        let known = cache.get_mut(hash)?;
        if known.read_at > now || now.since(known.read_at) >= STALE_FOR {
            return None;
        }
        known.refresh_after = (now + REFRESH_GRACE).min(known.read_at + STALE_FOR);
        Some(known.owner.if_valid(now))
    }

    /// Removes a key: the next request reads the store.
    pub(super) fn invalidate(&self, hash: &KeyHash) {
        self.known_keys.borrow_mut().remove(hash);
        self.unknown_keys.borrow_mut().remove(hash);
    }

    /// Removes the keys of a consumer, and all unknown keys, since they may belong to it.
    pub(super) fn invalidate_consumer(&self, id: &str) {
        self.known_keys.borrow_mut().retain(|known| known.owner.consumer.id != id);
        self.unknown_keys.borrow_mut().retain(|_| false);
    }

    /// Number of changes to consumers and keys made here.
    pub(crate) fn change_count(&self) -> u64 {
        self.change_count.get()
    }

    /// Records a change made here.
    pub(super) fn record_write(&self, name: String, value: Option<Bytes>, at: Timestamp) {
        self.overlay.borrow_mut().insert(name, OverlayEntry { value, at });
        self.change_count.set(self.change_count.get() + 1);
    }

    /// A recent change made here: the value, or `None` inside if it was deleted.
    pub(super) fn recent_write(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut cache = self.overlay.borrow_mut();
        let written = cache.get_mut(&name.to_owned())?;
        let counts = if written.value.is_some() { WRITE_OVERLAY_TTL } else { DELETE_OVERLAY_TTL };
        (written.at <= now && now.since(written.at) < counts).then(|| written.value.clone())
    }

    /// Numbers of cached known and unknown keys.
    #[cfg(test)]
    pub(super) fn cached_counts(&self) -> (usize, usize) {
        (self.known_keys.borrow().len(), self.unknown_keys.borrow().len())
    }
}

/// Parses a stored consumer by the current configuration, which may be newer.
fn parse_stored(config: &Config, id: &str, stored: &StoredConsumer) -> Result<Consumer, HostError> {
    let mut document = stored.document.clone();
    // Routes that were removed since are dropped; the others remain usable.
    let exists = |name: &Value| config.routes.iter().any(|route| *name == *route.id);
    let routes = document.get_mut("routes").and_then(Value::as_array_mut);
    let has_none = routes.is_some_and(|routes| {
        routes.retain(exists);
        routes.is_empty()
    });
    if has_none && let Some(members) = document.as_object_mut() {
        members.remove("routes");
    }
    let read = config.parse_consumer(document.to_string().as_bytes());
    let mut consumer = read.map_err(|problems| {
        HostError::new(format!("stored consumer {id} is invalid: {problems}"))
    })?;
    if has_none {
        consumer.permissions.routes = Some(Vec::new());
    }
    Ok(consumer)
}

impl KeyOwner {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn if_valid(self: &Rc<Self>, now: Timestamp) -> Option<Rc<Self>> {
        self.is_valid(now).then(|| Rc::clone(self))
    }
}
