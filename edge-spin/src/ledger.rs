//! `LedgerHost` over Redis, or over `wasi:keyvalue`: each book is one value, changed by compare-and-swap.
//!
//! Of the key-value store:
//!
//! A book that has become empty is not deleted: `wasi:keyvalue` has no conditional delete, and a
//! concurrent operation may be adding to it. Two short values remain for each such book.
//!
//! A commit to Spin's SQLite store on disk costs several `fsync` calls. So operations that wait together
//! share a commit, and read-only operations take no handle.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::host::error::HostError;
use gateway::host::{Clock, LedgerHost, Tasks};
use ledger::{BookId, LedgerReply, Operation};
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};

use crate::bucket::{bucket, to_host_error};
use crate::cas_check;
use crate::commit::{CasStore, Swap};
use crate::commit_queue::CommitQueue;
use crate::redis::ledger::RedisLedger;
use crate::spin_host::SpinHost;
use crate::storage::redis_ledger;

/// Key of a store that passed the check of its compare-and-swap.
const CHECKED_KEY: &str = "checked/compare-and-swap";

thread_local! {
    /// Pending operations of this instance.
    static QUEUE: Rc<CommitQueue> = Rc::default();
    /// Whether the store can hold a ledger.
    static STORE_CHECK: OnceCell<Result<(), HostError>> = const { OnceCell::new() };
    /// Books that this instance has sent to Redis.
    static REDIS: Rc<RedisLedger> = Rc::default();
}

impl LedgerHost for SpinHost {
    // Each write is a commit to a database on disk. An instance without requests stays alive until its
    // last write.
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    // Under load an instance has served its 128 requests before its first write.
    const MIN_BATCH_DELAY: Duration = Duration::from_secs(1);
    const EXPIRES_ROWS: bool = false;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        if let Some(place) = redis_ledger() {
            return REDIS.with(Rc::clone).apply(self, &place, book_id, operation).await;
        }
        check_store(self)?;
        let queue = QUEUE.with(Rc::clone);
        queue.apply(self, book_id, operation).await
    }
}

/// Checks once whether the store can compare and swap. A store that passed has a mark for later instances.
fn check_store(host: &SpinHost) -> Result<(), HostError> {
    if let Some(result) = STORE_CHECK.with(|check| check.get().cloned()) {
        return result;
    }
    let bucket = bucket()?;
    let result = if bucket.exists(CHECKED_KEY).map_err(to_host_error)? {
        Ok(())
    } else {
        let book_id = BookId::new(format!("check/{:016x}", host.entropy()));
        let result = cas_check::check(host, &book_id)?;
        bucket.delete(&book_key(&book_id)).map_err(to_host_error)?;
        match &result {
            Ok(()) => bucket.set(CHECKED_KEY, b"1").map_err(to_host_error)?,
            Err(defect) => host.warn(defect.reason()),
        }
        result
    };
    STORE_CHECK.with(|check| check.get_or_init(|| result).clone())
}

impl CasStore for SpinHost {
    type Cell = Cas;

    fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError> {
        bucket()?.get(&book_key(book_id)).map_err(to_host_error)
    }

    fn begin(&self, book_id: &BookId) -> Result<Cas, HostError> {
        Cas::new(&*bucket()?, &book_key(book_id)).map_err(to_host_error)
    }

    fn current(&self, cell: &Cas) -> Result<Option<Vec<u8>>, HostError> {
        cell.current().map_err(to_host_error)
    }

    fn swap(&self, cell: Cas, value: &[u8]) -> Result<Swap<Cas>, HostError> {
        match atomics::swap(cell, value) {
            Ok(()) => Ok(Swap::Done),
            Err(CasError::CasFailed(again)) => Ok(Swap::Conflict(again)),
            Err(CasError::StoreError(error)) => Err(to_host_error(error)),
        }
    }

    fn claim(&self, book_id: &BookId) -> Result<bool, HostError> {
        // The caller that increments to 1 has the claim. The counter has its own key: Spin's SQLite
        // store panics when it increments a value that is not a number.
        let count =
            atomics::increment(&*bucket()?, &claim_key(book_id), 1).map_err(to_host_error)?;
        Ok(count == 1)
    }

    fn release(&self, book_id: &BookId) -> Result<(), HostError> {
        bucket()?.delete(&claim_key(book_id)).map_err(to_host_error)
    }
}

fn book_key(book_id: &BookId) -> String {
    format!("ledger/{}", book_id.as_str())
}

fn claim_key(book_id: &BookId) -> String {
    format!("claim/{}", book_id.as_str())
}
