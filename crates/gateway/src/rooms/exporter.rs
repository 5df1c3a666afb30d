//! Sends what is known of past requests to a collector, off anybody's path: in batches, one at a time,
//! and again while the collector cannot take them.
//!
//! What is sent is encoded in [`crate::otlp`]. Nothing is written down: an isolate that is killed loses
//! what it had not sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Uri};

use crate::config::{Config, Otlp};
use crate::observe::Record;
use crate::otlp::{self, Sums, Trace};
use crate::platform::{AGENT, Platform};
use crate::time::Timestamp;

use super::futures::{join, within};

/// How long requests are gathered before they are sent.
const GATHER: Duration = Duration::from_secs(2);
/// After so long, whoever sends is taken for dead: a host stops what outlives its request too long.
const LONGEST_WORK: Duration = Duration::from_secs(25);
/// How many requests may wait to become spans; of what comes on top only the number is told.
const MOST_WAITING: usize = 2_048;
/// How many of them one call takes along.
const MOST_AT_ONCE: usize = 256;
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a batch is sent that the collector cannot take.
const TRIES: u32 = 8;
/// The wait before the second time; it doubles, up to the longest.
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest wait that a collector may ask for.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// So much of a collector's answer is read, so that the host can use the connection again.
const LONGEST_ANSWER: usize = 64 << 10;
/// How often people are told that something was lost.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// What waits to be sent. It goes from one configuration to the next.
#[derive(Debug, Default)]
pub struct Exporter {
    waiting: RefCell<VecDeque<(Rc<Trace>, Box<Record>)>>,
    sums: RefCell<Sums>,
    /// Requests whose spans were lost, since that was told last.
    dropped: Cell<u64>,
    traces: Lane,
    metrics: Lane,
    working_since: Cell<Option<Timestamp>>,
}

/// One of the two addresses of a collector.
#[derive(Debug, Default)]
struct Lane {
    /// What is under way, or is to be sent again.
    parcel: RefCell<Option<Rc<Parcel>>>,
    rests_until: Cell<Timestamp>,
    silent_until: Cell<Timestamp>,
}

#[derive(Debug)]
struct Parcel {
    body: Bytes,
    /// How many requests' spans are in it.
    requests: u64,
    tries: Cell<u32>,
}

/// What a collector makes of a parcel.
enum Taken {
    Well,
    /// It may take it later.
    Later(Option<Duration>, String),
    Never(String),
}

impl Exporter {
    /// Notes a request that is over; `cost` is in billionths of a USD.
    pub(crate) fn note<P: Platform>(
        self: &Rc<Self>,
        config: &Rc<Config>,
        platform: &P,
        mut record: Box<Record>,
        trace: Option<Rc<Trace>>,
        cost: u64,
    ) {
        let Some(otlp) = &config.observe.otlp else { return };
        if otlp.metrics {
            let most = config.observe.max_consumers;
            self.sums.borrow_mut().add(&record, cost, most);
        }
        let is_known = record.consumer.is_some();
        if let Some(trace) = trace.filter(|trace| trace.is_recorded(is_known)) {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() < MOST_WAITING {
                // A collector is told no content.
                (record.prompt, record.answer) = (None, None);
                waiting.push_back((trace, record));
            } else {
                self.lose(1);
            }
        }
        self.work(config, platform);
    }

    fn work<P: Platform>(self: &Rc<Self>, config: &Rc<Config>, platform: &P) {
        let now = platform.now();
        let busy = self.working_since.get();
        let is_idle = || self.is_empty() || self.next_turn(now) > now + LONGEST_WORK;
        if busy.is_some_and(|since| now.since(since) < LONGEST_WORK) || is_idle() {
            return;
        }
        self.working_since.set(Some(now));
        let (exporter, config, host) = (Rc::clone(self), Rc::clone(config), platform.clone());
        platform.defer(async move {
            let ends = now + LONGEST_WORK;
            if let Some(otlp) = &config.observe.otlp {
                let mut wait = GATHER;
                while host.now() + wait + PATIENCE <= ends {
                    host.sleep(wait).await;
                    exporter.prepare(otlp, &config, host.now());
                    let lanes = [(&exporter.traces, TRACES), (&exporter.metrics, METRICS)];
                    let send = lanes.map(|(lane, path)| exporter.send(lane, otlp, path, &host));
                    join(send.into()).await;
                    if exporter.is_empty() {
                        break;
                    }
                    let turn = exporter.next_turn(host.now());
                    let is_free = host.now() >= exporter.traces.rests_until.get();
                    let is_full = is_free && exporter.waiting.borrow().len() >= MOST_AT_ONCE;
                    let least = if is_full { Duration::ZERO } else { GATHER };
                    wait = turn.since(host.now()).max(least);
                }
            }
            exporter.working_since.set(None);
        });
    }

    /// Makes parcels of what waits, where the one before is out of the way.
    fn prepare(&self, otlp: &Otlp, config: &Config, now: Timestamp) {
        let mut waiting = self.waiting.borrow_mut();
        let mut traces = self.traces.parcel.borrow_mut();
        if traces.is_none() && !waiting.is_empty() {
            let count = waiting.len().min(MOST_AT_ONCE);
            let some: Vec<_> = waiting.drain(..count).collect();
            let requests = some.iter().map(|(trace, record)| (&**trace, &**record));
            let body = otlp::traces(&otlp.service, requests, |id| host_of(config, id));
            *traces = Some(Parcel::new(body, count as u64));
        }
        let (mut sums, mut metrics) = (self.sums.borrow_mut(), self.metrics.parcel.borrow_mut());
        if otlp.metrics && metrics.is_none() {
            sums.dropped(self.dropped.take(), now);
            if !sums.is_empty() {
                *metrics = Some(Parcel::new(sums.take(&otlp.service, now), 0));
            }
        }
    }

    /// Sends a lane's parcel, if it has one and does not rest.
    async fn send<P: Platform>(&self, lane: &Lane, otlp: &Otlp, path: &str, host: &P) {
        let parcel = lane.parcel.borrow().clone();
        let Some(parcel) = parcel.filter(|_| host.now() >= lane.rests_until.get()) else { return };
        parcel.tries.set(parcel.tries.get() + 1);
        let tries = parcel.tries.get();
        let taken = post(otlp, path, &parcel.body, host);
        let late = || Taken::Later(None, "it did not answer in time".to_owned());
        let taken = within(host, PATIENCE, taken).await.unwrap_or_else(late);
        let now = host.now();
        let lost = match taken {
            Taken::Well => None,
            Taken::Later(rest, reason) => {
                let backoff = (BACKOFF * (1 << tries.min(6)) / 2).min(LONGEST_BACKOFF);
                lane.rests_until.set(now + rest.unwrap_or(backoff).min(LONGEST_REST));
                if tries < TRIES {
                    return;
                }
                Some(reason)
            }
            Taken::Never(reason) => Some(reason),
        };
        let mut held = lane.parcel.borrow_mut();
        // Another sender, who took this one for dead, may have been faster.
        if !held.as_ref().is_some_and(|held| Rc::ptr_eq(held, &parcel)) {
            return;
        }
        *held = None;
        if let Some(reason) = lost {
            self.lose(parcel.requests);
            if now >= lane.silent_until.get() {
                lane.silent_until.set(now + BETWEEN_WARNINGS);
                host.warn(&format!("the collector has not taken {path}: {reason}"));
            }
        }
    }

    fn lose(&self, requests: u64) {
        self.dropped.set(self.dropped.get().saturating_add(requests));
    }

    /// Whether there is nothing to send.
    fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
            && self.sums.borrow().is_empty()
            && self.traces.parcel.borrow().is_none()
            && self.metrics.parcel.borrow().is_none()
    }

    /// When something may be sent again.
    fn next_turn(&self, now: Timestamp) -> Timestamp {
        let has_spans = !self.waiting.borrow().is_empty() || self.traces.parcel.borrow().is_some();
        let has_sums = !self.sums.borrow().is_empty() || self.metrics.parcel.borrow().is_some();
        let lanes = [(&self.traces, has_spans), (&self.metrics, has_sums)];
        let turns = lanes.into_iter().filter(|(_, has_some)| *has_some);
        turns.map(|(lane, _)| lane.rests_until.get()).min().unwrap_or(now)
    }
}

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

impl Parcel {
    fn new(body: Vec<u8>, requests: u64) -> Rc<Self> {
        Rc::new(Self { body: body.into(), requests, tries: Cell::new(0) })
    }
}

/// Sends a body to a collector, and hears what becomes of it.
async fn post<P: Platform>(otlp: &Otlp, path: &str, body: &Bytes, host: &P) -> Taken {
    let mut request = http::Request::new(body.clone());
    *request.method_mut() = Method::POST;
    match format!("{}{path}", otlp.endpoint).parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return Taken::Never("its address is none".to_owned()),
    }
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, AGENT);
    for (name, secret) in &otlp.headers {
        if let Ok(mut value) = HeaderValue::try_from(secret.reveal()) {
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
    }
    let (head, body) = match host.fetch(request).await {
        Ok(response) => response.into_parts(),
        Err(outage) => return Taken::Later(None, outage.reason().to_owned()),
    };
    // Whatever it says, its status has said it.
    let _ = body.collect(LONGEST_ANSWER).await;
    let said = || format!("it answered {}", head.status.as_u16());
    match head.status.as_u16() {
        200..=299 => Taken::Well,
        // The ones that OTLP calls retryable.
        429 | 502..=504 => {
            let rest = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let rest = rest.and_then(|rest| rest.trim().parse().ok()).map(Duration::from_secs);
            Taken::Later(rest, said())
        }
        _ => Taken::Never(said()),
    }
}

/// The host of a provider's address.
fn host_of(config: &Config, provider: &str) -> Option<String> {
    let provider = config.providers.iter().find(|other| other.id == provider)?;
    let uri: Uri = provider.base_url.parse().ok()?;
    uri.host().map(str::to_owned)
}
