//! Storage of the simulated host: the shared store and ledger with latency, faults, and read lag.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::error::HostError;
use gateway::host::{Clock, KvStore, LedgerHost, Listing};
use ledger::{AccountBalance, BookId, LedgerReply, Operation, Rule};
use memory_host::{MemoryLedger, MemoryStore, Rows};

use super::World;

/// Latency of the ledger in each direction, in virtual time: enough for concurrent callers to overlap.
const LEDGER_LATENCY: Duration = Duration::from_millis(2);
/// Most names in a page of a listing.
const PAGE_SIZE: usize = 100;

/// Stored state and fault switches.
#[derive(Debug, Default)]
pub(super) struct Storage {
    store: MemoryStore,
    /// Older values that readers see, each with the end of its time.
    stale_values: BTreeMap<String, (Timestamp, Option<Bytes>)>,
    lag: Duration,
    ledger: MemoryLedger,
    ledger_unavailable: bool,
    store_unavailable: bool,
    store_latency: Duration,
    drops_ledger_replies: bool,
    operations: usize,
    sweeps_on_touch: bool,
    reopens_on_touch: bool,
}

impl Storage {
    /// Keeps the current value of a name for readers, for the time of the lag.
    fn hide_change(&mut self, now: Timestamp, name: &str) {
        if self.lag.is_zero() {
            return;
        }
        let shown = (now + self.lag, self.store.get(now, name));
        // A stale value stays visible until its time ends; then readers see the newest value.
        let stale = self.stale_values.entry(name.to_owned()).or_insert_with(|| shown.clone());
        if stale.0 <= now {
            *stale = shown;
        }
    }

    fn apply(&mut self, now: Timestamp, book_id: &BookId, operation: &Operation) -> LedgerReply {
        if self.reopens_on_touch {
            self.ledger.reopen(book_id);
        }
        if self.sweeps_on_touch {
            self.ledger.sweep(now, book_id);
        }
        self.ledger.apply(now, book_id, operation)
    }
}

impl World {
    /// Makes the ledger fail or work.
    pub fn set_ledger_unavailable(&self, unavailable: bool) {
        self.0.storage.borrow_mut().ledger_unavailable = unavailable;
    }

    /// Delays when readers of the store see a change, as in Workers KV. Listings are not delayed.
    pub fn set_store_lag(&self, lag: Duration) {
        self.0.storage.borrow_mut().lag = lag;
    }

    /// Makes the ledger lose its replies after it has applied the operations, or send them again.
    pub fn set_ledger_drops_replies(&self, drops: bool) {
        self.0.storage.borrow_mut().drops_ledger_replies = drops;
    }

    /// Makes the store fail or work.
    pub fn set_store_unavailable(&self, unavailable: bool) {
        self.0.storage.borrow_mut().store_unavailable = unavailable;
    }

    /// Sets the latency of every operation of the store.
    pub fn set_store_latency(&self, latency: Duration) {
        self.0.storage.borrow_mut().store_latency = latency;
    }

    /// Overwrites every entry whose name has this prefix.
    pub fn corrupt_entries(&self, prefix: &str, value: &'static [u8]) {
        self.0.storage.borrow_mut().store.overwrite_all(prefix, &Bytes::from_static(value));
    }

    /// Returns a copy of the store without its read lag.
    pub fn store(&self) -> MemoryStore {
        self.0.storage.borrow().store.clone()
    }

    async fn access_store(&self) -> Result<(), HostError> {
        let (unavailable, latency) = {
            let storage = self.0.storage.borrow();
            (storage.store_unavailable, storage.store_latency)
        };
        if !latency.is_zero() {
            self.executor().sleep(latency).await;
        }
        if unavailable { Err(HostError::new("the store is unavailable")) } else { Ok(()) }
    }

    /// Sweeps every book, as the alarms of Durable Objects do: removes expired rows, then empty books.
    pub fn sweep_ledger(&self) {
        self.0.storage.borrow_mut().ledger.sweep_all(self.now());
    }

    /// Makes each operation sweep its book first, as on Spin.
    pub fn sweep_on_touch(&self) {
        self.0.storage.borrow_mut().sweeps_on_touch = true;
    }

    /// Makes each operation open its book anew from its stored rows, as after a restart of the host.
    pub fn reopen_on_touch(&self) {
        self.0.storage.borrow_mut().reopens_on_touch = true;
    }

    /// Returns the stored rows of all books, by book.
    pub fn ledger_rows(&self) -> BTreeMap<BookId, Rows> {
        let mut storage = self.0.storage.borrow_mut();
        storage.ledger.rows().map(|(book_id, rows)| (book_id.clone(), rows.clone())).collect()
    }

    /// Counts the books with this prefix that are not empty, and their bytes.
    pub fn books(&self, prefix: &str) -> (usize, usize) {
        let storage = self.0.storage.borrow();
        let books =
            storage.ledger.books().filter(|(book_id, _)| book_id.as_str().starts_with(prefix));
        let sizes = books.filter(|(_, book)| !book.is_empty()).map(|(_, it)| it.to_bytes().len());
        sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size))
    }

    /// Number of operations that the ledger received.
    pub fn ledger_operations(&self) -> usize {
        self.0.storage.borrow().operations
    }

    /// Reads the balance of an account.
    pub fn balance(&self, book_id: &str, account: &str, rule: Rule) -> AccountBalance {
        let operation = Operation::Read { accounts: vec![(account.to_owned(), rule)] };
        let book_id = BookId::new(book_id.to_owned());
        let mut storage = self.0.storage.borrow_mut();
        match storage.ledger.apply(self.now(), &book_id, &operation) {
            LedgerReply::Balances(balances) => balances[0],
            other => panic!("unexpected reply to a read: {other:?}"),
        }
    }

    /// Returns everything that is stored as text, to be searched for secrets.
    pub fn stored_text(&self) -> String {
        let storage = self.0.storage.borrow();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries =
            storage.store.entries().map(|(name, it)| format!("{name} {}", text(&it.value)));
        let books = storage
            .ledger
            .books()
            .map(|(book_id, book)| format!("{book_id:?} {}", text(&book.to_bytes())));
        entries.chain(books).collect::<Vec<_>>().join("\n")
    }
}

impl KvStore for World {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        self.access_store().await?;
        let now = self.now();
        let storage = self.0.storage.borrow();
        if let Some((_, before)) = storage.stale_values.get(name).filter(|(until, _)| now < *until)
        {
            return Ok(before.clone());
        }
        Ok(storage.store.get(now, name))
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        self.access_store().await?;
        let now = self.now();
        let mut storage = self.0.storage.borrow_mut();
        storage.hide_change(now, name);
        storage.store.put(now, name, value, keep);
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        self.access_store().await?;
        self.0.storage.borrow_mut().store.delete(name);
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        self.access_store().await?;
        let (names, cursor) = self.0.storage.borrow().store.list(prefix, cursor, PAGE_SIZE);
        Ok(Listing { names, cursor })
    }
}

impl LedgerHost for World {
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    const EXPIRES_ROWS: bool = false;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        self.executor().sleep(LEDGER_LATENCY).await;
        let now = self.now();
        let reply = {
            let mut storage = self.0.storage.borrow_mut();
            storage.operations += 1;
            if storage.ledger_unavailable {
                return Err(HostError::new("the ledger is unavailable"));
            }
            storage.apply(now, book_id, operation)
        };
        self.executor().sleep(LEDGER_LATENCY).await;
        if self.0.storage.borrow().drops_ledger_replies {
            return Err(HostError::new("the reply was lost"));
        }
        Ok(reply)
    }
}
