//! What the simulated host keeps: a store, and a ledger whose books change one operation at a time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use gateway::ledger::{Book, Level, Operation, Place, Reply, Rule};
use gateway::outage::Outage;
use gateway::platform::{Clock, Ledger, Listing, Store};
use gateway::time::Timestamp;

use super::World;

/// How long a ledger takes to answer, in virtual time: enough for callers to meet.
const LATENCY: Duration = Duration::from_millis(2);
/// How many names a listing has at most.
const PAGE: usize = 100;

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Vault {
    entries: BTreeMap<String, (Bytes, Option<Timestamp>)>,
    /// What readers see instead, and until when.
    behind: BTreeMap<String, (Timestamp, Option<Bytes>)>,
    lag: Duration,
    books: BTreeMap<Place, Book>,
    away: bool,
    store_away: bool,
    store_latency: Duration,
    deaf: bool,
    operations: usize,
    sweeps_what_it_touches: bool,
}

impl World {
    /// Takes the ledger away, or brings it back.
    pub fn take_ledger_away(&self, away: bool) {
        self.0.vault.borrow_mut().away = away;
    }

    /// From now on readers of the store see a change so much later, as in Workers KV. Listings do not.
    pub fn show_changes_after(&self, lag: Duration) {
        self.0.vault.borrow_mut().lag = lag;
    }

    /// Loses the ledger's answers to what it has done, or lets them through again.
    pub fn lose_ledger_answers(&self, lose: bool) {
        self.0.vault.borrow_mut().deaf = lose;
    }

    /// Takes the store away, or brings it back.
    pub fn take_store_away(&self, away: bool) {
        self.0.vault.borrow_mut().store_away = away;
    }

    /// From now on the store takes so long for everything.
    pub fn slow_the_store(&self, latency: Duration) {
        self.0.vault.borrow_mut().store_latency = latency;
    }

    /// Writes the same over every entry whose name begins so.
    pub fn spoil(&self, prefix: &str, value: &'static [u8]) {
        let mut vault = self.0.vault.borrow_mut();
        let spoilt = vault.entries.iter_mut().filter(|(name, _)| name.starts_with(prefix));
        spoilt.for_each(|(_, (kept, _))| *kept = Bytes::from_static(value));
    }

    async fn reach_store(&self) -> Result<(), Outage> {
        let (away, latency) = {
            let vault = self.0.vault.borrow();
            (vault.store_away, vault.store_latency)
        };
        if !latency.is_zero() {
            self.executor().sleep(latency).await;
        }
        if away { Err(Outage::new("the store is away")) } else { Ok(()) }
    }

    /// Does what the alarms of Durable Objects do: books forget what no longer counts, and empty ones are
    /// no more.
    pub fn sweep_ledger(&self) {
        let now = self.now();
        self.0.vault.borrow_mut().books.retain(|_, book| {
            book.sweep(now);
            !book.is_empty()
        });
    }

    /// From now on a book forgets what no longer counts as it is asked for, as on Spin.
    pub fn sweep_what_is_touched(&self) {
        self.0.vault.borrow_mut().sweeps_what_it_touches = true;
    }

    /// How many books have places that begin so and hold something, and their bytes.
    pub fn books(&self, prefix: &str) -> (usize, usize) {
        let vault = self.0.vault.borrow();
        let books = vault.books.iter().filter(|(place, _)| place.as_str().starts_with(prefix));
        let sizes = books.filter(|(_, book)| !book.is_empty()).map(|(_, it)| it.to_bytes().len());
        sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size))
    }

    /// How many operations the ledger has been asked for.
    pub fn ledger_operations(&self) -> usize {
        self.0.vault.borrow().operations
    }

    /// How an account stands.
    pub fn level(&self, place: &str, account: &str, rule: Rule) -> Level {
        let operation = Operation::Read { accounts: vec![(account.to_owned(), rule)] };
        let now = self.now();
        let mut vault = self.0.vault.borrow_mut();
        let book = vault.books.entry(Place::new(place.to_owned())).or_default();
        match book.apply(now, &operation) {
            Reply::Levels(levels) => levels[0],
            other => panic!("a reading was answered by {other:?}"),
        }
    }

    /// Everything that is kept, as text: to be searched for what must not be there.
    pub fn kept(&self) -> String {
        let vault = self.0.vault.borrow();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries =
            vault.entries.iter().map(|(name, (value, _))| format!("{name} {}", text(value)));
        let books =
            vault.books.iter().map(|(place, book)| format!("{place:?} {}", text(&book.to_bytes())));
        entries.chain(books).collect::<Vec<_>>().join("\n")
    }
}

impl Store for World {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Outage> {
        self.reach_store().await?;
        let now = self.now();
        let vault = self.0.vault.borrow();
        if let Some((_, before)) = vault.behind.get(name).filter(|(until, _)| now < *until) {
            return Ok(before.clone());
        }
        let found = vault.entries.get(name).filter(|(_, until)| until.is_none_or(|it| it > now));
        Ok(found.map(|(value, _)| value.clone()))
    }

    async fn put(&self, name: &str, value: Vec<u8>, keep: Option<Duration>) -> Result<(), Outage> {
        self.reach_store().await?;
        let now = self.now();
        let until = keep.map(|keep| now + keep);
        let mut vault = self.0.vault.borrow_mut();
        let before = vault.entries.insert(name.to_owned(), (value.into(), until));
        if !vault.lag.is_zero() {
            let shown = (now + vault.lag, before.map(|(value, _)| value));
            // Whoever is behind stays so until its time is over, and then sees the newest.
            let stale = vault.behind.entry(name.to_owned()).or_insert_with(|| shown.clone());
            if stale.0 <= now {
                *stale = shown;
            }
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Outage> {
        self.reach_store().await?;
        self.0.vault.borrow_mut().entries.remove(name);
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, Outage> {
        self.reach_store().await?;
        let from = match cursor {
            Some(cursor) => Bound::Excluded(cursor),
            None => Bound::Included(prefix),
        };
        let vault = self.0.vault.borrow();
        let following = vault.entries.range::<str, _>((from, Bound::Unbounded));
        let mut names: Vec<String> = following
            .map(|(name, _)| name.clone())
            .take_while(|name| name.starts_with(prefix))
            .take(PAGE + 1)
            .collect();
        let more = names.len() > PAGE;
        names.truncate(PAGE);
        let cursor = names.last().filter(|_| more).cloned();
        Ok(Listing { names, cursor })
    }
}

impl Ledger for World {
    const GATHERS: Duration = Duration::from_secs(2);
    const FORGETS: bool = false;

    async fn apply(&self, place: &Place, operation: &Operation) -> Result<Reply, Outage> {
        self.executor().sleep(LATENCY).await;
        let now = self.now();
        let reply = {
            let mut vault = self.0.vault.borrow_mut();
            vault.operations += 1;
            if vault.away {
                return Err(Outage::new("the ledger is away"));
            }
            let sweeps = vault.sweeps_what_it_touches;
            let book = vault.books.entry(place.clone()).or_default();
            if sweeps {
                book.sweep(now);
            }
            book.apply(now, operation)
        };
        self.executor().sleep(LATENCY).await;
        if self.0.vault.borrow().deaf {
            return Err(Outage::new("the answer was lost"));
        }
        Ok(reply)
    }
}
