//! Host traits: everything that the gateway needs of a host, in small traits.
//!
//! An edge implements them and has no policy of its own. Futures are not `Send`: edge hosts run one
//! thread.
#![expect(
    async_fn_in_trait,
    reason = "edge hosts are single-threaded: futures are deliberately not Send"
)]

pub mod body;
pub mod error;
pub(crate) mod futures;
pub(crate) mod newest_first;
pub(crate) mod recent_writes;

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Problems, Storage};
use http::HeaderValue;
use ledger::{BookId, LedgerReply, Operation};
use secret::Secret;

use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::Record;

/// Time and randomness.
pub trait Clock {
    /// The current time. On Workers it advances only at I/O.
    fn now(&self) -> Timestamp;
    /// 64 unpredictable bits.
    fn entropy(&self) -> u64;
    /// Completes after `duration`; dropping it cancels the timer.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;
}

/// The `user-agent` of every request that the gateway sends.
pub(crate) const GATEWAY_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("serin/", env!("CARGO_PKG_VERSION")));

/// Calls to upstreams.
pub trait HttpClient {
    /// Sends a request; completes when the response's head has arrived. Redirects are not followed.
    ///
    /// Dropping the future, or the body of the response, must cancel the call.
    async fn fetch(&self, request: http::Request<Bytes>)
    -> Result<http::Response<Body>, HostError>;
}

/// Long-lived values that are read often: consumers, keys, the audit log.
///
/// Reads may be up to 60 seconds old (Workers KV), so exact values are not stored here. Names are
/// at most 512 bytes of printable ASCII, values at most 1 MiB.
pub trait KvStore {
    /// The value of a name, unless it expired.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError>;
    /// Stores a value, with an optional time to live (at least 60 s; shorter ones are raised).
    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError>;
    /// Deletes a name. A missing name is not an error.
    async fn delete(&self, name: &str) -> Result<(), HostError>;
    /// Lists names with a prefix, in order, from the beginning or from a cursor.
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError>;
}

/// A page of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Complete names.
    pub names: Vec<String>,
    /// Start of the next page; `None` at the end.
    pub cursor: Option<String>,
}

/// Values that must be exact: budgets and what was spent.
///
/// A host stores one [`Book`](ledger::Book) for each id and applies operations to it one after
/// another. It replies when the change is durable.
pub trait LedgerHost {
    /// Time for which usage totals may be collected before they are written, under load. Some hosts
    /// bill every write, others keep an instance alive for it.
    const MAX_BATCH_DELAY: Duration;
    /// Time for which usage totals are collected before the first write, on a host whose writes
    /// delay other requests.
    const MIN_BATCH_DELAY: Duration = Duration::ZERO;
    /// Whether a book removes expired rows by itself, without an operation.
    const EXPIRES_ROWS: bool;

    /// Applies an operation to a book. After a `HostError` it may or may not have been applied.
    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError>;
}

/// The peer's address as the host sees it, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerIp(pub std::net::IpAddr);

/// Background tasks and the log.
pub trait Tasks {
    /// Runs a task that outlives the response.
    fn defer(&self, task: impl Future<Output = ()> + 'static);
    /// Writes a record to the host's log, as one line of JSON.
    fn record(&self, record: &Record);
    /// Writes a warning for operators to the host's log, as the JSON of [`warning_line`].
    fn warn(&self, line: &str);
    /// Writes an event for operators to the host's log: one line of JSON.
    fn inform(&self, event: &str);
}

/// Warning as one line of JSON, so that it can be told from other lines of a log.
pub fn warning_line(now: Timestamp, message: &str) -> String {
    serde_json::json!({ "event": "warning", "at_ms": now.as_millis(), "message": message })
        .to_string()
}

/// Deployed settings of the host.
///
/// A trait and not an argument at start: a later document may name secrets that the first one did
/// not, and hosts fetch secrets by name.
pub trait Settings {
    /// Name of the edge, for operators.
    const EDGE: &'static str = "native";
    /// Whether ledger and store can be kept elsewhere than in the host's own storage.
    const CHOOSES_STORAGE: bool = false;
    /// The deployed document, in JSON.
    async fn document(&self) -> Result<Cow<'static, str>, HostError>;
    /// The value of a secret; `None` if the host has no secret of this name.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError>;
    /// Keeps ledger and store in the places of the first call, which is the deployed document's. Reports
    /// other places of later documents, and places that the host cannot use.
    fn use_storage(&self, storage: &Storage) -> Result<(), Problems> {
        storage.check_is_default()
    }
}

/// One request's view of its host. A clone is cheap and refers to the same host.
pub trait Host:
    Clock + HttpClient + KvStore + LedgerHost + Tasks + Settings + Clone + 'static
{
}

impl<T: Clock + HttpClient + KvStore + LedgerHost + Tasks + Settings + Clone + 'static> Host for T {}
