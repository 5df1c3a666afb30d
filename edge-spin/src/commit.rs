//! One commit to a book: one read, all waiting operations, one compare-and-swap.
//!
//! This module uses only [`CasStore`] and no host. It does not wait: the [queue](crate::commit_queue)
//! repeats a commit that lost against others.

use std::fmt::Display;

use civil_time::Timestamp;
use gateway::host::error::HostError;
use ledger::{Book, BookId, LedgerReply, Operation};

/// Swaps in one commit, each with the handle that the failed one returned. Then other tasks may run.
const MAX_CHAINED_SWAPS: usize = 4;

/// Values that are changed by compare-and-swap. Nothing here is `async`: during one of these calls, Spin
/// runs nothing else of the instance.
pub(crate) trait CasStore {
    /// Handle of a value that was read.
    type Cell;
    /// Reads a value that will not be changed.
    fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError>;
    /// Creates a handle for changing a value.
    fn begin(&self, book_id: &BookId) -> Result<Self::Cell, HostError>;
    /// The value that a swap would replace.
    fn current(&self, cell: &Self::Cell) -> Result<Option<Vec<u8>>, HostError>;
    /// Replaces the value if it is still [`CasStore::current`]. If there was none, it may replace
    /// whatever was written since: see [`CasStore::claim`].
    fn swap(&self, cell: Self::Cell, value: &[u8]) -> Result<Swap<Self::Cell>, HostError>;
    /// Claims the right to create the first value of a book; at most one caller gets it.
    ///
    /// It is needed because Spin's default SQLite store (4.1) swaps unconditionally if there was no
    /// value: of two first swaps, the second would undo the first.
    fn claim(&self, book_id: &BookId) -> Result<bool, HostError>;
    /// Releases the claim.
    fn release(&self, book_id: &BookId) -> Result<(), HostError>;
}

/// Result of a swap.
pub(crate) enum Swap<C> {
    /// The new value is stored.
    Done,
    /// The value had changed; the new handle allows another try.
    Conflict(C),
}

/// Result of a commit.
#[derive(Debug, PartialEq)]
pub(crate) enum Commit {
    /// All operations were applied: one reply each, in order.
    Done(Vec<LedgerReply>),
    /// None was applied: other writers changed the book each time.
    Conflict,
    /// None was applied: there is no book, and another writer has claimed its creation.
    Claimed,
}

/// Applies operations to a book, all or none.
pub(crate) fn commit<C: CasStore>(
    store: &C,
    book_id: &BookId,
    now: Timestamp,
    operations: &[&Operation],
) -> Result<Commit, HostError> {
    if operations.iter().all(|operation| operation.is_read_only()) {
        let mut book = parse_book(book_id, store.peek(book_id)?.as_deref(), now)?;
        let replies = operations.iter().map(|operation| book.apply(now, operation)).collect();
        return Ok(Commit::Done(replies));
    }
    let mut cell = store.begin(book_id)?;
    for _ in 0..MAX_CHAINED_SWAPS {
        let stored = store.current(&cell)?;
        let mut book = parse_book(book_id, stored.as_deref(), now)?;
        let replies: Vec<LedgerReply> =
            operations.iter().map(|operation| book.apply(now, operation)).collect();
        let value = book.to_bytes();
        let changes = operations.iter().zip(&replies).any(|(operation, reply)| {
            // Effects of sweeping and of refusals need no write: the next reader computes them again.
            !operation.is_read_only() && !matches!(reply, LedgerReply::Denied(_))
        });
        // An empty book where there was none is no change either, so that releases create no entries.
        let is_same = stored.as_ref().map_or(book.is_empty(), |stored| *stored == value);
        if !changes || is_same {
            return Ok(Commit::Done(replies));
        }
        if stored.is_none() && !store.claim(book_id)? {
            return Ok(Commit::Claimed);
        }
        match store.swap(cell, &value)? {
            Swap::Done => return Ok(Commit::Done(replies)),
            Swap::Conflict(again) => cell = again,
        }
    }
    Ok(Commit::Conflict)
}

/// Parses a stored book and sweeps it. An unreadable one is an error, never an empty book.
fn parse_book(book_id: &BookId, stored: Option<&[u8]>, now: Timestamp) -> Result<Book, HostError> {
    let book = stored.map_or_else(|| Ok(Book::default()), Book::from_bytes);
    let mut book = book.map_err(|error| corrupt_book(book_id, error))?;
    book.sweep(now);
    Ok(book)
}

/// The failure of an operation on an unreadable book.
pub(crate) fn corrupt_book(book_id: &BookId, reason: impl Display) -> HostError {
    HostError::new(format_args!("corrupt ledger book {}: {reason}", book_id.as_str()))
}

/// The failure of an operation that other writers have overtaken at each attempt.
pub(crate) fn too_many_conflicts(book_id: &BookId) -> HostError {
    HostError::new(format_args!(
        "commit to ledger book {} failed: too many conflicts",
        book_id.as_str()
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, BTreeSet};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use civil_time::Timestamp;
    use gateway::host::error::HostError;
    use ledger::{Book, BookId, Hold, LedgerReply, NewLogLines, Operation, Rule, Window};

    use super::{CasStore, Commit, MAX_CHAINED_SWAPS, Swap, commit};

    pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// A store in memory with the weakness of Spin's: the first swap is unconditional.
    #[derive(Default)]
    pub(crate) struct Memory {
        pub(crate) values: RefCell<BTreeMap<String, Vec<u8>>>,
        pub(crate) claims: RefCell<BTreeSet<String>>,
        /// Number of the next swaps that lose against another writer.
        pub(crate) overtaken: Cell<usize>,
        pub(crate) swaps: Cell<usize>,
        /// The first swap that always writes, and whether it and later ones are reported as done.
        pub(crate) defect: Cell<Option<(usize, bool)>>,
        pub(crate) reads: Cell<usize>,
    }

    impl Memory {
        pub(crate) fn value(&self, book_id: &BookId) -> Option<Vec<u8>> {
            self.values.borrow().get(book_id.as_str()).cloned()
        }

        pub(crate) fn set(&self, book_id: &BookId, value: &[u8]) {
            self.values.borrow_mut().insert(book_id.as_str().to_owned(), value.to_vec());
        }
    }

    pub(crate) struct Seen {
        book_id: BookId,
        value: RefCell<Option<Vec<u8>>>,
    }

    impl CasStore for Memory {
        type Cell = Seen;

        fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError> {
            self.reads.set(self.reads.get() + 1);
            Ok(self.value(book_id))
        }

        fn begin(&self, book_id: &BookId) -> Result<Seen, HostError> {
            Ok(Seen { book_id: book_id.clone(), value: RefCell::default() })
        }

        fn current(&self, cell: &Seen) -> Result<Option<Vec<u8>>, HostError> {
            let value = self.value(&cell.book_id);
            cell.value.borrow_mut().clone_from(&value);
            Ok(value)
        }

        fn swap(&self, cell: Seen, value: &[u8]) -> Result<Swap<Seen>, HostError> {
            self.swaps.set(self.swaps.get() + 1);
            if let Some((first, is_reported_done)) = self.defect.get()
                && self.swaps.get() >= first
            {
                self.set(&cell.book_id, value);
                return Ok(if is_reported_done { Swap::Done } else { Swap::Conflict(cell) });
            }
            if let Some(left) = self.overtaken.get().checked_sub(1) {
                self.overtaken.set(left);
                commit_by_another(self, &cell.book_id);
            }
            let seen = cell.value.take();
            if seen.is_some() && seen != self.value(&cell.book_id) {
                return Ok(Swap::Conflict(self.begin(&cell.book_id)?));
            }
            self.set(&cell.book_id, value);
            Ok(Swap::Done)
        }

        fn claim(&self, book_id: &BookId) -> Result<bool, HostError> {
            Ok(self.claims.borrow_mut().insert(book_id.as_str().to_owned()))
        }

        fn release(&self, book_id: &BookId) -> Result<(), HostError> {
            self.claims.borrow_mut().remove(book_id.as_str());
            Ok(())
        }
    }

    /// Another writer's operation, between our read and our swap.
    fn commit_by_another(memory: &Memory, book_id: &BookId) {
        let stored = memory.value(book_id).expect("there is a book to change");
        let mut book = Book::from_bytes(&stored).expect("it is a book");
        let id = u64::try_from(memory.swaps.get()).expect("few swaps") + 1_000_000;
        assert!(matches!(book.apply(NOW, &reserve(id, 1, 1_000)), LedgerReply::Granted(_)));
        memory.set(book_id, &book.to_bytes());
    }

    /// Polls until the future completes; nothing here waits for I/O.
    pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
        }
    }

    pub(crate) fn book_id() -> BookId {
        BookId::new("test".to_owned())
    }

    /// A reservation of `want` of `max`.
    pub(crate) fn reserve(id: u64, want: u64, max: u64) -> Operation {
        let rule = Rule { max, window: Window::Total };
        let hold = Hold { account: "account".to_owned(), rule, min: want, want, slice: None };
        Operation::Reserve { id, until: Timestamp::from_millis(u64::MAX), holds: vec![hold] }
    }

    fn read_operation() -> Operation {
        let rule = Rule { max: 1_000, window: Window::Total };
        Operation::Read { accounts: vec![("account".to_owned(), rule)] }
    }

    /// The used amount of the account in the store.
    #[track_caller]
    pub(crate) fn used(memory: &Memory) -> u64 {
        match commit(memory, &book_id(), NOW, &[&read_operation()]) {
            Ok(Commit::Done(replies)) => match replies.as_slice() {
                [LedgerReply::Balances(levels)] => levels[0].used,
                other => panic!("unexpected reply: {other:?}"),
            },
            other => panic!("reading failed: {other:?}"),
        }
    }

    #[test]
    fn commit_of_many_operations_is_one_swap() {
        let memory = Memory::default();
        let operations: Vec<Operation> = (0..4).map(|id| reserve(id, 3, 10)).collect();
        let operations: Vec<&Operation> = operations.iter().collect();
        let Ok(Commit::Done(replies)) = commit(&memory, &book_id(), NOW, &operations) else {
            panic!("there is no other writer");
        };
        let granted: Vec<bool> =
            replies.iter().map(|reply| matches!(reply, LedgerReply::Granted(_))).collect();
        assert_eq!(granted, [true, true, true, false]);
        assert_eq!((memory.swaps.get(), used(&memory)), (1, 9));
    }

    #[test]
    fn commit_without_change_writes_nothing() {
        let memory = Memory::default();
        let assert_swaps = |operations: &[&Operation], swaps: usize| {
            assert!(matches!(commit(&memory, &book_id(), NOW, operations), Ok(Commit::Done(_))));
            assert_eq!(memory.swaps.get(), swaps);
        };
        assert_swaps(&[&read_operation(), &Operation::ReadUsage], 0);
        assert_swaps(
            &[&Operation::AddUsage {
                id: 0,
                bounds: None,
                rows: Vec::new(),
                log: NewLogLines::default(),
            }],
            0,
        );
        assert!(memory.values.borrow().is_empty() && memory.claims.borrow().is_empty());
        assert_swaps(&[&reserve(1, 11, 10)], 0);
        assert_eq!(memory.value(&book_id()), None);
        assert!(memory.claims.borrow().is_empty());
        assert_swaps(&[&read_operation(), &reserve(1, 1, 10)], 1);
        assert_swaps(&[&reserve(2, 11, 10)], 1);
    }

    #[test]
    fn commit_after_conflicts_includes_other_writes() {
        let memory = Memory::default();
        memory.set(&book_id(), b"{}");
        memory.overtaken.set(MAX_CHAINED_SWAPS - 1);
        let operation = reserve(1, 1, 1_000);
        assert!(matches!(commit(&memory, &book_id(), NOW, &[&operation]), Ok(Commit::Done(_))));
        assert_eq!(used(&memory), u64::try_from(MAX_CHAINED_SWAPS).expect("small"));
    }

    #[test]
    fn commit_after_too_many_conflicts_applies_nothing() {
        let memory = Memory::default();
        memory.set(&book_id(), b"{}");
        memory.overtaken.set(MAX_CHAINED_SWAPS);
        let operation = reserve(1, 500, 1_000);
        assert_eq!(commit(&memory, &book_id(), NOW, &[&operation]), Ok(Commit::Conflict));
        assert_eq!(used(&memory), u64::try_from(MAX_CHAINED_SWAPS).expect("small"));
    }

    #[test]
    fn commit_without_claim_creates_no_book() {
        let memory = Memory::default();
        assert_eq!(memory.claim(&book_id()), Ok(true));
        let operation = reserve(1, 1, 10);
        assert_eq!(commit(&memory, &book_id(), NOW, &[&operation]), Ok(Commit::Claimed));
        assert_eq!(memory.value(&book_id()), None);
        memory.set(&book_id(), b"{}");
        assert!(matches!(commit(&memory, &book_id(), NOW, &[&operation]), Ok(Commit::Done(_))));
    }

    #[test]
    fn commit_to_corrupt_book_is_an_error() {
        let memory = Memory::default();
        memory.set(&book_id(), b"{\"account\":");
        let error = commit(&memory, &book_id(), NOW, &[&reserve(1, 1, 10)]).expect_err("no book");
        assert!(error.reason().starts_with("corrupt ledger book test"), "{error}");
        assert_eq!(memory.value(&book_id()).as_deref(), Some(b"{\"account\":".as_slice()));
    }
}
