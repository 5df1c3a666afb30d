//! The doors: everything that the core may ask of a host, in small traits.
//!
//! A shell implements them and has no policy of its own. None of the futures is `Send`: edge hosts
//! run one thread.
#![expect(
    async_fn_in_trait,
    reason = "edge hosts are single-threaded: futures are deliberately not Send"
)]

pub mod body;
pub mod error;
pub(crate) mod futures;
pub(crate) mod newest_first;
pub mod recent_writes;

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use http::HeaderValue;
use ledger::{BookId, LedgerReply, Operation};
use secret::Secret;

use crate::host::body::Body;
use crate::host::error::HostError;
use crate::record::Record;

/// Time and chance.
pub trait Clock {
    /// The present moment. Workers move it on only at I/O.
    fn now(&self) -> Timestamp;
    /// 64 bits that nobody can predict.
    fn entropy(&self) -> u64;
    /// Completes after `duration`; dropping it disarms the timer.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;
}

/// The `user-agent` of every request that the gateway sends.
pub(crate) const GATEWAY_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("serin/", env!("CARGO_PKG_VERSION")));

/// Calls to upstreams.
pub trait HttpClient {
    /// Sends a request and completes when the response's head is there. Redirects are not followed.
    ///
    /// Dropping the future, or the body of the response, must abort the call.
    async fn fetch(&self, request: http::Request<Bytes>)
    -> Result<http::Response<Body>, HostError>;
}

/// What is kept for long and read often: consumers, keys, the audit log.
///
/// It may show an older state for up to 60 seconds (Workers KV does): nothing that must be exact is
/// in it. Names are at most 512 bytes of printable ASCII, values at most 1 MiB.
pub trait KvStore {
    /// The value of a name, unless its time is over.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError>;
    /// Keeps a value, for ever or for a time (60 s at least; a shorter one is made so long).
    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError>;
    /// Forgets a name. One that is not there is no failure.
    async fn delete(&self, name: &str) -> Result<(), HostError>;
    /// Names that begin so, in their order, from the beginning or from where a listing ended.
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError>;
}

/// Names in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The names, whole.
    pub names: Vec<String>,
    /// Where to go on; `None` at the end.
    pub cursor: Option<String>,
}

/// What must be exact: budgets, and what was spent of them.
///
/// A host keeps one [`Book`](crate::ledger::Book) for each place and applies one operation after
/// another to it. It answers when the change cannot be lost any more.
pub trait LedgerHost {
    /// For how long sums of past requests may be gathered before they are written, while there are
    /// many. Some hosts bill every write, others keep an instance alive for it.
    const MAX_BATCH_DELAY: Duration;
    /// Whether a place forgets by itself what is too old, without being asked for anything.
    const EXPIRES_ROWS: bool;

    /// Applies an operation to the book of a place. After an `HostError` it may have been applied or not.
    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError>;
}

/// The address of whoever opened the connection, as the host knows it, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerIp(pub std::net::IpAddr);

/// What happens beside the answer.
pub trait Tasks {
    /// Runs a task that outlives the response.
    fn defer(&self, task: impl Future<Output = ()> + 'static);
    /// Writes one record to the host's log, as one line of JSON.
    fn record(&self, record: &Record);
    /// Writes a line for people to the host's log.
    fn warn(&self, line: &str);
}

/// What the host was given beside requests.
///
/// A door and not an argument at the start, since a document that comes later may name secrets that
/// the first one did not, and hosts fetch them by name.
pub trait Settings {
    /// The document that was deployed with the gateway, in JSON.
    async fn document(&self) -> Result<Cow<'static, str>, HostError>;
    /// The value of a secret; `None`: the host has none of this name.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError>;
}

/// One request's view of its host. A clone is cheap and means the same host.
pub trait Host:
    Clock + HttpClient + KvStore + LedgerHost + Tasks + Settings + Clone + 'static
{
}

impl<T: Clock + HttpClient + KvStore + LedgerHost + Tasks + Settings + Clone + 'static> Host for T {}
