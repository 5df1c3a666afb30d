//! Recording host: keeps upstream requests, store entries, ledger operations and records byte for byte.
//!
//! Entropy depends on the current millisecond alone. The order and the number of the draws therefore do
//! not change a golden file. Header order and the order of events within a millisecond do not either.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use gateway::host::{Clock, HttpClient, KvStore, LedgerHost, Listing, Settings, Tasks};
use gateway::record::Record;
use gateway::service::Service;
use ledger::{Book, BookId, LedgerReply, Operation};
use secret::Secret;
use sim::upstream::UpstreamSpec;
use sim::world::{HangUp, Received, World, splitmix64};

use crate::golden::{mask_member, mask_record, mask_version};
use crate::show;

/// Latency of the ledger in each direction.
const LEDGER_LATENCY: Duration = Duration::from_millis(2);
/// Latency of an upstream request. Requests before and after a response get different entropy.
const UPSTREAM_LATENCY: Duration = Duration::from_millis(1);
/// Pause before each request. No two requests begin in the same millisecond.
const PAUSE_BETWEEN_REQUESTS: Duration = Duration::from_millis(10);

/// Recording host. A clone shares its state.
#[derive(Clone)]
pub(crate) struct RecordingHost(Rc<Inner>);

struct Inner {
    world: World,
    service: RefCell<Service>,
    document: String,
    secrets: BTreeMap<String, String>,
    entries: RefCell<BTreeMap<String, Entry>>,
    books: RefCell<BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    log: RefCell<Log>,
    store_down: Cell<bool>,
    ledger_down: Cell<bool>,
    settings_down: Cell<bool>,
}

struct Entry {
    value: Vec<u8>,
    keep: Option<Duration>,
    until: Option<Timestamp>,
}

/// Events since the last `take_…`, each with its millisecond.
#[derive(Default)]
struct Log {
    calls: Vec<(u64, String)>,
    operations: Vec<(u64, String)>,
    records: Vec<(u64, String)>,
    warnings: usize,
}

impl RecordingHost {
    /// Creates a host with a deployed configuration in JSON.
    pub(crate) fn new(
        document: &str,
        secrets: &BTreeMap<String, String>,
        upstreams: BTreeMap<String, UpstreamSpec>,
    ) -> Self {
        Self(Rc::new(Inner {
            world: World::new(1, upstreams),
            service: RefCell::default(),
            document: document.to_owned(),
            secrets: secrets.clone(),
            entries: RefCell::default(),
            books: RefCell::default(),
            log: RefCell::default(),
            store_down: Cell::default(),
            ledger_down: Cell::default(),
            settings_down: Cell::default(),
        }))
    }

    /// Plays one request to its end, deferred tasks included.
    pub(crate) fn play(&self, request: http::Request<Body>, hang_up: HangUp) -> Received {
        self.wait(PAUSE_BETWEEN_REQUESTS);
        let service = self.0.service.borrow().clone();
        let answer = service.handle(self.clone(), request);
        self.0.world.play(answer, hang_up).expect("it ends")
    }

    /// Plays several concurrent requests, each of which begins `gap` after the one before.
    pub(crate) fn play_together(
        &self,
        requests: Vec<http::Request<Body>>,
        gap: Duration,
    ) -> Vec<Received> {
        let all: Rc<RefCell<BTreeMap<usize, Received>>> = Rc::default();
        for (number, request) in requests.into_iter().enumerate() {
            let (host, all) = (self.clone(), Rc::clone(&all));
            self.0.world.executor().spawn(async move {
                let wait = gap * u32::try_from(number).expect("few requests");
                host.0.world.executor().sleep(wait).await;
                let service = host.0.service.borrow().clone();
                let answer = service.handle(host.clone(), request);
                let received = host.0.world.receive(answer, HangUp::Never).await;
                all.borrow_mut().insert(number, received);
            });
        }
        self.0.world.executor().drain().expect("it ends");
        all.take().into_values().collect()
    }

    /// Replaces the gateway by a new one, which knows only what the host stores.
    pub(crate) fn restart(&self) {
        self.0.service.take();
    }

    /// Advances the clock.
    pub(crate) fn wait(&self, duration: Duration) {
        let executor = self.0.world.executor();
        executor.run(executor.sleep(duration)).expect("time passes");
    }

    /// Makes the store fail or work.
    pub(crate) fn set_store_available(&self, available: bool) {
        self.0.store_down.set(!available);
    }

    /// Makes the ledger fail or work.
    pub(crate) fn set_ledger_available(&self, available: bool) {
        self.0.ledger_down.set(!available);
    }

    /// Makes the settings fail or work.
    pub(crate) fn set_settings_available(&self, available: bool) {
        self.0.settings_down.set(!available);
    }

    /// Every store entry: name, time to live and value.
    pub(crate) fn entries(&self) -> String {
        let mut text = String::new();
        for (name, entry) in self.0.entries.borrow().iter() {
            let keep = entry.keep.map_or_else(|| "for ever".to_owned(), |it| format!("{it:?}"));
            let mut value = entry.value.clone();
            let is_failure = name.starts_with("verdict/") && name.ends_with("/error");
            if let (true, Ok(readable)) = (is_failure, std::str::from_utf8(&value)) {
                value = mask_member(readable, "content", |_| false).into_bytes();
            }
            let _ = write!(text, "{name}\n  kept {keep}\n{}", show::body(&value));
        }
        text
    }

    /// Every stored row of every book whose place has this prefix.
    pub(crate) fn books(&self, prefix: &str) -> String {
        let mut text = String::new();
        for (place, rows) in self.0.books.borrow().iter() {
            if place.starts_with(prefix) && !rows.is_empty() {
                let _ = writeln!(text, "{place}");
                for (name, row) in rows {
                    let _ = writeln!(text, "  {name} = {}", show::escaped(row));
                }
            }
        }
        text
    }

    /// Takes the upstream requests.
    pub(crate) fn take_calls(&self) -> String {
        in_order(std::mem::take(&mut self.0.log.borrow_mut().calls)).collect()
    }

    /// Takes the ledger operations with their replies, as far as `is_shown` holds for them.
    pub(crate) fn take_operations(&self, is_shown: impl Fn(&str) -> bool) -> String {
        let all = std::mem::take(&mut self.0.log.borrow_mut().operations);
        in_order(all).filter(|text| is_shown(text)).collect()
    }

    /// Takes the log lines: records whole, warnings as a count.
    pub(crate) fn take_lines(&self) -> String {
        let mut log = self.0.log.borrow_mut();
        let mut text: String = in_order(std::mem::take(&mut log.records)).collect();
        let warnings = std::mem::take(&mut log.warnings);
        if warnings > 0 {
            let _ = writeln!(text, "(warnings: {warnings})");
        }
        text
    }
}

/// Sorts events by time, and those of one millisecond by their text.
fn in_order(mut events: Vec<(u64, String)>) -> impl Iterator<Item = String> {
    events.sort();
    events.into_iter().map(|(_, text)| text)
}

impl Clock for RecordingHost {
    fn now(&self) -> Timestamp {
        self.0.world.now()
    }

    fn entropy(&self) -> u64 {
        splitmix64(self.now().as_millis()).1
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.0.world.sleep(duration)
    }
}

impl Tasks for RecordingHost {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        self.0.world.defer(task);
    }

    fn record(&self, record: &Record) {
        let line = serde_json::to_string(record).expect("a record has only plain members");
        let now = self.now().as_millis();
        self.0.log.borrow_mut().records.push((now, mask_record(&line) + "\n"));
    }

    fn warn(&self, _line: &str) {
        self.0.log.borrow_mut().warnings += 1;
    }
}

impl Settings for RecordingHost {
    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        Ok(Cow::Owned(self.0.document.clone()))
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        if self.0.settings_down.get() {
            return Err(HostError::new("the settings are unavailable"));
        }
        Ok(self.0.secrets.get(name).map(|value| Secret::new(value)))
    }
}

impl HttpClient for RecordingHost {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        let headers = show::headers(request.headers());
        let (method, uri) = (request.method(), request.uri());
        let text = format!("{method} {uri}\n{headers}{}", show::body(request.body()));
        let now = self.now().as_millis();
        self.0.log.borrow_mut().calls.push((now, mask_version(&text)));
        self.0.world.executor().sleep(UPSTREAM_LATENCY).await;
        self.0.world.fetch(request).await
    }
}

impl RecordingHost {
    fn access_store(&self) -> Result<(), HostError> {
        if self.0.store_down.get() {
            Err(HostError::new("the store is unavailable"))
        } else {
            Ok(())
        }
    }
}

impl KvStore for RecordingHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        self.access_store()?;
        let (entries, now) = (self.0.entries.borrow(), self.now());
        let found = entries.get(name).filter(|entry| entry.until.is_none_or(|until| until > now));
        Ok(found.map(|entry| entry.value.clone().into()))
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        self.access_store()?;
        let until = keep.map(|keep| self.now() + keep);
        self.0.entries.borrow_mut().insert(name.to_owned(), Entry { value, keep, until });
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        self.access_store()?;
        self.0.entries.borrow_mut().remove(name);
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        self.access_store()?;
        let entries = self.0.entries.borrow();
        let names = entries.keys().filter(|name| name.starts_with(prefix));
        let names = names.filter(|name| cursor.is_none_or(|cursor| name.as_str() > cursor));
        Ok(Listing { names: names.cloned().collect(), cursor: None })
    }
}

impl LedgerHost for RecordingHost {
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    const EXPIRES_ROWS: bool = false;

    /// Applies an operation with the serialization steps of the edges. Each operation reads the book
    /// from its stored rows.
    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        self.0.world.executor().sleep(LEDGER_LATENCY).await;
        if self.0.ledger_down.get() {
            return Err(HostError::new("the ledger is unavailable"));
        }
        let now = self.now();
        let sent = serde_json::to_string(operation).map_err(HostError::new)?;
        let read: Operation = json::from_text(&sent).map_err(HostError::new)?;
        let reply = {
            let mut books = self.0.books.borrow_mut();
            let rows = books.entry(book_id.as_str().to_owned()).or_default();
            let kept = rows.iter().map(|(name, row)| (name.clone(), row.as_slice()));
            let mut book = Book::from_rows(kept).map_err(HostError::new)?;
            let reply = book.apply(now, &read);
            for (name, row) in book.take_changes() {
                match row {
                    Some(row) => rows.insert(name, row),
                    None => rows.remove(&name),
                };
            }
            reply
        };
        let reply_text = serde_json::to_string(&reply).map_err(HostError::new)?;
        let text = format!("{}\n  ask {sent}\n  got {reply_text}\n", book_id.as_str());
        self.0.log.borrow_mut().operations.push((now.as_millis(), text));
        self.0.world.executor().sleep(LEDGER_LATENCY).await;
        json::from_text(&reply_text).map_err(HostError::new)
    }
}
