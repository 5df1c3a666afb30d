//! The connection of an instance to its Redis server.
//!
//! Spin has no pool: each opened connection is one of its own, until the instance closes it. So all requests
//! of an instance share one, and it is closed as soon as no request uses it. One server for ledger and store
//! is one connection.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::RedisServer;
use gateway::host::error::HostError;
use gateway::host::{Clock, Tasks};
use ledger::BookId;
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

use super::ledger::{BookServer, Change, Swapped, TOKEN_BYTES, Token};
use crate::spin_host::SpinHost;

/// Time without a command after which the connection is closed. Opening one costs two round trips;
/// Spin may bound their number, and then other instances wait for it.
const MAX_IDLE: Duration = Duration::from_millis(10);
/// Timeout of a command, with the opening of its connection. Spin's client has none.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for which commands fail at once after one that got no reply in [`UNAVAILABLE_AFTER`].
const UNAVAILABLE_TIME: Duration = Duration::from_secs(2);
/// Wait for a reply after which the server counts as unavailable.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(1);
/// Interval at which a request looks for the connection that another one opens. Requests cannot wake each
/// other.
const OPENING_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Replaces, deletes, or only compares a value.
///
/// KEYS: the book. ARGV: the expected token (empty: no value), the action, the new value, and its time to
/// live in milliseconds (0: for ever). It returns 1, or the value that it found.
const SWAP: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return redis.call('GET', KEYS[1]) end \
if ARGV[2] == 'delete' then redis.call('DEL', KEYS[1]) \
elseif ARGV[2] == 'set' and ARGV[4] == '0' then redis.call('SET', KEYS[1], ARGV[3]) \
elseif ARGV[2] == 'set' then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end \
return 1";
const _: () = assert!(TOKEN_BYTES == 16, "the script compares 16 bytes");

/// A server with the beginning of the keys in it, as all requests of an instance use it.
#[derive(Clone)]
pub(crate) struct RedisPlace {
    pub(crate) connection: Rc<SharedConnection>,
    pub(crate) prefix: Rc<str>,
}

impl RedisPlace {
    /// The place in a server. One server with the other place is one connection.
    pub(crate) fn new(server: &RedisServer, other: Option<&Self>) -> Self {
        let url = server.url.reveal();
        let connection = match other.filter(|other| other.connection.url == url) {
            Some(other) => Rc::clone(&other.connection),
            None => {
                let state = RefCell::default();
                Rc::new(SharedConnection { url: url.to_owned(), state })
            }
        };
        Self { connection, prefix: server.prefix.as_str().into() }
    }
}

/// A server as the requests of an instance use it.
pub(crate) struct SharedConnection {
    url: String,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    link: Link,
    in_flight: usize,
    last_used: Timestamp,
    is_closer_running: bool,
    unavailable_until: Timestamp,
}

impl State {
    /// Closes the connection as soon as no command uses it. One that is being opened is left alone.
    fn close_link(&mut self) {
        if matches!(self.link, Link::Open(_)) {
            self.link = Link::Closed;
        }
    }
}

#[derive(Default)]
enum Link {
    #[default]
    Closed,
    Opening,
    Open(Rc<Connection>),
}

impl SharedConnection {
    /// Executes a command, and fails if it gets no reply in time.
    pub(crate) async fn execute(
        self: &Rc<Self>,
        command: &str,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, HostError> {
        let began = SpinHost.now();
        if began < self.state.borrow().unavailable_until {
            return Err(HostError::new("Redis does not respond"));
        }
        let call = PendingCall::new(Rc::clone(self), began);
        let work = async {
            let connection = self.open().await?;
            connection.execute(command, arguments).await.map_err(to_host_error)
        };
        let result = within(COMMAND_TIMEOUT, work).await;
        let result = result.unwrap_or_else(|| Err(HostError::new("Redis does not respond")));
        call.finish(result.is_ok());
        result
    }

    /// The open connection, opened by the first request that needs it.
    async fn open(&self) -> Result<Rc<Connection>, HostError> {
        loop {
            match &self.state.borrow().link {
                Link::Open(connection) => return Ok(Rc::clone(connection)),
                Link::Closed => break,
                Link::Opening => {}
            }
            SpinHost.sleep(OPENING_POLL_INTERVAL).await;
        }
        self.state.borrow_mut().link = Link::Opening;
        let guard = OpeningGuard(self);
        let opened = Connection::open(&self.url).await;
        drop(guard);
        let connection = Rc::new(opened.map_err(to_host_error)?);
        self.state.borrow_mut().link = Link::Open(Rc::clone(&connection));
        Ok(connection)
    }
}

/// Lets another request open the connection if this one fails or hangs up.
struct OpeningGuard<'a>(&'a SharedConnection);

impl Drop for OpeningGuard<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().link = Link::Closed;
    }
}

/// A command without its reply. Dropped without one, it shows whether the server responds.
struct PendingCall {
    shared: Rc<SharedConnection>,
    began: Timestamp,
    has_ended: bool,
}

impl PendingCall {
    fn new(shared: Rc<SharedConnection>, began: Timestamp) -> Self {
        shared.state.borrow_mut().in_flight += 1;
        Self { shared, began, has_ended: false }
    }

    fn finish(mut self, is_ok: bool) {
        if !is_ok {
            // A broken connection stays broken: the next command opens another one.
            self.shared.state.borrow_mut().close_link();
        }
        self.has_ended = is_ok;
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let now = SpinHost.now();
        let mut state = self.shared.state.borrow_mut();
        state.in_flight -= 1;
        state.last_used = now;
        if !self.has_ended && now.since(self.began) >= UNAVAILABLE_AFTER {
            state.unavailable_until = now + UNAVAILABLE_TIME;
            // Replies come in order: a command that nobody awaits holds up all that follow it.
            state.close_link();
        }
        if state.in_flight == 0 && !state.is_closer_running && matches!(state.link, Link::Open(_)) {
            state.is_closer_running = true;
            SpinHost.defer(close_when_idle(Rc::clone(&self.shared)));
        }
    }
}

/// Closes the connection when no request has used it for a while.
async fn close_when_idle(shared: Rc<SharedConnection>) {
    loop {
        SpinHost.sleep(MAX_IDLE).await;
        let mut state = shared.state.borrow_mut();
        if state.in_flight == 0 && SpinHost.now().since(state.last_used) >= MAX_IDLE {
            state.close_link();
            state.is_closer_running = false;
            return;
        }
    }
}

/// Runs `work` for at most `time`; `None` if it takes longer.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    use futures_util::future::{Either, select};
    match select(pin!(work), pin!(SpinHost.sleep(time))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

fn to_host_error(error: Error) -> HostError {
    match error {
        Error::InvalidAddress => HostError::new(
            "the address of Redis is invalid, or the application's allowed_outbound_hosts lack it",
        ),
        Error::TooManyConnections => HostError::new("too many open connections to Redis"),
        Error::TypeError => HostError::new("a value in Redis has another type"),
        Error::Other(reason) => HostError::new(format_args!("Redis: {reason}")),
    }
}

impl BookServer for RedisPlace {
    async fn swap(
        &self,
        book_id: &BookId,
        expected: Option<Token>,
        change: Change,
    ) -> Result<Swapped, HostError> {
        let (action, value, ttl) = match change {
            Change::None => ("compare", Vec::new(), None),
            Change::Delete => ("delete", Vec::new(), None),
            Change::Set(value, ttl) => ("set", value, ttl),
        };
        let ttl = ttl.map_or(0, |ttl| i64::try_from(ttl.as_millis()).unwrap_or(0));
        let arguments = vec![
            text(SWAP),
            RedisParameter::Int64(1),
            text(&format!("{}:ledger:{}", self.prefix, book_id.as_str())),
            RedisParameter::Binary(expected.map_or_else(Vec::new, Vec::from)),
            text(action),
            RedisParameter::Binary(value),
            RedisParameter::Int64(ttl),
        ];
        let mut results = self.connection.execute("EVAL", arguments).await?;
        match results.pop() {
            Some(RedisResult::Int64(1)) => Ok(Swapped::Done),
            Some(RedisResult::Binary(stored)) => Ok(Swapped::Conflict(Some(stored))),
            Some(RedisResult::Nil) => Ok(Swapped::Conflict(None)),
            Some(RedisResult::Int64(_) | RedisResult::Status(_)) | None => {
                Err(HostError::new("Redis: unexpected reply to the ledger's script"))
            }
        }
    }
}

/// A parameter with the bytes of a text.
pub(crate) fn text(text: &str) -> RedisParameter {
    RedisParameter::Binary(text.as_bytes().to_vec())
}
