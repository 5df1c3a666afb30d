//! One commit to a book: one read, every operation that waits for it, one compare-and-swap.
//!
//! It asks [`CasStore`] for what is kept and knows no host. It does not wait: a commit that others were
//! faster than is tried again by the [queue](crate::queue).

use civil_time::Timestamp;
use gateway::host::error::HostError;
use ledger::{Book, BookId, LedgerReply, Operation};

/// How often a commit goes on with the handle that a swap gives back. Then it makes room.
const MAX_CHAINED_SWAPS: usize = 4;

/// Values that are changed by compare-and-swap. Nothing here is `async`: while one of these calls is
/// under way, Spin runs nothing else of the instance.
pub(crate) trait CasStore {
    /// A value as somebody has seen it.
    type Cell;
    /// A value, without the intention to change it.
    fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError>;
    /// Begins to change a value.
    fn begin(&self, book_id: &BookId) -> Result<Self::Cell, HostError>;
    /// The value that a swap would replace.
    fn current(&self, cell: &Self::Cell) -> Result<Option<Vec<u8>>, HostError>;
    /// Replaces the value if it is still [`CasStore::current`]. Where there was none, it may replace
    /// whatever is there by now: see [`CasStore::claim`].
    fn swap(&self, cell: Self::Cell, value: &[u8]) -> Result<Swap<Self::Cell>, HostError>;
    /// Asks to be the one who makes the first value of a place: at most one is told yes.
    ///
    /// It is asked since Spin's SQLite store, which is its default, makes no condition of there being
    /// no value (4.1): of two who swap into nothing, the second would undo what the first did.
    fn claim(&self, book_id: &BookId) -> Result<bool, HostError>;
    /// Lets somebody else claim.
    fn release(&self, book_id: &BookId) -> Result<(), HostError>;
}

/// What became of a swap.
pub(crate) enum Swap<C> {
    /// The new value is kept.
    Done,
    /// Somebody else was faster: with this one it can be tried again.
    Conflict(C),
}

/// What became of a commit.
#[derive(Debug, PartialEq)]
pub(crate) enum Commit {
    /// All operations are applied: an answer for each, in their order.
    Done(Vec<LedgerReply>),
    /// None is: the book was changed by others, again and again.
    Conflict,
    /// None is: there is no book, and somebody else has claimed to make it.
    Claimed,
}

/// Applies operations to the book of a place, all or none.
pub(crate) fn commit<C: CasStore>(
    store: &C,
    book_id: &BookId,
    now: Timestamp,
    operations: &[&Operation],
) -> Result<Commit, HostError> {
    if operations.iter().all(|operation| is_read_only(operation)) {
        let mut book = parse_book(book_id, store.peek(book_id)?.as_deref(), now)?;
        let replies = operations.iter().map(|operation| book.apply(now, operation)).collect();
        return Ok(Commit::Done(replies));
    }
    let mut cell = store.begin(book_id)?;
    for _ in 0..MAX_CHAINED_SWAPS {
        let kept = store.current(&cell)?;
        let mut book = parse_book(book_id, kept.as_deref(), now)?;
        let replies: Vec<LedgerReply> =
            operations.iter().map(|operation| book.apply(now, operation)).collect();
        let value = book.to_bytes();
        let changes = operations.iter().zip(&replies).any(|(operation, reply)| {
            // What sweeping or a refusal leaves behind, the next one comes to by itself.
            !is_read_only(operation) && !matches!(reply, LedgerReply::Denied(_))
        });
        // Nothing where nothing was is no change either: whoever clears away leaves no names behind.
        let is_same = kept.as_ref().map_or(book.is_empty(), |kept| *kept == value);
        if !changes || is_same {
            return Ok(Commit::Done(replies));
        }
        if kept.is_none() && !store.claim(book_id)? {
            return Ok(Commit::Claimed);
        }
        match store.swap(cell, &value)? {
            Swap::Done => return Ok(Commit::Done(replies)),
            Swap::Conflict(again) => cell = again,
        }
    }
    Ok(Commit::Conflict)
}

/// The book that is kept, as of now. One that cannot be read is told, never taken for an empty one.
fn parse_book(book_id: &BookId, kept: Option<&[u8]>, now: Timestamp) -> Result<Book, HostError> {
    let book = kept.map_or_else(|| Ok(Book::default()), Book::from_bytes);
    let mut book = book.map_err(|error| {
        HostError::new(format_args!("the book of {} cannot be read: {error}", book_id.as_str()))
    })?;
    book.sweep(now);
    Ok(book)
}

fn is_read_only(operation: &Operation) -> bool {
    match operation {
        Operation::Read { .. } | Operation::ReadUsage | Operation::ReadRegister { .. } => true,
        Operation::Reserve { .. }
        | Operation::Settle { .. }
        | Operation::Report { .. }
        | Operation::Correct { .. }
        | Operation::Adjust { .. }
        | Operation::AddUsage { .. }
        | Operation::Exchange { .. } => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, BTreeSet};

    use civil_time::Timestamp;
    use gateway::host::error::HostError;
    use ledger::{Book, BookId, Hold, LedgerReply, Operation, Rule, Window};

    use super::{CasStore, Commit, MAX_CHAINED_SWAPS, Swap, commit};

    pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// A store in memory with the weakness of Spin's: a swap into nothing has no condition.
    #[derive(Default)]
    pub(crate) struct Memory {
        pub(crate) values: RefCell<BTreeMap<String, Vec<u8>>>,
        pub(crate) claims: RefCell<BTreeSet<String>>,
        /// How many of the next swaps others are faster than.
        pub(crate) overtaken: Cell<usize>,
        pub(crate) swaps: Cell<usize>,
        pub(crate) looks: Cell<usize>,
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
        place: BookId,
        value: RefCell<Option<Vec<u8>>>,
    }

    impl CasStore for Memory {
        type Cell = Seen;

        fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError> {
            self.looks.set(self.looks.get() + 1);
            Ok(self.value(book_id))
        }

        fn begin(&self, book_id: &BookId) -> Result<Seen, HostError> {
            Ok(Seen { place: book_id.clone(), value: RefCell::default() })
        }

        fn current(&self, cell: &Seen) -> Result<Option<Vec<u8>>, HostError> {
            let value = self.value(&cell.place);
            cell.value.borrow_mut().clone_from(&value);
            Ok(value)
        }

        fn swap(&self, cell: Seen, value: &[u8]) -> Result<Swap<Seen>, HostError> {
            self.swaps.set(self.swaps.get() + 1);
            if let Some(left) = self.overtaken.get().checked_sub(1) {
                self.overtaken.set(left);
                commit_by_another(self, &cell.place);
            }
            let seen = cell.value.take();
            if seen.is_some() && seen != self.value(&cell.place) {
                return Ok(Swap::Conflict(self.begin(&cell.place)?));
            }
            self.set(&cell.place, value);
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

    /// Somebody else's operation, between our read and our swap.
    fn commit_by_another(memory: &Memory, book_id: &BookId) {
        let kept = memory.value(book_id).expect("there is a book to change");
        let mut book = Book::from_bytes(&kept).expect("it is a book");
        let id = u64::try_from(memory.swaps.get()).expect("few swaps") + 1_000_000;
        assert!(matches!(book.apply(NOW, &reserve(id, 1, 1_000)), LedgerReply::Granted(_)));
        memory.set(book_id, &book.to_bytes());
    }

    pub(crate) fn place() -> BookId {
        BookId::new("place".to_owned())
    }

    /// Asks for `want` of `max`.
    pub(crate) fn reserve(id: u64, want: u64, max: u64) -> Operation {
        let rule = Rule { max, window: Window::Total };
        let hold = Hold { account: "account".to_owned(), rule, min: want, want, slice: None };
        Operation::Reserve { id, until: Timestamp::from_millis(u64::MAX), holds: vec![hold] }
    }

    fn look() -> Operation {
        let rule = Rule { max: 1_000, window: Window::Total };
        Operation::Read { accounts: vec![("account".to_owned(), rule)] }
    }

    /// What is used of the account, as the store has it.
    #[track_caller]
    pub(crate) fn used(memory: &Memory) -> u64 {
        match commit(memory, &place(), NOW, &[&look()]) {
            Ok(Commit::Done(replies)) => match replies.as_slice() {
                [LedgerReply::Balances(levels)] => levels[0].used,
                other => panic!("not a level: {other:?}"),
            },
            other => panic!("cannot look: {other:?}"),
        }
    }

    #[test]
    fn many_operations_are_one_swap_and_each_has_its_answer() {
        let memory = Memory::default();
        let operations: Vec<Operation> = (0..4).map(|id| reserve(id, 3, 10)).collect();
        let operations: Vec<&Operation> = operations.iter().collect();
        let Ok(Commit::Done(replies)) = commit(&memory, &place(), NOW, &operations) else {
            panic!("nobody else is there");
        };
        let granted: Vec<bool> =
            replies.iter().map(|reply| matches!(reply, LedgerReply::Granted(_))).collect();
        assert_eq!(granted, [true, true, true, false]);
        assert_eq!((memory.swaps.get(), used(&memory)), (1, 9));
    }

    #[test]
    fn what_changes_nothing_is_not_written() {
        let memory = Memory::default();
        let check = |operations: &[&Operation], swaps: usize| {
            assert!(matches!(commit(&memory, &place(), NOW, operations), Ok(Commit::Done(_))));
            assert_eq!(memory.swaps.get(), swaps);
        };
        check(&[&look(), &Operation::ReadUsage], 0);
        check(&[&Operation::AddUsage { id: 0, bounds: None, rows: Vec::new() }], 0);
        assert!(memory.values.borrow().is_empty() && memory.claims.borrow().is_empty());
        check(&[&reserve(1, 11, 10)], 0);
        assert_eq!(memory.value(&place()), None);
        assert!(memory.claims.borrow().is_empty());
        check(&[&look(), &reserve(1, 1, 10)], 1);
        check(&[&reserve(2, 11, 10)], 1);
    }

    #[test]
    fn who_is_overtaken_counts_what_the_others_did() {
        let memory = Memory::default();
        memory.set(&place(), b"{}");
        memory.overtaken.set(MAX_CHAINED_SWAPS - 1);
        let operation = reserve(1, 1, 1_000);
        assert!(matches!(commit(&memory, &place(), NOW, &[&operation]), Ok(Commit::Done(_))));
        assert_eq!(used(&memory), u64::try_from(MAX_CHAINED_SWAPS).expect("small"));
    }

    #[test]
    fn who_is_overtaken_too_often_has_applied_nothing() {
        let memory = Memory::default();
        memory.set(&place(), b"{}");
        memory.overtaken.set(MAX_CHAINED_SWAPS);
        let operation = reserve(1, 500, 1_000);
        assert_eq!(commit(&memory, &place(), NOW, &[&operation]), Ok(Commit::Conflict));
        assert_eq!(used(&memory), u64::try_from(MAX_CHAINED_SWAPS).expect("small"));
    }

    #[test]
    fn only_one_makes_the_first_book() {
        let memory = Memory::default();
        assert_eq!(memory.claim(&place()), Ok(true));
        let operation = reserve(1, 1, 10);
        assert_eq!(commit(&memory, &place(), NOW, &[&operation]), Ok(Commit::Claimed));
        assert_eq!(memory.value(&place()), None);
        memory.set(&place(), b"{}");
        assert!(matches!(commit(&memory, &place(), NOW, &[&operation]), Ok(Commit::Done(_))));
    }

    #[test]
    fn a_book_that_cannot_be_read_is_not_an_empty_one() {
        let memory = Memory::default();
        memory.set(&place(), b"{\"account\":");
        let error = commit(&memory, &place(), NOW, &[&reserve(1, 1, 10)]).expect_err("no book");
        assert!(error.reason().starts_with("the book of place cannot be read"), "{error}");
        assert_eq!(memory.value(&place()).as_deref(), Some(b"{\"account\":".as_slice()));
    }
}
