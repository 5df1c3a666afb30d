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
use serde_json::Value;

use crate::config::{Config, Consumer};
use crate::memory::Memory;
use crate::outage::Outage;
use crate::platform::{Clock, Store};
use crate::time::Timestamp;

use super::form::is_adoptable;
use super::kept::KeptConsumer;
use super::pepper::{KeyHash, Pepper};
use super::shelf::Shelf;

/// For so long an answer is used again, that of a key which nobody has too.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// For so much longer the others may use it while one request asks anew.
pub(super) const REFRESHING: Duration = Duration::from_secs(2);

/// For so long since it was read a known key is used where the store cannot be asked.
pub(super) const STALE: Duration = Duration::from_secs(5 * 60);

/// At most so many keys are remembered, and as many that nobody has.
pub(super) const MOST: usize = 4_096;

/// For so long what was written here counts before what the store shows.
const WRITTEN: Duration = Duration::from_secs(30);

/// For so long what was deleted here counts as gone: whatever cache the host has.
const DELETED: Duration = Duration::from_secs(60);

/// At most so many changes count so.
const MOST_WRITTEN: usize = 1_024;

/// What an isolate remembers of keys. It belongs to one configuration, since what a consumer may do
/// names that one's routes.
#[derive(Debug)]
pub struct Directory {
    known: RefCell<Memory<KeyHash, Known>>,
    unknown: RefCell<Memory<KeyHash, Timestamp>>,
    written: Rc<RefCell<Memory<String, Written>>>,
    /// How many changes were made here: an answer from before one is not remembered after it.
    changes: Cell<u64>,
}

/// Whose key it is.
#[derive(Debug)]
pub struct Found {
    /// The key's name in the admin API.
    pub key: String,
    /// Whose it is.
    pub consumer: Rc<Consumer>,
    expires: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    found: Rc<Found>,
    read: Timestamp,
    /// Until then nobody asks the store.
    patience: Timestamp,
}

#[derive(Debug)]
struct Written {
    value: Option<Bytes>,
    at: Timestamp,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            known: RefCell::new(Memory::new(MOST)),
            unknown: RefCell::new(Memory::new(MOST)),
            written: Rc::new(RefCell::new(Memory::new(MOST_WRITTEN))),
            changes: Cell::new(0),
        }
    }
}

impl Directory {
    /// The directory of another configuration. What was written here still counts before what the store
    /// shows, and what either of the two writes counts for both.
    pub fn succeed(&self) -> Self {
        Self { written: Rc::clone(&self.written), ..Self::default() }
    }

    /// Finds out whose a key is. `None`: nobody's, or its time is over.
    ///
    /// Where the store cannot be asked, a key that was known less than [`STALE`] ago is still known;
    /// of any other the outage is told, as it is of a consumer whose document this configuration does
    /// not understand.
    pub async fn find<P: Clock + Store>(
        &self,
        platform: &P,
        config: &Config,
        pepper: &Pepper,
        key: &str,
    ) -> Result<Option<Rc<Found>>, Outage> {
        if !is_adoptable(pepper, key) {
            return Ok(None);
        }
        let hash = pepper.digest(key);
        if let Some(answer) = self.recall(&hash, platform.now()) {
            return Ok(answer);
        }
        let before = self.changes.get();
        let read = self.read(platform, config, &hash).await;
        let now = platform.now();
        match read {
            Ok(found) => {
                if before == self.changes.get() {
                    self.remember(hash, found.clone(), now);
                }
                Ok(found.filter(|found| found.works(now)))
            }
            Err(outage) => self.make_do(&hash, now).ok_or(outage),
        }
    }

    async fn read<P: Clock + Store>(
        &self,
        platform: &P,
        config: &Config,
        hash: &KeyHash,
    ) -> Result<Option<Rc<Found>>, Outage> {
        let shelf = Shelf::new(platform, self);
        let Some(entry) = shelf.key(hash).await? else { return Ok(None) };
        let configured = config.consumers.iter().find(|consumer| consumer.id == entry.consumer);
        let consumer = if let Some(consumer) = configured {
            consumer.clone()
        } else {
            let Some(kept) = shelf.consumer(&entry.consumer).await? else { return Ok(None) };
            // A key that was missed when a consumer of the same name was deleted.
            if entry.created < kept.created {
                return Ok(None);
            }
            understood(config, &entry.consumer, &kept)?
        };
        let found = Found { key: entry.id, consumer: Rc::new(consumer), expires: entry.expires };
        Ok(Some(Rc::new(found)))
    }

    /// The consumer of this name that the admin plane has made, if there is one. It is not remembered
    /// here.
    pub async fn consumer<P: Clock + Store>(
        &self,
        platform: &P,
        config: &Config,
        id: &str,
    ) -> Result<Option<Consumer>, Outage> {
        let kept = Shelf::new(platform, self).consumer(id).await?;
        kept.map(|kept| understood(config, id, &kept)).transpose()
    }

    /// What is remembered, if it may be used without a question to the store.
    fn recall(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<Found>>> {
        if let Some(known) = self.known.borrow_mut().find(hash) {
            // A clock that went back must not make an answer last.
            if known.read > now {
                return None;
            }
            if now < known.patience {
                return Some(known.found.alive(now));
            }
            // This request asks; those that come meanwhile need not.
            known.patience = known.patience.max(known.read + FRESH + REFRESHING);
            return None;
        }
        let read = *self.unknown.borrow_mut().find(hash)?;
        (read <= now && now.since(read) < FRESH).then_some(None)
    }

    fn remember(&self, hash: KeyHash, found: Option<Rc<Found>>, now: Timestamp) {
        match found {
            Some(found) => {
                self.unknown.borrow_mut().forget(&hash);
                let known = Known { found, read: now, patience: now + FRESH };
                self.known.borrow_mut().put(hash, known);
            }
            None => {
                self.known.borrow_mut().forget(&hash);
                self.unknown.borrow_mut().put(hash, now);
            }
        }
    }

    /// The answer of before, where the store is away. Others need not ask it again at once.
    fn make_do(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<Rc<Found>>> {
        let mut memory = self.known.borrow_mut();
        let known = memory.find(hash)?;
        if known.read > now || now.since(known.read) >= STALE {
            return None;
        }
        known.patience = (now + REFRESHING).min(known.read + STALE);
        Some(known.found.alive(now))
    }

    /// Forgets a key: the next request asks anew.
    pub(super) fn forget(&self, hash: &KeyHash) {
        self.known.borrow_mut().forget(hash);
        self.unknown.borrow_mut().forget(hash);
    }

    /// Forgets the keys of a consumer, and which ones nobody has, since they may be its own.
    pub(super) fn forget_consumer(&self, id: &str) {
        self.known.borrow_mut().retain(|known| known.found.consumer.id != id);
        self.unknown.borrow_mut().retain(|_| false);
    }

    /// Takes note of a change that was made here.
    pub(super) fn note(&self, name: String, value: Option<Bytes>, at: Timestamp) {
        self.written.borrow_mut().put(name, Written { value, at });
        self.changes.set(self.changes.get() + 1);
    }

    /// What was written here a short while ago: the value, or that there is none any more.
    pub(super) fn written(&self, name: &str, now: Timestamp) -> Option<Option<Bytes>> {
        let mut memory = self.written.borrow_mut();
        let written = memory.find(&name.to_owned())?;
        let counts = if written.value.is_some() { WRITTEN } else { DELETED };
        (written.at <= now && now.since(written.at) < counts).then(|| written.value.clone())
    }

    /// How many keys are remembered, and how many that nobody has.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.known.borrow().len(), self.unknown.borrow().len())
    }
}

/// A kept consumer, by a configuration that may have changed since it was kept.
fn understood(config: &Config, id: &str, kept: &KeptConsumer) -> Result<Consumer, Outage> {
    let mut document = kept.document.clone();
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
    let read = config.read_consumer(document.to_string().as_bytes());
    let mut consumer = read
        .map_err(|problems| Outage::new(format!("the consumer {id} does not fit: {problems}")))?;
    if has_none {
        consumer.permissions.routes = Some(Vec::new());
    }
    Ok(consumer)
}

impl Found {
    fn works(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn alive(self: &Rc<Self>, now: Timestamp) -> Option<Rc<Self>> {
        self.works(now).then(|| Rc::clone(self))
    }
}
