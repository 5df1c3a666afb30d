//! A request's books: its record and its reservation, closed in one moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Price, Route};
use http::StatusCode;
use openai::{Request, TextSize, Tokens};

use crate::auth::caller::Caller;
use crate::host::Host;
use crate::limits::pricing;
use crate::limits::reservation::{Reservation, SettledUsage};
use crate::record::{ABANDONED, Attempt, Outcome, Record, RecordedFindings};
use crate::telemetry::otlp::TraceContext;

use super::record_sinks::RecordSinks;
use super::transcript::Transcript;

/// Whoever is told of a record when it is written.
pub type CloseCallback = Box<dyn FnOnce(&Record)>;

/// What is to be noted in a record before it is written, by those who do not hold it.
pub type LateUpdates = Rc<RefCell<Vec<Box<dyn FnOnce(&mut Record)>>>>;

/// One request from its arrival to its last byte: its record and what is reserved for it.
///
/// The record is written and the reservation settled exactly once: when the scope is closed, or when
/// it is dropped, which means that the caller hung up.
pub struct RequestScope<P: Host> {
    record: Box<Record>,
    reservation: Option<Reservation<P>>,
    /// The price of the target that was called last.
    price: Option<Price>,
    /// Headers of the answer that steps before it have set.
    headers: Vec<(&'static str, String)>,
    trace: Option<Rc<TraceContext>>,
    transcript: Option<Rc<Transcript>>,
    /// Tokens and cost of the part of the answer that came before a continuation.
    earlier_part: Option<(Tokens, Option<u64>)>,
    on_close: Option<CloseCallback>,
    late_updates: Option<LateUpdates>,
    sinks: RecordSinks,
    host: P,
    began: Timestamp,
}

impl<P: Host> RequestScope<P> {
    /// Opens the scope of a request that arrives now. `trace` is `None` if no traces are exported.
    pub fn open(
        sinks: RecordSinks,
        task_host: P,
        id: String,
        trace: Option<Rc<TraceContext>>,
    ) -> Self {
        let began = task_host.now();
        let record = Record { event: "request", id, at_ms: began.as_millis(), ..Record::default() };
        Self {
            record: Box::new(record),
            reservation: None,
            price: None,
            headers: Vec::new(),
            trace,
            transcript: None,
            earlier_part: None,
            on_close: None,
            late_updates: None,
            sinks,
            host: task_host,
            began,
        }
    }

    /// The host.
    pub fn host(&self) -> &P {
        &self.host
    }

    /// When the request arrived.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// The record so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The request's place in a trace. `None` if no traces are exported.
    pub fn trace(&self) -> Option<&Rc<TraceContext>> {
        self.trace.as_ref()
    }

    /// Captures prompt and answer for the record. `None` if the route does not log content.
    pub fn transcript(&self) -> Option<&Rc<Transcript>> {
        self.transcript.as_ref()
    }

    /// Headers that steps before the answer have set.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The cap that a hard limit puts on each choice of the answer, in tokens. `None` without one.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.reservation.as_ref().and_then(Reservation::max_output_tokens)
    }

    /// Records who calls, and which operation.
    pub fn authenticated(&mut self, caller: &Caller<'_>, operation: &'static str) {
        self.record.consumer = Some(caller.id().to_owned());
        self.record.group = caller.group().map(str::to_owned);
        self.record.operation = Some(operation);
    }

    /// Records which model the request names.
    pub fn parsed(&mut self, request: &Request) {
        self.record.model = Some(request.model.clone());
        self.record.stream = request.stream;
    }

    /// Records the route. `is_named`: a route names this very model.
    pub fn routed(&mut self, route: &Route, is_named: bool) {
        self.record.route = Some(route.id.clone());
        self.record.is_model_configured = is_named;
    }

    /// Has prompt and answer captured for the record.
    pub fn capture(&mut self, transcript: Transcript) {
        self.transcript = Some(Rc::new(transcript));
    }

    /// Adds a header to the answer.
    pub fn set_header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }

    /// Replaces all headers that steps before the answer have set.
    pub fn replace_headers(&mut self, headers: Vec<(&'static str, String)>) {
        self.headers = headers;
    }

    /// Records what the cache had. `None` if the route has no cache.
    pub fn looked_up(&mut self, cache: Option<&'static str>) {
        self.record.cache = cache;
    }

    /// Records the limit that refuses the request, or that sends it to a fallback. `None` if no limit
    /// does.
    pub fn limited_by(&mut self, limit: Option<String>) {
        self.record.limited_by = limit;
    }

    /// Takes over a reservation, which is settled with the scope. `None` if no limit applies.
    pub fn reserved(&mut self, reservation: Option<Reservation<P>>) {
        let Some(mut reservation) = reservation else { return };
        self.headers.extend(reservation.take_headers());
        self.record.ledger_unavailable = reservation.ledger_unavailable();
        self.reservation = Some(reservation);
    }

    /// Charges what follows at this price. `None` if the price is not known.
    pub fn priced(&mut self, price: Option<Price>) {
        self.price = price;
    }

    /// Records what guards have found.
    pub fn found(&mut self, notes: RecordedFindings) {
        notes.write_to(&mut self.record);
    }

    /// Records the guard that blocks the request or its answer.
    pub fn blocked_by(&mut self, guard: &str) {
        self.record.blocked_by = Some(guard.to_owned());
    }

    /// Records an attempt that begins, to a target of this price. Returns its index.
    pub fn attempt_started(&mut self, attempt: Attempt, price: Option<Price>) -> usize {
        self.record.attempts.push(attempt);
        self.price = price;
        self.record.attempts.len() - 1
    }

    /// Records how an attempt ended.
    pub fn attempt_finished(
        &mut self,
        number: usize,
        result: &'static str,
        status: Option<StatusCode>,
        detail: Option<String>,
    ) {
        let now = self.host.now();
        if let Some(attempt) = self.record.attempts.get_mut(number) {
            attempt.result = result;
            attempt.status = status.map(|status| status.as_u16());
            attempt.detail = detail;
            attempt.ms = millis(now.since(attempt.began));
        }
    }

    /// Records a target that was skipped during its cool-down, if it is the first one.
    pub fn skipped(&mut self, target: impl FnOnce() -> String) {
        if self.record.attempts.is_empty() {
            self.record.cooling_down_target.get_or_insert_with(target);
        }
    }

    /// Forgets the skipped target: no other one was called instead.
    pub fn skipped_none(&mut self) {
        self.record.cooling_down_target = None;
    }

    /// Records that the request is too long to be sent again.
    pub fn not_replayed(&mut self) {
        self.record.not_replayed = true;
    }

    /// Records the target whose answer the caller gets.
    pub fn answered_by(&mut self, target: String) {
        self.record.target = Some(target);
    }

    /// Records that another target continues the stream.
    pub fn continued(&mut self) {
        self.record.continued = true;
    }

    /// Records the first content, unless there was some before.
    pub fn first_token(&mut self) {
        self.record.first_token_ms.get_or_insert(millis(self.host.now().since(self.began)));
    }

    /// Records the tokens of the answer, or of its part since the last [`Self::split_usage`].
    pub fn spent(&mut self, tokens: Tokens) {
        self.record.tokens = tokens;
    }

    /// Charges the answer so far at its target's price; what follows has a price of its own.
    pub fn split_usage(&mut self, tokens: Tokens) {
        self.record.tokens = Tokens::default();
        self.earlier_part =
            Some((tokens, self.price.map(|price| pricing::cost_billionths(tokens, price))));
    }

    /// Records the status that the caller gets, and the code of the error if it is one.
    pub fn responded(&mut self, status: StatusCode, error: Option<&'static str>) {
        self.record.status = Some(status.as_u16());
        self.record.error = error;
    }

    /// Records the code of the error that ends a stream.
    pub fn broke_off(&mut self, error: &'static str) {
        self.record.error = Some(error);
    }

    /// Changes the record on behalf of a step that holds the scope only in part.
    pub fn update(&mut self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record);
    }

    /// Calls back once the record is complete, before it is written.
    pub fn on_close(&mut self, call: CloseCallback) {
        self.on_close = Some(call);
    }

    /// Lets another owner change the record although the scope is in use elsewhere.
    pub fn late_updates(&mut self) -> LateUpdates {
        Rc::clone(self.late_updates.get_or_insert_default())
    }

    /// Closes the scope.
    pub fn close(mut self, outcome: Outcome) {
        self.record.outcome = outcome;
        // `Drop` writes and settles.
    }

    /// Notes calls that the caller did not wait for. An upstream has the prompt and may bill it, so
    /// what is known of it is charged, once.
    fn record_abandoned_attempts(&mut self, now: Timestamp) {
        let open = |attempt: &&mut Attempt| attempt.result == ABANDONED;
        let open = self.record.attempts.iter_mut().filter(open);
        if open.map(|attempt| attempt.ms = millis(now.since(attempt.began))).count() == 0 {
            return;
        }
        if let Some(reservation) = &self.reservation {
            self.record.tokens = Tokens::from_usage_or_estimate(
                None,
                reservation.prompt_size(),
                TextSize::default(),
            );
        }
    }
}

impl<P: Host> Drop for RequestScope<P> {
    fn drop(&mut self) {
        let now = self.host.now();
        self.record.total_ms = millis(now.since(self.began));
        for note in self.late_updates.take().map(|notes| notes.take()).unwrap_or_default() {
            note(&mut self.record);
        }
        self.record_abandoned_attempts(now);
        let record = &mut self.record;
        let mut cost = self.price.map(|price| pricing::cost_billionths(record.tokens, price));
        if let Some((tokens, earlier)) = self.earlier_part.take() {
            record.tokens = record.tokens.plus(tokens);
            cost = earlier.map_or(cost, |earlier| Some(cost.unwrap_or(0).saturating_add(earlier)));
        }
        record.cost_usd = cost.map(|cost| cost as f64 / 1e9);
        if let Some(reservation) = self.reservation.take() {
            // Whoever got no answer pays nothing.
            let served = match record.outcome {
                // Whoever asks for what is blocked has had an answer, and its provider one to bill.
                Outcome::Answered | Outcome::Truncated | Outcome::Blocked => true,
                Outcome::HungUp => record.attempts.iter().any(Attempt::may_cost),
                Outcome::Refused | Outcome::Failed => false,
            };
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            reservation.settle(SettledUsage { served, tokens, cost: cost.unwrap_or(0) });
        }
        let cost = cost.unwrap_or(0);
        self.sinks.count_usage(&self.host, record, cost);
        if let Some(tell) = self.on_close.take() {
            tell(record);
        }
        let record = std::mem::take(&mut self.record);
        let trace = self.trace.take();
        match self.transcript.take() {
            None => {
                self.sinks.write_record(&self.host, record, trace, cost);
            }
            // To look for what must be masked takes a while, and the last bytes wait for this.
            Some(transcript) => {
                let (sinks, task_host) = (self.sinks.clone(), self.host.clone());
                self.host.defer(async move {
                    let (prompt, answer) = (transcript.question(), transcript.answer());
                    let record = Box::new(Record { prompt, answer, ..*record });
                    sinks.write_record(&task_host, record, trace, cost);
                });
            }
        }
    }
}

impl<P: Host> std::fmt::Debug for RequestScope<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestScope").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Whole milliseconds of a duration.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
