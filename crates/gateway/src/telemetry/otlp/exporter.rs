//! OTLP exporter: sends finished requests to a collector in the background, in batches, one at a
//! time, and retries while the collector is unavailable.
//!
//! [`crate::telemetry::otlp`] encodes the batches. Nothing is stored: an isolate that is killed
//! loses the requests that it has not sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Config, Otlp};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Uri};

use crate::host::futures::{join_all, timeout};
use crate::host::{GATEWAY_USER_AGENT, Host};
use crate::record::Record;
use crate::telemetry::otlp::{self, DeltaMetrics, TraceContext};

/// Time for which requests are collected before they are sent.
const BATCH_DELAY: Duration = Duration::from_secs(2);
/// A sender that runs longer counts as dead: a host stops work that outlives its request too long.
const MAX_WORK_TIME: Duration = Duration::from_secs(25);
/// Requests that may wait to become spans. Beyond it they are only counted.
const MAX_QUEUED_SPANS: usize = 2_048;
const MAX_SPANS_PER_BATCH: usize = 256;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_EXPORT_TRIES: u32 = 8;
/// Wait before the second try; it doubles, up to the maximum.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The longest wait that a collector may request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Bytes of a collector's response that are read, so that the host can reuse the connection.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Interval between warnings about lost data.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Queues of the exporter. They are kept when the configuration changes.
#[derive(Debug, Default)]
pub(crate) struct OtlpExporter {
    span_queue: RefCell<VecDeque<(Rc<TraceContext>, Box<Record>)>>,
    pending_metrics: RefCell<DeltaMetrics>,
    /// Requests whose spans were dropped since the last report.
    dropped: Cell<u64>,
    traces: SignalQueue,
    metrics: SignalQueue,
    working_since: Cell<Option<Timestamp>>,
}

/// Queue for one of a collector's two endpoints.
#[derive(Debug, Default)]
struct SignalQueue {
    /// The batch that is being sent, or is to be sent again.
    batch: RefCell<Option<Rc<Batch>>>,
    retry_at: Cell<Timestamp>,
    next_warning_at: Cell<Timestamp>,
}

#[derive(Debug)]
struct Batch {
    body: Bytes,
    /// Requests whose spans are in the batch.
    requests: u64,
    tries: Cell<u32>,
}

/// Result of sending a batch.
enum ExportResult {
    Accepted,
    /// The collector may accept it later.
    RetryAfter(Option<Duration>, String),
    Rejected(String),
}

impl OtlpExporter {
    /// Queues a finished request; `cost` is in billionths of a USD.
    pub(crate) fn enqueue<P: Host>(
        self: &Rc<Self>,
        config: &Rc<Config>,
        host: &P,
        mut record: Box<Record>,
        trace: Option<Rc<TraceContext>>,
        cost: u64,
    ) {
        let Some(otlp) = &config.observe.otlp else { return };
        if otlp.metrics {
            let max = config.observe.max_consumers;
            self.pending_metrics.borrow_mut().add(&record, cost, max);
        }
        let is_known = record.consumer.is_some();
        if let Some(trace) = trace.filter(|trace| trace.is_sampled(is_known)) {
            let mut waiting = self.span_queue.borrow_mut();
            if waiting.len() < MAX_QUEUED_SPANS {
                // Content is never exported.
                (record.prompt, record.answer) = (None, None);
                waiting.push_back((trace, record));
            } else {
                self.count_dropped(1);
            }
        }
        self.start_export(config, host);
    }

    fn start_export<P: Host>(self: &Rc<Self>, config: &Rc<Config>, host: &P) {
        let now = host.now();
        let busy = self.working_since.get();
        let is_idle = || self.is_empty() || self.next_send(now) > now + MAX_WORK_TIME;
        if busy.is_some_and(|since| now.since(since) < MAX_WORK_TIME) || is_idle() {
            return;
        }
        self.working_since.set(Some(now));
        let (exporter, config, task_host) = (Rc::clone(self), Rc::clone(config), host.clone());
        host.defer(async move {
            let ends = now + MAX_WORK_TIME;
            if let Some(otlp) = &config.observe.otlp {
                let mut wait = BATCH_DELAY;
                while task_host.now() + wait + EXPORT_TIMEOUT <= ends {
                    task_host.sleep(wait).await;
                    exporter.prepare_batches(otlp, &config, task_host.now());
                    let lanes =
                        [(&exporter.traces, TRACES_PATH), (&exporter.metrics, METRICS_PATH)];
                    let send = lanes
                        .map(|(queue, path)| exporter.send_batch(queue, otlp, path, &task_host));
                    join_all(send.into()).await;
                    if exporter.is_empty() {
                        break;
                    }
                    let turn = exporter.next_send(task_host.now());
                    let is_free = task_host.now() >= exporter.traces.retry_at.get();
                    let is_full =
                        is_free && exporter.span_queue.borrow().len() >= MAX_SPANS_PER_BATCH;
                    let least = if is_full { Duration::ZERO } else { BATCH_DELAY };
                    wait = turn.since(task_host.now()).max(least);
                }
            }
            exporter.working_since.set(None);
        });
    }

    /// Builds batches of the queued data where no earlier batch is pending.
    fn prepare_batches(&self, otlp: &Otlp, config: &Config, now: Timestamp) {
        let mut waiting = self.span_queue.borrow_mut();
        let mut traces = self.traces.batch.borrow_mut();
        if traces.is_none() && !waiting.is_empty() {
            let count = waiting.len().min(MAX_SPANS_PER_BATCH);
            let some: Vec<_> = waiting.drain(..count).collect();
            let requests = some.iter().map(|(trace, record)| (&**trace, &**record));
            let body = otlp::traces_body(&otlp.service, requests, |id| provider_host(config, id));
            *traces = Some(Batch::new(body, count as u64));
        }
        let (mut sums, mut metrics) =
            (self.pending_metrics.borrow_mut(), self.metrics.batch.borrow_mut());
        if otlp.metrics && metrics.is_none() {
            sums.add_dropped(self.dropped.take(), now);
            if !sums.is_empty() {
                *metrics = Some(Batch::new(sums.take_body(&otlp.service, now), 0));
            }
        }
    }

    /// Sends a queue's batch, if it has one that is due.
    async fn send_batch<P: Host>(
        &self,
        queue: &SignalQueue,
        otlp: &Otlp,
        path: &str,
        task_host: &P,
    ) {
        let batch = queue.batch.borrow().clone();
        let Some(batch) = batch.filter(|_| task_host.now() >= queue.retry_at.get()) else { return };
        batch.tries.set(batch.tries.get() + 1);
        let tries = batch.tries.get();
        let taken = post_batch(otlp, path, &batch.body, task_host);
        let late = || ExportResult::RetryAfter(None, "no response within the timeout".to_owned());
        let taken = timeout(task_host, EXPORT_TIMEOUT, taken).await.unwrap_or_else(late);
        let now = task_host.now();
        let lost = match taken {
            ExportResult::Accepted => None,
            ExportResult::RetryAfter(rest, reason) => {
                let backoff = (INITIAL_BACKOFF * (1 << tries.min(6)) / 2).min(MAX_BACKOFF);
                queue.retry_at.set(now + rest.unwrap_or(backoff).min(MAX_RETRY_AFTER));
                if tries < MAX_EXPORT_TRIES {
                    return;
                }
                Some(reason)
            }
            ExportResult::Rejected(reason) => Some(reason),
        };
        let mut held = queue.batch.borrow_mut();
        // Another sender may have replaced this one after its time was over, and finished earlier.
        if !held.as_ref().is_some_and(|held| Rc::ptr_eq(held, &batch)) {
            return;
        }
        *held = None;
        if let Some(reason) = lost {
            self.count_dropped(batch.requests);
            if now >= queue.next_warning_at.get() {
                queue.next_warning_at.set(now + WARNING_INTERVAL);
                task_host.warn(&format!("OTLP export to {path} failed: {reason}"));
            }
        }
    }

    fn count_dropped(&self, requests: u64) {
        self.dropped.set(self.dropped.get().saturating_add(requests));
    }

    /// Whether there is nothing to send.
    fn is_empty(&self) -> bool {
        self.span_queue.borrow().is_empty()
            && self.pending_metrics.borrow().is_empty()
            && self.traces.batch.borrow().is_none()
            && self.metrics.batch.borrow().is_none()
    }

    /// Time of the next possible send.
    fn next_send(&self, now: Timestamp) -> Timestamp {
        let has_spans =
            !self.span_queue.borrow().is_empty() || self.traces.batch.borrow().is_some();
        let has_sums =
            !self.pending_metrics.borrow().is_empty() || self.metrics.batch.borrow().is_some();
        let lanes = [(&self.traces, has_spans), (&self.metrics, has_sums)];
        let turns = lanes.into_iter().filter(|(_, has_some)| *has_some);
        turns.map(|(queue, _)| queue.retry_at.get()).min().unwrap_or(now)
    }
}

const TRACES_PATH: &str = "/v1/traces";
const METRICS_PATH: &str = "/v1/metrics";

impl Batch {
    fn new(body: Vec<u8>, requests: u64) -> Rc<Self> {
        Rc::new(Self { body: body.into(), requests, tries: Cell::new(0) })
    }
}

/// Sends a body to a collector and returns the result.
async fn post_batch<P: Host>(otlp: &Otlp, path: &str, body: &Bytes, task_host: &P) -> ExportResult {
    let mut request = http::Request::new(body.clone());
    *request.method_mut() = Method::POST;
    match format!("{}{path}", otlp.endpoint).parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return ExportResult::Rejected("its address is none".to_owned()),
    }
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, GATEWAY_USER_AGENT);
    for (name, secret) in &otlp.headers {
        if let Ok(mut value) = HeaderValue::try_from(secret.reveal()) {
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
    }
    let (head, body) = match task_host.fetch(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => return ExportResult::RetryAfter(None, error.reason().to_owned()),
    };
    // The status alone decides.
    let _ = body.collect(MAX_RESPONSE_BYTES).await;
    let reason = || format!("response status {}", head.status.as_u16());
    match head.status.as_u16() {
        200..=299 => ExportResult::Accepted,
        // The statuses that OTLP defines as retryable.
        429 | 502..=504 => {
            let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            ExportResult::RetryAfter(wait, reason())
        }
        _ => ExportResult::Rejected(reason()),
    }
}

/// Host of a provider's base URL.
fn provider_host(config: &Config, provider: &str) -> Option<String> {
    let provider = config.providers.iter().find(|other| other.id == provider)?;
    let uri: Uri = provider.base_url.parse().ok()?;
    uri.host().map(str::to_owned)
}
