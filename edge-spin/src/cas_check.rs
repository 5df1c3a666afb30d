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
    use crate::commit::tests::{Memory, book_id};

    use super::check;

    #[track_caller]
    fn assert_defect(first: usize, is_reported_done: bool, expected: &str) {
        let store = Memory::default();
        store.defect.set(Some((first, is_reported_done)));
        let defect = check(&store, &book_id()).expect("the store responds").expect_err("a defect");
        assert!(defect.reason().contains(expected), "{defect}");
    }

    #[test]
    fn sound_store_passes_and_defects_are_named() {
        assert_eq!(check(&Memory::default(), &book_id()), Ok(Ok(())));
        assert_defect(1, false, "must succeed");
        assert_defect(2, false, "must succeed");
        assert_defect(3, false, "has written");
        assert_defect(1, true, "of a changed value");
    }
}
