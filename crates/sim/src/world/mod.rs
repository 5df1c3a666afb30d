//! In-memory host: virtual time, seeded entropy, scripted upstreams, a store, a ledger, a queue of deferred
//! tasks, and a list of records. The store and the ledger are those of `memory-host`.
//!
//! Has no HTTP wire format: a scripted head becomes a head, a scripted write a piece.

mod caller;
mod scripted_body;
mod storage;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use gateway::host::{Clock, HttpClient, Settings, Tasks};
use gateway::record::Record;
use memory_host::splitmix64;
use secret::Secret;
use serde_json::Value;

use crate::executor::{Executor, Stuck};
use crate::upstream::{Call, Ended, ResponsePlan, UpstreamRegistry, UpstreamSpec};

pub use caller::{HangUp, Received};
use scripted_body::ActiveCall;
use storage::Storage;

/// Base URL that replaces `UPSTREAM` in the simulator; the name of an upstream follows.
pub const UPSTREAM: &str = "http://127.0.0.1:9100/world";
/// Base URL that replaces `CLOSED`; nothing listens there.
pub const CLOSED: &str = "http://127.0.0.1:9";

/// Start of every world: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Host with its upstreams. A clone shares its state.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    executor: Executor,
    entropy: Cell<u64>,
    registry: RefCell<UpstreamRegistry>,
    records: RefCell<Vec<Value>>,
    storage: RefCell<Storage>,
    deployed: RefCell<String>,
    warnings: RefCell<Vec<String>>,
    events: RefCell<Vec<String>>,
}

impl World {
    /// Creates a world with these upstreams. Equal seeds give equal runs.
    pub fn new(seed: u64, upstreams: BTreeMap<String, UpstreamSpec>) -> Self {
        Self(Rc::new(Inner {
            executor: Executor::default(),
            entropy: Cell::new(seed),
            registry: RefCell::new(UpstreamRegistry::new(upstreams)),
            records: RefCell::default(),
            storage: RefCell::default(),
            deployed: RefCell::default(),
            warnings: RefCell::default(),
            events: RefCell::default(),
        }))
    }

    /// Deploys a configuration in JSON. Every secret exists; its value is its name.
    pub fn deploy(&self, document: &str) {
        document.clone_into(&mut self.0.deployed.borrow_mut());
    }

    /// Takes the events since the last call.
    pub fn take_events(&self) -> Vec<String> {
        self.0.events.take()
    }

    /// Takes the warnings since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        self.0.warnings.take()
    }

    /// Returns the executor with the virtual time.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// Returns all calls to upstreams, by upstream.
    pub fn calls(&self) -> BTreeMap<String, Vec<Call>> {
        self.0.registry.borrow().calls().clone()
    }

    /// Number of calls to upstreams in progress.
    pub fn open_calls(&self) -> usize {
        self.0.registry.borrow().open_calls()
    }

    /// Takes the records since the last call.
    pub fn take_records(&self) -> Vec<Value> {
        self.0.records.take()
    }

    /// Plays one request as a caller: waits for the response, reads it up to its end or the hang-up, and runs
    /// deferred tasks to their end.
    pub fn play(
        &self,
        answer: impl Future<Output = http::Response<Body>>,
        hang_up: HangUp,
    ) -> Result<Received, Stuck> {
        let received = self.executor().run(self.receive(answer, hang_up))?;
        self.executor().drain()?;
        Ok(received)
    }

    /// Caller's part of [`World::play`], for several concurrent callers.
    pub async fn receive(
        &self,
        answer: impl Future<Output = http::Response<Body>>,
        hang_up: HangUp,
    ) -> Received {
        let began = self.executor().now();
        let mut received = Received::default();
        let mut hang_up_timer = match hang_up {
            HangUp::After(duration) => Some(Box::pin(self.executor().sleep(duration))),
            HangUp::Never | HangUp::AfterEvents(_) | HangUp::AfterPieces(_) => None,
        };
        {
            let reading = caller::read(answer, hang_up, &mut received, || {
                self.executor().now().saturating_sub(began)
            });
            let mut reading = std::pin::pin!(reading);
            poll_fn(|cx| {
                // The request is polled first: it arrives even if the caller hangs up at once.
                if reading.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match &mut hang_up_timer {
                    Some(timer) => timer.as_mut().poll(cx),
                    None => Poll::Pending,
                }
            })
            .await;
        }
        received.took = self.executor().now().saturating_sub(began);
        received
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        START + self.executor().now()
    }

    fn entropy(&self) -> u64 {
        let (state, value) = splitmix64(self.0.entropy.get());
        self.0.entropy.set(state);
        value
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.executor().sleep(duration)
    }
}

impl Tasks for World {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        self.executor().spawn(task);
    }

    fn record(&self, record: &Record) {
        let record = serde_json::to_value(record).expect("a record has only plain members");
        self.0.records.borrow_mut().push(record);
    }

    fn warn(&self, line: &str) {
        self.0.warnings.borrow_mut().push(line.to_owned());
    }

    fn inform(&self, event: &str) {
        self.0.events.borrow_mut().push(event.to_owned());
    }
}

impl Settings for World {
    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        let document = Cow::Owned(self.0.deployed.borrow().clone());
        Ok(document)
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        Ok(Some(Secret::new(name)))
    }
}

impl HttpClient for World {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        let (mut head, body) = request.into_parts();
        let url = head.uri.to_string();
        // Every host adds this header. Signatures cover it.
        if let Some(host) = head.uri.authority().and_then(|host| host.as_str().parse().ok()) {
            head.headers.insert(http::header::HOST, host);
        }
        let Some((upstream, path)) = split_upstream_url(&url) else {
            return Err(HostError::new(format!("connection refused: {url}")));
        };
        let call = Call {
            method: head.method.to_string(),
            path: path.to_owned(),
            headers: head.headers,
            body,
            ended: Ended::Open,
        };
        let (id, plan) = self.0.registry.borrow_mut().begin_call(upstream, call);
        let mut tracked_call = ActiveCall::new(self.clone(), id);
        match plan {
            ResponsePlan::Refuse => {
                tracked_call.end(Ended::Refused);
                Err(HostError::new("connection refused"))
            }
            ResponsePlan::Silence => pending().await,
            ResponsePlan::Respond(response) => {
                if !response.delay.is_zero() {
                    self.executor().sleep(response.delay).await;
                }
                Ok(tracked_call.respond(response))
            }
        }
    }
}

/// Splits a URL into the upstream and the path after it.
fn split_upstream_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix(UPSTREAM)?.strip_prefix('/')?;
    Some(rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use gateway::host::body::Body;
    use gateway::host::{Clock, HttpClient};

    use crate::upstream::{Ended, Script, UpstreamSpec};

    use super::{CLOSED, HangUp, UPSTREAM, World};

    fn world(script: &str) -> World {
        let script: Script = toml::from_str(script).expect("a script");
        World::new(
            1,
            [("a".to_owned(), UpstreamSpec { script: vec![script], ..UpstreamSpec::default() })]
                .into(),
        )
    }

    async fn forward(world: World, base: &str) -> http::Response<Body> {
        let request = http::Request::post(format!("{base}/a/v1/chat/completions"));
        let body = Bytes::from_static(br#"{"model":"m","stream":true}"#);
        world.fetch(request.body(body).expect("a request")).await.unwrap_or_else(|error| {
            let mut refused = http::Response::new(Bytes::from(error.reason().to_owned()).into());
            *refused.status_mut() = http::StatusCode::BAD_GATEWAY;
            refused
        })
    }

    #[track_caller]
    fn assert_ended(script: &str, hang_up: HangUp, ended: Ended) -> (World, super::Received) {
        let world = world(script);
        let received = world.play(forward(world.clone(), UPSTREAM), hang_up).expect("it ends");
        let calls = world.calls();
        assert_eq!((calls["a"].len(), calls["a"][0].ended), (1, ended));
        assert_eq!((calls["a"][0].path.as_str(), world.open_calls()), ("/v1/chat/completions", 0));
        (world, received)
    }

    #[test]
    fn play_stream_with_gaps_returns_pieces_with_their_times() {
        let (world, received) =
            assert_ended("answer = 'a b'\ngap = '1s'", HangUp::Never, Ended::Completed);
        assert_eq!(received.pieces.len(), 5, "role, two words, finish, done");
        assert_eq!(received.pieces[4].0, Duration::from_secs(4));
        assert_eq!(world.now().as_millis() - 4_000, super::START.as_millis());
        assert!(received.is_whole);
    }

    #[test]
    fn play_with_each_kind_of_end_records_it() {
        let (_, cut) = assert_ended("cut_after = 1", HangUp::Never, Ended::Cut);
        assert_eq!(cut.broken.as_deref(), Some("connection reset by peer"));
        let (_, refused) = assert_ended("refuse = true", HangUp::Never, Ended::Refused);
        assert_eq!(refused.head.expect("a head").0, 502);
        assert_ended("hang = true", HangUp::After(Duration::from_secs(5)), Ended::Abandoned);
        let (world, _) = assert_ended(
            "stall_after = 1",
            HangUp::After(Duration::from_secs(5)),
            Ended::Abandoned,
        );
        assert_eq!(world.executor().now(), Duration::from_secs(5));
        let (_, some) =
            assert_ended("answer = 'a b c d'", HangUp::AfterEvents(2), Ended::Abandoned);
        assert_eq!(some.pieces.len(), 2);
        assert_ended("answer = 'a b c d'", HangUp::AfterPieces(7), Ended::Completed);
    }

    #[test]
    fn fetch_from_the_closed_base_is_refused() {
        let world = world("");
        let received = world.play(forward(world.clone(), CLOSED), HangUp::Never).expect("it ends");
        assert_eq!((received.head.expect("a head").0.as_u16(), world.calls().len()), (502, 0));
    }

    #[test]
    fn play_with_a_silent_upstream_and_no_timer_is_a_deadlock() {
        let world = world("hang = true");
        assert!(world.play(forward(world.clone(), UPSTREAM), HangUp::Never).is_err());
    }
}
