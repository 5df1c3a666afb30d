//! Ledger: books that change by one operation at a time.

use std::collections::BTreeMap;

use civil_time::Timestamp;
use ledger::{Book, BookId, LedgerReply, Operation};

/// Longest book id that every host accepts.
const MAX_BOOK_ID_BYTES: usize = 128;

/// Stored rows of a book, by name.
pub type Rows = BTreeMap<String, Vec<u8>>;

/// Ledger with its books. A book is created by its first operation.
#[derive(Debug, Default)]
pub struct MemoryLedger(BTreeMap<BookId, StoredBook>);

#[derive(Debug, Default)]
struct StoredBook {
    book: Book,
    /// Rows without the changes that the book still holds.
    rows: Rows,
}

impl MemoryLedger {
    /// Applies an operation to a book. Panics if the hosts refuse such a book id.
    #[track_caller]
    pub fn apply(
        &mut self,
        now: Timestamp,
        book_id: &BookId,
        operation: &Operation,
    ) -> LedgerReply {
        let name = book_id.as_str();
        let is_valid =
            name.len() <= MAX_BOOK_ID_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(is_valid, "invalid book id: {name:?}");
        self.0.entry(book_id.clone()).or_default().book.apply(now, operation)
    }

    /// Removes the expired rows of one book.
    pub fn sweep(&mut self, now: Timestamp, book_id: &BookId) {
        if let Some(stored) = self.0.get_mut(book_id) {
            stored.book.sweep(now);
        }
    }

    /// Removes the expired rows of all books, then the empty books.
    pub fn sweep_all(&mut self, now: Timestamp) {
        self.0.retain(|_, stored| {
            stored.book.sweep(now);
            !stored.book.is_empty()
        });
    }

    /// Opens a book anew from its stored rows, as a restarted host does.
    pub fn reopen(&mut self, book_id: &BookId) {
        if let Some(stored) = self.0.get_mut(book_id) {
            stored.reopen();
        }
    }

    /// Returns all books in order, empty ones included.
    pub fn books(&self) -> impl Iterator<Item = (&BookId, &Book)> {
        self.0.iter().map(|(book_id, stored)| (book_id, &stored.book))
    }

    /// Returns the stored rows of all books in order, empty ones included.
    pub fn rows(&mut self) -> impl Iterator<Item = (&BookId, &Rows)> {
        self.0.iter_mut().map(|(book_id, stored)| (book_id, stored.write_rows()))
    }
}

impl StoredBook {
    /// Writes the changed rows, as the hosts do after each operation.
    fn write_rows(&mut self) -> &Rows {
        for (name, row) in self.book.take_changes() {
            match row {
                Some(row) => self.rows.insert(name, row),
                None => self.rows.remove(&name),
            };
        }
        &self.rows
    }

    fn reopen(&mut self) {
        let rows = self.write_rows().iter().map(|(name, row)| (name.clone(), row.as_slice()));
        self.book = Book::from_rows(rows).expect("the stored rows are readable");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use ledger::{BookId, LedgerReply, NewLogLines, Operation, UsageRow, UsageTotals};

    use super::MemoryLedger;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn id(name: &str) -> BookId {
        BookId::new(name.to_owned())
    }

    fn exchange(text: &str) -> Operation {
        Operation::Exchange { register: "head".to_owned(), after: 0, text: text.to_owned() }
    }

    /// Adds a usage row that expires after an hour.
    fn add_usage(ledger: &mut MemoryLedger, book: &str, key: &str) {
        let totals = UsageTotals { requests: 1, ..UsageTotals::default() };
        let row = UsageRow { key: key.to_owned(), until: NOW + HOUR, totals };
        let add = Operation::AddUsage {
            id: 1,
            bounds: None,
            rows: vec![row],
            log: NewLogLines::default(),
        };
        assert_eq!(ledger.apply(NOW, &id(book), &add), LedgerReply::Done);
    }

    fn row_counts(ledger: &mut MemoryLedger) -> Vec<(String, usize)> {
        ledger.rows().map(|(book_id, rows)| (book_id.as_str().to_owned(), rows.len())).collect()
    }

    #[test]
    fn apply_changes_only_the_named_book() {
        let mut ledger = MemoryLedger::default();
        for (book, text) in [("a", "first"), ("b", "second"), ("a", "late")] {
            ledger.apply(NOW, &id(book), &exchange(text));
        }
        let mut texts = |book: &str| {
            let read = Operation::ReadRegister { register: "head".to_owned() };
            match ledger.apply(NOW, &id(book), &read) {
                LedgerReply::Register(register) => register.text,
                other => panic!("unexpected reply: {other:?}"),
            }
        };
        assert_eq!((texts("a"), texts("b")), ("first".to_owned(), "second".to_owned()));
    }

    #[test]
    fn reopened_book_has_the_same_rows() {
        let mut ledger = MemoryLedger::default();
        ledger.apply(NOW, &id("a"), &exchange("text"));
        add_usage(&mut ledger, "a", "b");
        let bytes = |ledger: &MemoryLedger| {
            ledger.books().map(|(_, book)| book.to_bytes()).collect::<Vec<_>>()
        };
        let before = bytes(&ledger);
        ledger.reopen(&id("a"));
        ledger.reopen(&id("missing"));
        assert_eq!(bytes(&ledger), before);
        assert_eq!(row_counts(&mut ledger), [("a".to_owned(), 2)]);
    }

    #[test]
    fn sweep_removes_expired_rows_and_sweep_all_empty_books() {
        let mut ledger = MemoryLedger::default();
        add_usage(&mut ledger, "a", "old");
        add_usage(&mut ledger, "b", "old");
        ledger.apply(NOW, &id("b"), &exchange("text"));
        assert_eq!(row_counts(&mut ledger), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        ledger.sweep(NOW + HOUR, &id("a"));
        assert_eq!(row_counts(&mut ledger), [("a".to_owned(), 0), ("b".to_owned(), 2)]);
        ledger.sweep_all(NOW + HOUR);
        assert_eq!(row_counts(&mut ledger), [("b".to_owned(), 1)]);
    }

    #[test]
    #[should_panic(expected = "invalid book id")]
    fn apply_to_a_book_with_a_long_id_panics() {
        MemoryLedger::default().apply(NOW, &id(&"a".repeat(129)), &exchange("text"));
    }
}
