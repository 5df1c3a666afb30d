//! The door `Ledger`: a book for each place, changed by compare-and-swap on `wasi:keyvalue`.
//!
//! It does not delete the book of a place that has become empty: `wasi:keyvalue` cannot delete on a
//! condition, and somebody may be adding to it. What stays is two short values for each place.
//!
//! It cannot swap more often than an instance has handles. By its source (read, not tried) Spin frees
//! a handle that is dropped and not one that was swapped, and has 256 for each instance, which serves
//! 128 requests: beyond that an operation fails, unless `--max-instance-reuse-count` is lower. This is
//! why what only looks takes no handle, and what waits together shares one.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use gateway::ledger::{Operation, Place, Reply};
use gateway::outage::Outage;
use gateway::platform::Ledger;
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};
use spin_sdk::experimental::wasi::keyvalue::store::{self, Bucket};

use crate::commit::{Cells, Swap};
use crate::doors::Spin;
use crate::queue::Queue;

thread_local! {
    /// Who waits in this instance.
    static QUEUE: Rc<Queue> = Rc::default();
    /// Opened once for all the requests of an instance, and never closed: a handle that a swap gives
    /// back belongs to the bucket that the first one was made with.
    static BUCKET: OnceCell<Rc<Bucket>> = const { OnceCell::new() };
}

impl Ledger for Spin {
    // An instance whose last request is over lives for its sums alone.
    const GATHERS: Duration = Duration::from_millis(100);
    const FORGETS: bool = false;

    async fn apply(&self, place: &Place, operation: &Operation) -> Result<Reply, Outage> {
        let queue = QUEUE.with(Rc::clone);
        queue.apply(self, place, operation).await
    }
}

impl Cells for Spin {
    type Cell = Cas;

    fn look(&self, place: &Place) -> Result<Option<Vec<u8>>, Outage> {
        bucket()?.get(&book(place)).map_err(outage)
    }

    fn cell(&self, place: &Place) -> Result<Cas, Outage> {
        Cas::new(&*bucket()?, &book(place)).map_err(outage)
    }

    fn current(&self, cell: &Cas) -> Result<Option<Vec<u8>>, Outage> {
        cell.current().map_err(outage)
    }

    fn swap(&self, cell: Cas, value: &[u8]) -> Result<Swap<Cas>, Outage> {
        match atomics::swap(cell, value) {
            Ok(()) => Ok(Swap::Done),
            Err(CasError::CasFailed(again)) => Ok(Swap::Overtaken(again)),
            Err(CasError::StoreError(error)) => Err(outage(error)),
        }
    }

    fn claim(&self, place: &Place) -> Result<bool, Outage> {
        // Whoever counts to one is the first. The count has a name of its own: Spin's SQLite store
        // panics where it is to add to a value that is no number.
        let count = atomics::increment(&*bucket()?, &claim(place), 1).map_err(outage)?;
        Ok(count == 1)
    }

    fn release(&self, place: &Place) -> Result<(), Outage> {
        bucket()?.delete(&claim(place)).map_err(outage)
    }
}

fn book(place: &Place) -> String {
    format!("ledger/{}", place.as_str())
}

fn claim(place: &Place) -> String {
    format!("claim/{}", place.as_str())
}

fn bucket() -> Result<Rc<Bucket>, Outage> {
    if let Some(bucket) = BUCKET.with(|cell| cell.get().cloned()) {
        return Ok(bucket);
    }
    let bucket = Rc::new(store::open("default").map_err(outage)?);
    Ok(BUCKET.with(|cell| Rc::clone(cell.get_or_init(|| bucket))))
}

fn outage(error: store::Error) -> Outage {
    match error {
        store::Error::NoSuchStore => Outage::new("the app has no store \"default\""),
        store::Error::AccessDenied => Outage::new("the component may not open the store"),
        store::Error::Other(reason) => Outage::new(reason),
    }
}
