//! Recording host: a [`World`] that keeps upstream requests, ledger operations and records byte for byte.
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
use ledger::{BookId, LedgerReply, Operation};
use memory_host::splitmix64;
use secret::Secret;
use sim::upstream::UpstreamSpec;
use sim::world::{HangUp, Received, World};

use crate::golden::{mask_member, mask_record, mask_version};
use crate::show;

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
    secrets: BTreeMap<String, String>,
    log: RefCell<Log>,
    settings_down: Cell<bool>,
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
        let world = World::new(1, upstreams);
        world.deploy(document);
        world.reopen_on_touch();
        Self(Rc::new(Inner {
            world,
            service: RefCell::default(),
            secrets: secrets.clone(),
            log: RefCell::default(),
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

    /// Replaces the gateway by a new one, whose only state is in the host's store and ledger.
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
        self.0.world.set_store_unavailable(!available);
    }

    /// Makes the ledger fail or work.
    pub(crate) fn set_ledger_available(&self, available: bool) {
        self.0.world.set_ledger_unavailable(!available);
    }

    /// Makes the settings fail or work.
    pub(crate) fn set_settings_available(&self, available: bool) {
        self.0.settings_down.set(!available);
    }

    /// Every store entry: name, time to live and value.
    pub(crate) fn entries(&self) -> String {
        let mut text = String::new();
        for (name, stored) in self.0.world.store().entries() {
            let keep = stored.ttl.map_or_else(|| "for ever".to_owned(), |it| format!("{it:?}"));
            let mut value = stored.value.to_vec();
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
        for (book_id, rows) in self.0.world.ledger_rows() {
            let place = book_id.as_str();
            if place.starts_with(prefix) && !rows.is_empty() {
                let _ = writeln!(text, "{place}");
                for (name, row) in rows {
                    let _ = writeln!(text, "  {name} = {}", show::escaped(&row));
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

    fn inform(&self, _event: &str) {}
}

impl Settings for RecordingHost {
    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        self.0.world.document().await
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

impl KvStore for RecordingHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        self.0.world.get(name).await
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        self.0.world.put(name, value, keep).await
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        self.0.world.delete(name).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        self.0.world.list(prefix, cursor).await
    }
}

impl LedgerHost for RecordingHost {
    const MAX_BATCH_DELAY: Duration = World::MAX_BATCH_DELAY;
    const EXPIRES_ROWS: bool = World::EXPIRES_ROWS;

    /// Applies an operation with the serialization steps of the edges. Each operation reads the book
    /// from its stored rows, see [`World::reopen_on_touch`].
    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let sent = serde_json::to_string(operation).map_err(HostError::new)?;
        let read: Operation = json::from_text(&sent).map_err(HostError::new)?;
        let reply = self.0.world.apply(book_id, &read).await?;
        let reply = serde_json::to_string(&reply).map_err(HostError::new)?;
        let text = format!("{}\n  ask {sent}\n  got {reply}\n", book_id.as_str());
        self.0.log.borrow_mut().operations.push((self.now().as_millis(), text));
        json::from_text(&reply).map_err(HostError::new)
    }
}
