//! The Durable Object that keeps one book of the ledger. It knows no limits: an operation brings
//! them along.

use std::time::Duration;

use civil_time::Timestamp;
use gateway::host::error::HostError;
use js_sys::{Array, Date, Error, Promise};
use ledger::{Book, LedgerReply, Operation};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// How long the alarm waits at least. What is swept no longer counts anyway, so that only the number
/// of alarms and of their writes matters.
const MIN_ALARM_DELAY: Duration = Duration::from_secs(30);

#[wasm_bindgen]
extern "C" {
    /// The storage of a Durable Object.
    pub type Storage;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &Storage, at: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    fn delete_all(this: &Storage) -> Result<Promise, JsValue>;
}

#[wasm_bindgen(module = "/src/host.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn rows(storage: &Storage) -> Result<Array, JsValue>;
    #[wasm_bindgen(catch)]
    fn write(storage: &Storage, changes: &Array) -> Result<(), JsValue>;
}

/// Keeps one book: in memory while the object lives, and in its storage.
///
/// Invariants:
/// - An operation is applied and its rows are written in one call, with no waiting in between. The
///   host sends nothing out of an object, an answer least of all, before its writes cannot be lost
///   any more; were there an `await`, an answer could tell of what is not even written.
/// - What is in memory is never ahead of storage. If anything fails the book is dropped, and read
///   again at the next use.
/// - A row that cannot be read is an error at every use. Beginning from nothing would give a budget
///   away.
/// - An object whose book is empty is deleted by its alarm: one that nobody uses costs nothing.
#[wasm_bindgen]
pub struct Keeper {
    storage: Storage,
    book: Option<StoredBook>,
    alarm: Option<Timestamp>,
}

#[wasm_bindgen]
impl Keeper {
    /// Keeps the book of a storage, whose alarm is set as told, in milliseconds since the epoch.
    #[wasm_bindgen(constructor)]
    pub fn new(storage: Storage, alarm: Option<f64>) -> Self {
        let alarm = alarm.map(|at| Timestamp::from_millis(at as u64));
        Self { storage, book: None, alarm }
    }

    /// Applies an operation and tells the reply, both in JSON.
    pub fn apply(&mut self, operation: &str) -> Result<String, JsValue> {
        let operation = json::from_text(operation).map_err(|error| thrown(&error))?;
        let now = now();
        let mut book = self.take_book()?;
        let reply = book.apply(now, &operation);
        self.put_back(book, now)?;
        serde_json::to_string(&reply).map_err(|error| thrown(&error))
    }

    /// Sweeps the book, which is what the alarm is for.
    pub fn alarm(&mut self) -> Result<Option<Promise>, JsValue> {
        self.alarm = None;
        let now = now();
        let mut book = self.take_book()?;
        book.book.sweep(now);
        if book.book.is_empty() {
            return self.storage.delete_all().map(Some);
        }
        self.put_back(book, now)?;
        Ok(None)
    }

    fn take_book(&mut self) -> Result<StoredBook, JsValue> {
        if let Some(book) = self.book.take() {
            return Ok(book);
        }
        let rows = rows(&self.storage)?.to_vec();
        let texts: Option<Vec<String>> = rows.iter().map(JsValue::as_string).collect();
        let texts = texts.ok_or_else(|| thrown(&"a row is not text"))?;
        let mut texts = texts.into_iter();
        let pairs = std::iter::from_fn(|| Some((texts.next()?, texts.next()?)));
        StoredBook::open(pairs).map_err(|error| thrown(&error))
    }

    /// Writes what has changed and keeps the book for the next operation.
    fn put_back(&mut self, mut book: StoredBook, now: Timestamp) -> Result<(), JsValue> {
        let changes = book.take_changes();
        if !changes.is_empty() {
            let flat = Array::new();
            for (name, body) in &changes {
                flat.push(&JsValue::from_str(name));
                flat.push(&body.as_deref().map_or(JsValue::UNDEFINED, JsValue::from_str));
            }
            write(&self.storage, &flat)?;
        }
        if let Some(at) = alarm(self.alarm, now, || book.due(now, !changes.is_empty())) {
            // If setting it fails later, the host ends the object and holds the answer back.
            let _ = self.storage.set_alarm(at.as_millis() as f64)?;
            self.alarm = Some(at);
        }
        self.book = Some(book);
        Ok(())
    }
}

/// A book, and what storage has of it.
struct StoredBook {
    book: Book,
    stored: Rows,
}

impl StoredBook {
    fn open(rows: impl Iterator<Item = (String, String)>) -> Result<Self, HostError> {
        let mut stored = Rows::default();
        for (name, body) in rows {
            stored.set(&name, Some(&body));
        }
        let rows = stored.0.iter().map(|(name, body)| (name.clone(), body.as_bytes()));
        let book = Book::from_rows(rows).map_err(HostError::new)?;
        Ok(Self { book, stored })
    }

    fn apply(&mut self, now: Timestamp, operation: &Operation) -> LedgerReply {
        self.book.apply(now, operation)
    }

    /// What storage does not have yet: looking at a row and refusing something touch it too.
    fn take_changes(&mut self) -> Vec<(String, Option<String>)> {
        let touched = self.book.take_changes();
        let text = |body| String::from_utf8(body).expect("a row is JSON");
        let touched = touched.into_iter().map(|(name, body)| (name, body.map(text)));
        touched.filter(|(name, body)| self.stored.set(name, body.as_deref())).collect()
    }

    /// When there is something to sweep: of a book that has just become empty, what storage needs for
    /// holding nothing.
    fn due(&self, now: Timestamp, wrote: bool) -> Option<Timestamp> {
        if self.book.is_empty() { wrote.then_some(now) } else { self.book.next_sweep() }
    }
}

/// Names and bodies, in the order of the names: the code of another map would weigh more than what it
/// saves.
#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    /// Makes a row what it is to be, and tells whether it was something else.
    fn set(&mut self, name: &str, body: Option<&str>) -> bool {
        let found = self.0.binary_search_by(|(other, _)| other.as_str().cmp(name));
        match (found, body) {
            (Ok(at), Some(body)) if self.0[at].1 == body => return false,
            (Ok(at), Some(body)) => body.clone_into(&mut self.0[at].1),
            (Err(at), Some(body)) => self.0.insert(at, (name.to_owned(), body.to_owned())),
            (Ok(at), None) => drop(self.0.remove(at)),
            (Err(_), None) => return false,
        }
        true
    }
}

/// The moment to set the alarm to; `None` where it is set early enough. Setting it is a write.
fn alarm(
    set: Option<Timestamp>,
    now: Timestamp,
    due: impl FnOnce() -> Option<Timestamp>,
) -> Option<Timestamp> {
    let earliest = now + MIN_ALARM_DELAY;
    // One whose time is over has rung, or rings as soon as this call is over.
    let set = set.filter(|at| *at > now);
    if set.is_some_and(|at| at <= earliest) {
        return None;
    }
    let due = due()?.max(earliest);
    set.is_none_or(|at| at > due).then_some(due)
}

fn now() -> Timestamp {
    Timestamp::from_millis(Date::now() as u64)
}

fn thrown(error: &dyn std::fmt::Display) -> JsValue {
    Error::new(&error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use civil_time::Timestamp;
    use ledger::{Charge, Hold, LedgerReply, Operation, Rule, Window};

    use super::{MIN_ALARM_DELAY, StoredBook, alarm};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn after(millis: u64) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() + millis)
    }

    fn rule(max: u64) -> Rule {
        Rule { max, window: Window::Total }
    }

    fn reserve(id: u64, account: &str, want: u64) -> Operation {
        let account = account.to_owned();
        let hold = Hold { account, rule: rule(10), min: want, want, slice: None };
        Operation::Reserve { id, until: after(60_000), holds: vec![hold] }
    }

    fn settle(id: u64, account: &str, amount: u64) -> Operation {
        let charge = Charge { account: account.to_owned(), window: Window::Total, amount };
        Operation::Settle { id, until: after(60_000), charges: vec![charge] }
    }

    /// Applies an operation and writes into `storage` as the object does; tells how many rows.
    fn apply_and_write(
        book: &mut StoredBook,
        storage: &mut BTreeMap<String, String>,
        operation: &Operation,
    ) -> usize {
        book.apply(NOW, operation);
        let changes = book.take_changes();
        let count = changes.len();
        for (name, body) in changes {
            match body {
                Some(body) => storage.insert(name, body),
                None => storage.remove(&name),
            };
        }
        let kept: BTreeMap<_, _> = book.stored.0.iter().cloned().collect();
        assert_eq!(kept, *storage);
        count
    }

    #[test]
    fn only_rows_that_differ_from_storage_are_written() {
        let mut storage = BTreeMap::new();
        let mut book = StoredBook::open(std::iter::empty()).expect("nothing can be read");
        let read = Operation::Read { accounts: vec![("a".to_owned(), rule(10))] };
        let mut check = |operation: &Operation, rows: usize| {
            assert_eq!(apply_and_write(&mut book, &mut storage, operation), rows, "{operation:?}");
            // An object that has slept knows the same as one that has not.
            let mut reopened =
                StoredBook::open(storage.clone().into_iter()).expect("it was written so");
            let level = reopened.apply(NOW, &read);
            assert_eq!(level, book.apply(NOW, &read));
            book.take_changes();
        };
        check(&read, 0);
        check(&reserve(1, "a", 6), 1);
        check(&reserve(2, "a", 6), 0);
        check(&read, 0);
        check(&reserve(3, "b", 6), 1);
        check(&settle(1, "a", 0), 1);
        check(&settle(1, "a", 0), 0);
        check(&settle(3, "b", 2), 1);
        assert_eq!(storage.keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_row_that_cannot_be_read_opens_no_book() {
        for body in ["", "{}", "{\"account\":{}}", "[]"] {
            let row = ("a".to_owned(), body.to_owned());
            assert!(StoredBook::open(std::iter::once(row)).is_err(), "{body}");
        }
    }

    #[test]
    fn an_empty_book_is_swept_once_it_was_written() {
        let mut book = StoredBook::open(std::iter::empty()).expect("nothing can be read");
        assert_eq!(book.due(NOW, false), None, "nobody ever used it");
        let reply = book.apply(NOW, &reserve(1, "a", 6));
        assert!(matches!(reply, LedgerReply::Granted(_)), "{reply:?}");
        assert_eq!(book.due(NOW, true), Some(after(60_000)));
        book.apply(NOW, &settle(1, "a", 0));
        assert_eq!(book.due(NOW, true), Some(NOW));
        assert_eq!(book.due(NOW, false), None, "its alarm is set");
        book.apply(NOW, &reserve(2, "a", 6));
        book.apply(NOW, &settle(2, "a", 6));
        assert_eq!(book.due(NOW, true), None, "a total is for ever");
    }

    #[track_caller]
    fn assert_alarm(set: Option<u64>, due: Option<u64>, expected: Option<u64>) {
        let moment = |at: Option<u64>| at.map(after);
        assert_eq!(alarm(moment(set), NOW, || moment(due)), moment(expected));
    }

    #[test]
    fn the_alarm_is_set_when_it_would_ring_too_late() {
        let rest = MIN_ALARM_DELAY.as_millis() as u64;
        assert_alarm(None, None, None);
        assert_alarm(None, Some(100_000), Some(100_000));
        assert_alarm(None, Some(5), Some(rest));
        assert_alarm(Some(100_000), Some(100_000), None);
        assert_alarm(Some(100_000), Some(200_000), None);
        assert_alarm(Some(200_000), Some(100_000), Some(100_000));
        assert_alarm(Some(5), Some(100_000), None);
        assert_alarm(Some(rest), Some(5), None);
        assert_alarm(Some(rest + 1), Some(5), Some(rest));
        assert_alarm(Some(0), Some(100_000), Some(100_000));
        assert_alarm(Some(100_000), None, None);
    }
}
