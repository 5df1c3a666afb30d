//! In-memory host for unit tests. Each call to its store or ledger completes at the second poll, so
//! that two callers interleave.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use ledger::{Book, BookId, LedgerReply, Operation};
use memory_host::{MemoryLedger, MemoryStore, splitmix64};
use secret::Secret;

use crate::host::body::Body;
use crate::host::error::HostError;
use crate::host::{Clock, HttpClient, KvStore, LedgerHost, Listing, Settings, Tasks};
use crate::record::Record;

/// Names in a page of a listing: few, so that listings have several pages.
const PAGE_SIZE: usize = 3;

/// A host; a clone refers to the same one.
#[derive(Clone)]
pub(crate) struct FakeHost(Rc<Inner>);

struct Inner {
    now: Cell<u64>,
    entropy: Cell<u64>,
    store: RefCell<MemoryStore>,
    /// The store that readers see while reads are frozen.
    frozen: RefCell<Option<MemoryStore>>,
    ledger: RefCell<MemoryLedger>,
    store_unavailable: Cell<bool>,
    ledger_unavailable: Cell<bool>,
    /// Whether the ledger's replies are lost.
    ledger_drops_replies: Cell<bool>,
    reads: Cell<usize>,
    /// The body of every response to a fetch; `None` if no connection can be made.
    response: RefCell<Option<Bytes>>,
    fetches: Cell<usize>,
    /// The header `authorization` of the last fetch.
    authorization: RefCell<Option<String>>,
    document: RefCell<String>,
    warnings: RefCell<Vec<String>>,
    events: RefCell<Vec<String>>,
    deferred: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

impl FakeHost {
    /// An empty host at 2026-01-01T00:00:00Z.
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inner {
            now: Cell::new(1_767_225_600_000),
            entropy: Cell::new(1),
            store: RefCell::default(),
            frozen: RefCell::default(),
            ledger: RefCell::default(),
            store_unavailable: Cell::new(false),
            ledger_unavailable: Cell::new(false),
            ledger_drops_replies: Cell::new(false),
            reads: Cell::new(0),
            response: RefCell::default(),
            fetches: Cell::new(0),
            authorization: RefCell::default(),
            document: RefCell::default(),
            warnings: RefCell::default(),
            events: RefCell::default(),
            deferred: RefCell::default(),
        }))
    }

    /// Sets the deployed document. Every secret but `MISSING` exists; its value is its name.
    pub(crate) fn deploy(&self, document: &str) {
        document.clone_into(&mut self.0.document.borrow_mut());
    }

    /// Takes the events since the last call.
    pub(crate) fn take_events(&self) -> Vec<String> {
        self.0.events.take()
    }

    /// Takes the warnings since the last call, except for those about its short secrets.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self.0.warnings.take();
        warnings.retain(|line| !line.contains("can be guessed"));
        warnings
    }

    /// Runs the deferred tasks.
    pub(crate) fn run_deferred(&self) {
        loop {
            let Some(task) = self.0.deferred.borrow_mut().pop() else { return };
            block_on(task);
        }
    }

    /// Writes directly into the store.
    pub(crate) fn write(&self, name: &str, value: &str) {
        self.0.store.borrow_mut().put(self.now(), name, value.to_owned(), None);
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.0.now.set((self.now() + duration).as_millis());
    }

    pub(crate) fn set_now(&self, now: Timestamp) {
        self.0.now.set(now.as_millis());
    }

    pub(crate) fn set_store_unavailable(&self, unavailable: bool) {
        self.0.store_unavailable.set(unavailable);
    }

    pub(crate) fn set_ledger_unavailable(&self, unavailable: bool) {
        self.0.ledger_unavailable.set(unavailable);
    }

    pub(crate) fn set_ledger_drops_replies(&self, drops: bool) {
        self.0.ledger_drops_replies.set(drops);
    }

    /// Freezes reads at the store's current contents, or ends that.
    pub(crate) fn freeze_reads(&self, is_frozen: bool) {
        *self.0.frozen.borrow_mut() = is_frozen.then(|| self.0.store.borrow().clone());
    }

    /// Sets the body of every response to a fetch; `None` if no connection can be made.
    pub(crate) fn set_response(&self, body: Option<&str>) {
        *self.0.response.borrow_mut() = body.map(|body| Bytes::from(body.to_owned()));
    }

    /// Number of fetches since the last call.
    pub(crate) fn take_authorization(&self) -> Option<String> {
        self.0.authorization.borrow_mut().take()
    }

    pub(crate) fn take_fetches(&self) -> usize {
        self.0.fetches.take()
    }

    /// Number of values read since the last call.
    pub(crate) fn take_reads(&self) -> usize {
        self.0.reads.take()
    }

    /// All names and values in the store.
    pub(crate) fn entries(&self) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("entries are JSON");
        let store = self.0.store.borrow();
        store.entries().map(|(name, stored)| (name.to_owned(), text(&stored.value))).collect()
    }

    /// All books in the ledger, serialized.
    pub(crate) fn books(&self) -> Vec<(String, String)> {
        let text = |book: &Book| String::from_utf8(book.to_bytes()).expect("books are JSON");
        let ledger = self.0.ledger.borrow();
        ledger.books().map(|(book_id, book)| (book_id.as_str().to_owned(), text(book))).collect()
    }
}

impl Clock for FakeHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now.get())
    }

    fn entropy(&self) -> u64 {
        let (state, number) = splitmix64(self.0.entropy.get());
        self.0.entropy.set(state);
        number
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        // Yields often, so that everything else happens first.
        let (host, mut polls) = (self.clone(), 0);
        poll_fn(move |_| {
            polls += 1;
            if polls < 100 {
                return Poll::Pending;
            }
            host.advance(duration);
            Poll::Ready(())
        })
    }
}

impl KvStore for FakeHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        yield_once().await;
        self.check_store()?;
        self.0.reads.set(self.0.reads.get() + 1);
        let frozen = self.0.frozen.borrow();
        let store = self.0.store.borrow();
        Ok(frozen.as_ref().unwrap_or(&store).get(self.now(), name))
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        yield_once().await;
        self.check_store()?;
        self.0.store.borrow_mut().put(self.now(), name, value, keep);
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        yield_once().await;
        self.check_store()?;
        self.0.store.borrow_mut().delete(name);
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        yield_once().await;
        self.check_store()?;
        let (names, cursor) = self.0.store.borrow().list(prefix, cursor, PAGE_SIZE);
        Ok(Listing { names, cursor })
    }
}

impl FakeHost {
    fn check_store(&self) -> Result<(), HostError> {
        if self.0.store_unavailable.get() {
            Err(HostError::new("store unavailable"))
        } else {
            Ok(())
        }
    }
}

impl LedgerHost for FakeHost {
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    const EXPIRES_ROWS: bool = false;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        yield_once().await;
        if self.0.ledger_unavailable.get() {
            return Err(HostError::new("ledger unavailable"));
        }
        let reply = self.0.ledger.borrow_mut().apply(self.now(), book_id, operation);
        if self.0.ledger_drops_replies.get() {
            Err(HostError::new("reply lost"))
        } else {
            Ok(reply)
        }
    }
}

impl HttpClient for FakeHost {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        let sent = request.headers().get("authorization").and_then(|sent| sent.to_str().ok());
        *self.0.authorization.borrow_mut() = sent.map(str::to_owned);
        self.0.fetches.set(self.0.fetches.get() + 1);
        yield_once().await;
        let body = self.0.response.borrow().clone();
        let body = body.ok_or_else(|| HostError::new("connection refused"))?;
        Ok(http::Response::new(Body::from(body)))
    }
}

impl Tasks for FakeHost {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        self.0.deferred.borrow_mut().push(Box::pin(task));
    }

    fn record(&self, _record: &Record) {}

    fn warn(&self, line: &str) {
        self.0.warnings.borrow_mut().push(line.to_owned());
    }

    fn inform(&self, event: &str) {
        self.0.events.borrow_mut().push(event.to_owned());
    }
}

impl Settings for FakeHost {
    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        let document = Cow::Owned(self.0.document.borrow().clone());
        Ok(document)
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        yield_once().await;
        Ok((name != "MISSING").then(|| Secret::new(name)))
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(
        |_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Polls a future to completion.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    poll_times(usize::MAX, future).expect("it ends")
}

/// Polls a future at most `polls` times and then drops it, as a host that is killed does.
pub(crate) fn poll_times<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls.min(100_000) {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

/// Polls two futures alternately to completion.
pub(crate) fn block_on_both<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
) -> (T, T) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut left, mut right) = (None, None);
    block_on(poll_fn(|context| {
        if left.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(context)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(context)
        {
            right = Some(value);
        }
        match (left.take(), right.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (some, other) => {
                (left, right) = (some, other);
                Poll::Pending
            }
        }
    }))
}
