//! From a key to its consumer, with a memory: a request must not wait for the store, and a flood of
//! wrong keys must not become a flood of reads.
//!
//! How old an answer may be: [`FRESH`] and [`REFRESHING`] here, and as long as the host's own cache
//! shows what is no more (a shell asks for 30 s). Together less than a minute. What this isolate has
//! changed itself counts at once.
//!
//! Lookups of the same key do not wait for one another: on Workers a request may not await what another
//! one has begun.

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

/// For so long an answer is used again, that of a key which nobody has too.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(10);

/// For so much longer the others may use it while one request asks anew.
pub(super) const REFRESH_GRACE: Duration = Duration::from_secs(2);

/// For so long since it was read a known key is used where the store cannot be asked.
pub(super) const STALE_FOR: Duration = Duration::from_secs(5 * 60);

/// At most so many keys are remembered, and as many that nobody has.
pub(super) const MAX_CACHED_KEYS: usize = 4_096;

/// For so long what was written here counts before what the store shows.
const WRITE_OVERLAY_TTL: Duration = Duration::from_secs(30);

/// For so long what was deleted here counts as gone: whatever cache the host has.
const DELETE_OVERLAY_TTL: Duration = Duration::from_secs(60);

/// At most so many changes count so.
const MAX_OVERLAY_ENTRIES: usize = 1_024;

/// What an isolate remembers of keys. It belongs to one configuration, since what a consumer may do
/// names that one's routes.
#[derive(Debug)]
pub struct KeyCache {
    known_keys: RefCell<FifoCache<KeyHash, CachedKey>>,
    unknown_keys: RefCell<FifoCache<KeyHash, Timestamp>>,
    overlay: Rc<RefCell<FifoCache<String, OverlayEntry>>>,
    /// How many changes were made here: an answer from before one is not remembered after it.
    change_count: Cell<u64>,
}

/// Whose key it is.
#[derive(Debug)]
pub struct KeyOwner {
    /// The key's name in the admin API.
    pub key: String,
    /// Whose it is.
    pub consumer: Rc<Consumer>,
    expires: Option<Timestamp>,
}

#[derive(Debug)]
struct CachedKey {
    owner: Rc<KeyOwner>,
    read_at: Timestamp,
    /// Until then nobody asks the store.
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
    /// The directory of another configuration. What was written here still counts before what the store
    /// shows, and what either of the two writes counts for both.
    pub fn carry_over(&self) -> Self {
        Self { overlay: Rc::clone(&self.overlay), ..Self::default() }
    }

    /// Finds out whose a key is. `None`: nobody's, or its time is over.
    ///
    /// Where the store cannot be asked, a key that was known less than [`STALE`] ago is still known;
    /// of any other the outage is told, as it is of a consumer whose document this configuration does
    /// not understand.
    pub async fn lookup<P: Clock + KvStore>(
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
        let Some(entry) = key_store.get_key(hash).await? else { return Ok(None) };
        let configured = config.consumers.iter().find(|consumer| consumer.id == entry.consumer);
        let consumer = if let Some(consumer) = configured {
            consumer.clone()
        } else {
            let Some(stored) = key_store.get_consumer(&entry.consumer).await? else {
                return Ok(None);
            };
            // A key that was missed when a consumer of the same name was deleted.
            if entry.created < stored.created {
                return Ok(None);
            }
            parse_stored(config, &entry.consumer, &stored)?
        };
        let found = KeyOwner { key: entry.id, consumer: Rc::new(consumer), expires: entry.expires };
        Ok(Some(Rc::new(found)))
    }

    /// The consumer of this name that the admin plane has made, if there is one. It is not remembered
    /// here.
    pub async fn load_consumer<P: Clock + KvStore>(
        &self,
        host: &P,
        config: &Config,
        id: &str,
    ) -> Result<Option<Consumer>, HostError> {
        let stored = KeyStore::new(host, self).get_consumer(id).await?;
        stored.map(|stored| parse_stored(config, id, &stored)).transpose()
    }

    /// What is remembered, if it may be used without a question to the store.
    fn get_cached(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<KeyOwner>>> {
        if let Some(known) = self.known_keys.borrow_mut().get_mut(hash) {
            // A clock that went back must not make an answer last.
            if known.read_at > now {
                return None;
            }
            if now < known.refresh_after {
                return Some(known.owner.if_valid(now));
            }
            // This request asks; those that come meanwhile need not.
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

    /// The answer of before, where the store is away. Others need not ask it again at once.
    fn extend_stale(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<KeyOwner>>> {
        let mut cache = self.known_keys.borrow_mut();
        let known = cache.get_mut(hash)?;
        if known.read_at > now || now.since(known.read_at) >= STALE_FOR {
            return None;
        }
        known.refresh_after = (now + REFRESH_GRACE).min(known.read_at + STALE_FOR);
        Some(known.owner.if_valid(now))
    }

    /// Forgets a key: the next request asks anew.
    pub(super) fn invalidate(&self, hash: &KeyHash) {
        self.known_keys.borrow_mut().remove(hash);
        self.unknown_keys.borrow_mut().remove(hash);
    }

    /// Forgets the keys of a consumer, and which ones nobody has, since they may be its own.
    pub(super) fn invalidate_consumer(&self, id: &str) {
        self.known_keys.borrow_mut().retain(|known| known.owner.consumer.id != id);
        self.unknown_keys.borrow_mut().retain(|_| false);
    }

    /// Takes note of a change that was made here.
    pub(super) fn record_write(&self, name: String, value: Option<Bytes>, at: Timestamp) {
        self.overlay.borrow_mut().insert(name, OverlayEntry { value, at });
        self.change_count.set(self.change_count.get() + 1);
    }

    /// What was written here a short while ago: the value, or that there is none any more.
    pub(super) fn recent_write(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut cache = self.overlay.borrow_mut();
        let written = cache.get_mut(&name.to_owned())?;
        let counts = if written.value.is_some() { WRITE_OVERLAY_TTL } else { DELETE_OVERLAY_TTL };
        (written.at <= now && now.since(written.at) < counts).then(|| written.value.clone())
    }

    /// How many keys are remembered, and how many that nobody has.
    #[cfg(test)]
    pub(super) fn cached_counts(&self) -> (usize, usize) {
        (self.known_keys.borrow().len(), self.unknown_keys.borrow().len())
    }
}

/// A kept consumer, by a configuration that may have changed since it was kept.
fn parse_stored(config: &Config, id: &str, stored: &StoredConsumer) -> Result<Consumer, HostError> {
    let mut document = stored.document.clone();
    // Nobody can use a route that was taken out since, and the others still can be used.
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
        HostError::new(format!("the consumer {id} does not fit: {problems}"))
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
