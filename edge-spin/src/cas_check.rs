//! Check of a store's compare-and-swap, before the first operation of a ledger relies on it.
//!
//! Not every provider of Spin's key-value store can do it: its Redis provider (4.1) reports each swap as
//! failed after it has written. Nothing else shows this, and every limit would be wrong.

use gateway::host::error::HostError;
use ledger::BookId;

use crate::commit::{CasStore, Swap};

/// Tries a swap that must succeed and one that must fail, on a value of its own. The outer error is a failure
/// of the store, the inner one its defect.
pub(crate) fn check<C: CasStore>(
    store: &C,
    book_id: &BookId,
) -> Result<Result<(), HostError>, HostError> {
    let (first, second, third) = (&b"1"[..], &b"2"[..], &b"3"[..]);
    let created = store.begin(book_id)?;
    store.current(&created)?;
    if !matches!(store.swap(created, first)?, Swap::Done) {
        return Ok(Err(defect("a swap that must succeed is reported as failed")));
    }
    let (winner, loser) = (store.begin(book_id)?, store.begin(book_id)?);
    store.current(&winner)?;
    store.current(&loser)?;
    if !matches!(store.swap(winner, second)?, Swap::Done) {
        return Ok(Err(defect("a swap that must succeed is reported as failed")));
    }
    if !matches!(store.swap(loser, third)?, Swap::Conflict(_)) {
        return Ok(Err(defect("a swap of a changed value is reported as done")));
    }
    if store.peek(book_id)?.as_deref() != Some(second) {
        return Ok(Err(defect("a swap that is reported as failed has written")));
    }
    Ok(Ok(()))
}

fn defect(reason: &str) -> HostError {
    HostError::new(format_args!(
        "the key-value store cannot hold a ledger: {reason}. Set `redis` in [ledger], or use Spin's SQLite store"
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use gateway::host::error::HostError;
    use ledger::BookId;

    use crate::commit::tests::{Memory, Seen, book_id};
    use crate::commit::{CasStore, Swap};

    use super::check;

    /// A store whose swaps are not what they are said to be.
    struct Defective {
        memory: Memory,
        /// Swaps that are done as they should be.
        sound: Cell<usize>,
        /// Result of each further swap, which writes.
        is_reported_done: bool,
    }

    impl CasStore for Defective {
        type Cell = Seen;

        fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError> {
            self.memory.peek(book_id)
        }

        fn begin(&self, book_id: &BookId) -> Result<Seen, HostError> {
            self.memory.begin(book_id)
        }

        fn current(&self, cell: &Seen) -> Result<Option<Vec<u8>>, HostError> {
            self.memory.current(cell)
        }

        fn swap(&self, cell: Seen, value: &[u8]) -> Result<Swap<Seen>, HostError> {
            if let Some(left) = self.sound.get().checked_sub(1) {
                self.sound.set(left);
                return self.memory.swap(cell, value);
            }
            self.memory.set(&book_id(), value);
            if self.is_reported_done { Ok(Swap::Done) } else { Ok(Swap::Conflict(cell)) }
        }

        fn claim(&self, book_id: &BookId) -> Result<bool, HostError> {
            self.memory.claim(book_id)
        }

        fn release(&self, book_id: &BookId) -> Result<(), HostError> {
            self.memory.release(book_id)
        }
    }

    #[track_caller]
    fn assert_defect(sound: usize, is_reported_done: bool, expected: &str) {
        let store =
            Defective { memory: Memory::default(), sound: Cell::new(sound), is_reported_done };
        let defect = check(&store, &book_id()).expect("the store responds").expect_err("a defect");
        assert!(defect.reason().contains(expected), "{defect}");
    }

    #[test]
    fn sound_store_passes_and_defects_are_named() {
        assert_eq!(check(&Memory::default(), &book_id()), Ok(Ok(())));
        assert_defect(0, false, "must succeed");
        assert_defect(1, false, "must succeed");
        assert_defect(2, false, "has written");
        assert_defect(0, true, "of a changed value");
    }
}
