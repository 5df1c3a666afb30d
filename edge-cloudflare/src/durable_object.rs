//! The Durable Object that holds one book of the ledger. It has no configuration: an operation carries
//! its limits.

use std::time::Duration;

use civil_time::Timestamp;
use gateway::host::error::HostError;
use js_sys::{Array, Date, Error, Promise};
use ledger::{Book, LedgerReply, Operation};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Minimum delay of the alarm. Expired rows no longer count anyway, so only the number of alarms and of
/// their writes matters.
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

/// Holds one book, in memory and in the object's storage.
///
/// Invariants:
/// - An operation is applied and its rows are written in one call, without an `await`. The host sends
///   nothing out of an object before its writes are durable; with an `await` in between, a reply could
///   precede its write.
/// - Memory is never ahead of storage. If anything fails, the book is dropped and read again at the next
///   use.
/// - An unreadable row is an error at every use. Starting from an empty book would give a budget away.
/// - The alarm deletes an object whose book is empty: an unused object costs nothing.
#[wasm_bindgen]
pub struct Keeper {
    storage: Storage,
    book: Option<StoredBook>,
    alarm: Option<Timestamp>,
}

#[wasm_bindgen]
impl Keeper {
    /// Creates the keeper of a storage. `alarm` is the time at which its alarm is set, in milliseconds
    /// since the Unix epoch.
    #[wasm_bindgen(constructor)]
    pub fn new(storage: Storage, alarm: Option<f64>) -> Self {
        let alarm = alarm.map(|at| Timestamp::from_millis(at as u64));
        Self { storage, book: None, alarm }
    }

    /// Applies an operation in JSON and returns the reply in JSON.
    pub fn apply(&mut self, operation: &str) -> Result<String, JsValue> {
        let operation = json::from_text(operation).map_err(|error| thrown(&error))?;
        let now = now();
        let mut stored_book = self.take_book()?;
        let reply = stored_book.apply(now, &operation);
        self.put_back(stored_book, now)?;
        serde_json::to_string(&reply).map_err(|error| thrown(&error))
    }

    /// Sweeps the book; the host calls it at the alarm.
    pub fn alarm(&mut self) -> Result<Option<Promise>, JsValue> {
        self.alarm = None;
        let now = now();
        let mut stored_book = self.take_book()?;
        stored_book.book.sweep(now);
        if stored_book.book.is_empty() {
            return self.storage.delete_all().map(Some);
        }
        self.put_back(stored_book, now)?;
        Ok(None)
    }

    fn take_book(&mut self) -> Result<StoredBook, JsValue> {
        if let Some(stored_book) = self.book.take() {
            return Ok(stored_book);
        }
        let rows = rows(&self.storage)?.to_vec();
        let texts: Option<Vec<String>> = rows.iter().map(JsValue::as_string).collect();
        let texts = texts.ok_or_else(|| thrown(&"corrupt row: not text"))?;
        let mut texts = texts.into_iter();
        let pairs = std::iter::from_fn(|| Some((texts.next()?, texts.next()?)));
        StoredBook::open(pairs).map_err(|error| thrown(&error))
    }

    /// Writes the changed rows and keeps the book in memory.
    fn put_back(&mut self, mut stored_book: StoredBook, now: Timestamp) -> Result<(), JsValue> {
        let changes = stored_book.take_changes();
        if !changes.is_empty() {
            let flat = Array::new();
            for (name, body) in &changes {
                flat.push(&JsValue::from_str(name));
                flat.push(&body.as_deref().map_or(JsValue::UNDEFINED, JsValue::from_str));
            }
            write(&self.storage, &flat)?;
        }
        if let Some(at) = alarm(self.alarm, now, || stored_book.due(now, !changes.is_empty())) {
            // If setting the alarm fails later, the host ends the object and withholds the reply.
            let _ = self.storage.set_alarm(at.as_millis() as f64)?;
            self.alarm = Some(at);
        }
        self.book = Some(stored_book);
        Ok(())
    }
}

/// A book with the rows that storage holds.
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

    /// Rows that differ from storage: a read or a refusal touches rows too, without changing them.
    fn take_changes(&mut self) -> Vec<(String, Option<String>)> {
        let touched = self.book.take_changes();
        let text = |body| String::from_utf8(body).expect("a row is JSON");
        let touched = touched.into_iter().map(|(name, body)| (name, body.map(text)));
        touched.filter(|(name, body)| self.stored.set(name, body.as_deref())).collect()
    }

    /// Time of the next sweep. A book that has just become empty is due at once, so that its storage is
    /// deleted.
    fn due(&self, now: Timestamp, wrote: bool) -> Option<Timestamp> {
        if self.book.is_empty() { wrote.then_some(now) } else { self.book.next_sweep() }
    }
}

/// Rows sorted by name. A second map type would add more code than it saves.
#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    /// Sets or removes a row; returns whether that changed it.
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

/// Time to set the alarm to; `None` if it is set early enough. Setting it is a billed write.
fn alarm(
    set: Option<Timestamp>,
    now: Timestamp,
    due: impl FnOnce() -> Option<Timestamp>,
) -> Option<Timestamp> {
    let earliest = now + MIN_ALARM_DELAY;
    // An alarm in the past has fired, or fires when this call returns.
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

    /// Applies an operation and writes the changes into `storage` as the object does; returns the number
    /// of rows.
    fn apply_and_write(
        stored_book: &mut StoredBook,
        storage: &mut BTreeMap<String, String>,
        operation: &Operation,
    ) -> usize {
        stored_book.apply(NOW, operation);
        let changes = stored_book.take_changes();
        let count = changes.len();
        for (name, body) in changes {
            match body {
                Some(body) => storage.insert(name, body),
                None => storage.remove(&name),
            };
        }
        let kept: BTreeMap<_, _> = stored_book.stored.0.iter().cloned().collect();
        assert_eq!(kept, *storage);
        count
    }

    #[test]
    fn apply_writes_only_rows_that_differ_from_storage() {
        let mut storage = BTreeMap::new();
        let mut stored_book = StoredBook::open(std::iter::empty()).expect("nothing can be read");
        let read = Operation::Read { accounts: vec![("a".to_owned(), rule(10))] };
        let mut assert_rows_written = |operation: &Operation, rows: usize| {
            assert_eq!(
                apply_and_write(&mut stored_book, &mut storage, operation),
                rows,
                "{operation:?}"
            );
            // A reopened object has the same state.
            let mut reopened =
                StoredBook::open(storage.clone().into_iter()).expect("it was written so");
            let level = reopened.apply(NOW, &read);
            assert_eq!(level, stored_book.apply(NOW, &read));
            stored_book.take_changes();
        };
        assert_rows_written(&read, 0);
        assert_rows_written(&reserve(1, "a", 6), 1);
        assert_rows_written(&reserve(2, "a", 6), 0);
        assert_rows_written(&read, 0);
        assert_rows_written(&reserve(3, "b", 6), 1);
        assert_rows_written(&settle(1, "a", 0), 1);
        assert_rows_written(&settle(1, "a", 0), 0);
        assert_rows_written(&settle(3, "b", 2), 1);
        assert_eq!(storage.keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn open_with_unreadable_row_is_an_error() {
        for body in ["", "{}", "{\"account\":{}}", "[]"] {
            let row = ("a".to_owned(), body.to_owned());
            assert!(StoredBook::open(std::iter::once(row)).is_err(), "{body}");
        }
    }

    #[test]
    fn due_of_emptied_book_is_immediate_after_a_write() {
        let mut stored_book = StoredBook::open(std::iter::empty()).expect("nothing can be read");
        assert_eq!(stored_book.due(NOW, false), None, "it was never used");
        let reply = stored_book.apply(NOW, &reserve(1, "a", 6));
        assert!(matches!(reply, LedgerReply::Granted(_)), "{reply:?}");
        assert_eq!(stored_book.due(NOW, true), Some(after(60_000)));
        stored_book.apply(NOW, &settle(1, "a", 0));
        assert_eq!(stored_book.due(NOW, true), Some(NOW));
        assert_eq!(stored_book.due(NOW, false), None, "its alarm is set");
        stored_book.apply(NOW, &reserve(2, "a", 6));
        stored_book.apply(NOW, &settle(2, "a", 6));
        assert_eq!(stored_book.due(NOW, true), None, "a total never expires");
    }

    #[track_caller]
    fn assert_alarm(set: Option<u64>, due: Option<u64>, expected: Option<u64>) {
        let moment = |at: Option<u64>| at.map(after);
        assert_eq!(alarm(moment(set), NOW, || moment(due)), moment(expected));
    }

    #[test]
    fn alarm_is_moved_only_if_it_would_fire_too_late() {
        let min_delay = MIN_ALARM_DELAY.as_millis() as u64;
        assert_alarm(None, None, None);
        assert_alarm(None, Some(100_000), Some(100_000));
        assert_alarm(None, Some(5), Some(min_delay));
        assert_alarm(Some(100_000), Some(100_000), None);
        assert_alarm(Some(100_000), Some(200_000), None);
        assert_alarm(Some(200_000), Some(100_000), Some(100_000));
        assert_alarm(Some(5), Some(100_000), None);
        assert_alarm(Some(min_delay), Some(5), None);
        assert_alarm(Some(min_delay + 1), Some(5), Some(min_delay));
        assert_alarm(Some(0), Some(100_000), Some(100_000));
        assert_alarm(Some(100_000), None, None);
    }
}
