//! `LedgerHost` over `wasi:keyvalue`: each book is one value, changed by compare-and-swap.
//!
//! A book that has become empty is not deleted: `wasi:keyvalue` has no conditional delete, and a
//! concurrent operation may be adding to it. Two short values remain for each such book.
//!
//! An instance can swap at most as often as it has handles. By its source (read, not tried) Spin frees a
//! handle that is dropped but not one that was swapped, and has 256 of them for each instance, which
//! serves 128 requests. Beyond that an operation fails, unless `--max-instance-reuse-count` is lower. So
//! read-only operations take no handle, and operations that wait together share one.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::host::LedgerHost;
use gateway::host::error::HostError;
use ledger::{BookId, LedgerReply, Operation};
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};
use spin_sdk::experimental::wasi::keyvalue::store::{self, Bucket};

use crate::commit::{CasStore, Swap};
use crate::commit_queue::CommitQueue;
use crate::spin_host::SpinHost;

thread_local! {
    /// Pending operations of this instance.
    static QUEUE: Rc<CommitQueue> = Rc::default();
    /// Opened once for all requests of an instance and never closed: a handle that a failed swap returns
    /// belongs to the bucket of the first one.
    static BUCKET: OnceCell<Rc<Bucket>> = const { OnceCell::new() };
}

impl LedgerHost for SpinHost {
    // An instance without requests stays alive only to flush its batches.
    const MAX_BATCH_DELAY: Duration = Duration::from_millis(100);
    const EXPIRES_ROWS: bool = false;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let queue = QUEUE.with(Rc::clone);
        queue.apply(self, book_id, operation).await
    }
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

fn bucket() -> Result<Rc<Bucket>, HostError> {
    if let Some(bucket) = BUCKET.with(|cell| cell.get().cloned()) {
        return Ok(bucket);
    }
    let bucket = Rc::new(store::open("default").map_err(to_host_error)?);
    Ok(BUCKET.with(|cell| Rc::clone(cell.get_or_init(|| bucket))))
}

fn to_host_error(error: store::Error) -> HostError {
    match error {
        store::Error::NoSuchStore => {
            HostError::new("the application has no key-value store \"default\"")
        }
        store::Error::AccessDenied => {
            HostError::new("access to the key-value store \"default\" is denied")
        }
        store::Error::Other(reason) => HostError::new(reason),
    }
}
