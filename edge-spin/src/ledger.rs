//! `LedgerHost` over `wasi:keyvalue`: each book is one value, changed by compare-and-swap.
//!
//! A book that has become empty is not deleted: `wasi:keyvalue` has no conditional delete, and a
//! concurrent operation may be adding to it. Two short values remain for each such book.
//!
//! A commit to Spin's SQLite store on disk costs several `fsync` calls. So operations that wait together
//! share a commit, and read-only operations take no handle.

use std::rc::Rc;
use std::time::Duration;

use gateway::host::LedgerHost;
use gateway::host::error::HostError;
use ledger::{BookId, LedgerReply, Operation};
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};

use crate::bucket::{bucket, to_host_error};
use crate::commit::{CasStore, Swap};
use crate::commit_queue::CommitQueue;
use crate::spin_host::SpinHost;

thread_local! {
    /// Pending operations of this instance.
    static QUEUE: Rc<CommitQueue> = Rc::default();
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
