//! Per-request scope: writes the log record and settles the reservation exactly once, on close or
//! drop.

use std::cell::RefCell;
use std::rc::Rc;

use civil_time::Timestamp;
use config::{ModelPrice, Route};
use http::StatusCode;
use openai::{Request, TextSize, Tokens, token_estimate};
use protocol::model::Protocol;

use crate::auth::caller::Caller;
use crate::host::Host;
use crate::limits::pricing;
use crate::limits::reservation::{Reservation, SettledUsage};
use crate::record::{Attempt, Outcome, Record, RecordedFindings, SkipReason};
use crate::telemetry::otlp::TraceContext;

use super::lost_attempts::{self, millis};
use super::record_sinks::RecordSinks;
use super::transcript::Transcript;

/// Callback with the complete record, before it is written.
pub(crate) type CloseCallback = Box<dyn FnOnce(&Record)>;

/// Changes to a record before it is written, from code that does not hold the scope.
pub(crate) type LateUpdates = Rc<RefCell<Vec<Box<dyn FnOnce(&mut Record)>>>>;

/// One request from its arrival to its last byte: its record and its reservation.
///
/// The record is written and the reservation settled exactly once: when the scope is closed, or
/// when it is dropped, which means that the caller hung up.
pub(crate) struct RequestScope<P: Host> {
    record: Box<Record>,
    reservation: Option<Reservation<P>>,
    /// Price of the target that was called last.
    price: Option<ModelPrice>,
    /// Response headers that earlier steps have set.
    headers: Vec<(&'static str, String)>,
    trace: Option<Rc<TraceContext>>,
    transcript: Option<Rc<Transcript>>,
    /// Tokens and cost of the part of the answer before a continuation.
    earlier_part: Option<(Tokens, Option<u64>)>,
    on_close: Option<CloseCallback>,
    late_updates: Option<LateUpdates>,
    sinks: RecordSinks,
    host: P,
    began: Timestamp,
    /// End for the caller, if the scope is kept open after it.
    ended: Option<Timestamp>,
}

impl<P: Host> RequestScope<P> {
    /// Opens the scope of a request that arrives now. `trace` is `None` if no traces are exported.
    pub(crate) fn open(
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
            ended: None,
        }
    }

    pub(crate) fn host(&self) -> &P {
        &self.host
    }

    /// Time of the request's arrival.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The request's trace context. `None` if no traces are exported.
    pub(crate) fn trace(&self) -> Option<&Rc<TraceContext>> {
        self.trace.as_ref()
    }

    /// Captures prompt and answer for the record. `None` if the route does not log content.
    pub(crate) fn transcript(&self) -> Option<&Rc<Transcript>> {
        self.transcript.as_ref()
    }

    /// Response headers that earlier steps have set.
    pub(crate) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The cap that a hard limit puts on each choice of the answer, in tokens. `None` without one.
    pub(crate) fn max_output_tokens(&self) -> Option<u64> {
        self.reservation.as_ref().and_then(Reservation::max_output_tokens)
    }

    /// Records the caller and the operation.
    pub(crate) fn authenticated(&mut self, caller: &Caller<'_>, operation: &'static str) {
        self.record.consumer = Some(caller.id().to_owned());
        self.record.group = caller.group().map(str::to_owned);
        self.record.key_source = caller.key_source();
        self.record.key_id = caller.key_id().map(str::to_owned);
        self.record.operation = Some(operation);
    }

    /// Records the model that the request names, and its protocol.
    pub(crate) fn parsed(&mut self, request: &Request, protocol: Protocol) {
        self.record.model = Some(request.model.clone());
        self.record.stream = request.stream;
        self.record.protocol = Some(protocol.id()).filter(|_| protocol != Protocol::Chat);
        self.record.user.clone_from(&request.user);
    }

    /// Records the members that a translation left out, and reports them to the caller.
    pub(crate) fn shed(&mut self, paths: &[String]) {
        if !paths.is_empty() {
            self.set_header("x-serin-shed", paths.join(", "));
            self.record.shed = paths.to_vec();
        }
    }

    /// Records the route. `is_named`: a route names exactly this model.
    pub(crate) fn routed(&mut self, route: &Route, is_named: bool) {
        self.record.route = Some(route.id.clone());
        self.record.is_model_configured = is_named;
    }

    /// Captures prompt and answer for the record.
    pub(crate) fn capture(&mut self, transcript: Transcript) {
        self.transcript = Some(Rc::new(transcript));
    }

    /// Adds a header to the response.
    pub(crate) fn set_header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }

    /// Replaces all response headers that earlier steps have set.
    pub(crate) fn replace_headers(&mut self, headers: Vec<(&'static str, String)>) {
        self.headers = headers;
    }

    /// Records the result of the cache lookup. `None` if the route has no cache.
    pub(crate) fn looked_up(&mut self, cache: Option<&'static str>) {
        self.record.cache = cache;
    }

    /// Records the limit that refuses the request, or that makes it use a fallback. `None` if no
    /// limit does.
    pub(crate) fn limited_by(&mut self, limit: Option<String>) {
        self.record.limited_by = limit;
    }

    /// Takes over a reservation, which is settled with the scope. `None` if no limit applies.
    pub(crate) fn reserved(&mut self, reservation: Option<Reservation<P>>) {
        let Some(mut reservation) = reservation else { return };
        self.headers.extend(reservation.take_headers());
        self.record.near_limits = reservation.take_near_limits();
        self.record.ledger_unavailable = reservation.ledger_unavailable();
        self.reservation = Some(reservation);
    }

    /// Sets the price of the tokens that follow. `None` if the price is unknown.
    pub(crate) fn priced(&mut self, price: Option<ModelPrice>) {
        self.price = price;
    }

    /// Records the findings of guards.
    pub(crate) fn found(&mut self, findings: RecordedFindings) {
        findings.write_to(&mut self.record);
    }

    /// Records the guard that blocks the request or its answer.
    pub(crate) fn blocked_by(&mut self, guard: &str) {
        self.record.blocked_by = Some(guard.to_owned());
    }

    /// Records the start of an attempt at a target with this price. Returns its index.
    pub(crate) fn attempt_started(
        &mut self,
        attempt: Attempt,
        price: Option<ModelPrice>,
        prompt: TextSize,
    ) -> usize {
        let prompt_tokens = token_estimate::estimate_tokens(prompt);
        self.record.attempts.push(Attempt { price, prompt_tokens, ..attempt });
        self.price = price;
        self.record.attempts.len() - 1
    }

    /// Records the outcome of an attempt.
    pub(crate) fn attempt_finished(
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

    /// Records that an attempt's answer was converted to the form that the caller asked for.
    pub(crate) fn attempt_converted(&mut self, number: usize, converted: Option<&'static str>) {
        if let Some(attempt) = self.record.attempts.get_mut(number) {
            attempt.converted = converted;
        }
    }

    /// Records a target of the plan that was skipped during its cool-down.
    pub(crate) fn skipped(&mut self, target: String, reason: SkipReason) {
        if self.record.attempts.is_empty() {
            self.record.cooling_down_target.get_or_insert_with(|| target.clone());
        }
        self.passed_over(target, reason);
    }

    /// Records a target that was passed over, once.
    pub(crate) fn passed_over(&mut self, target: String, reason: SkipReason) {
        self.record.pass_over(target, reason);
    }

    /// Clears the skipped target, because no other one was called instead.
    pub(crate) fn skipped_none(&mut self) {
        self.record.cooling_down_target = None;
    }

    /// Records that the request is too long to be sent again.
    pub(crate) fn not_replayed(&mut self) {
        self.record.not_replayed = true;
    }

    /// Records the target whose answer the caller gets.
    pub(crate) fn answered_by(&mut self, target: String) {
        self.record.target = Some(target);
    }

    /// Records that another target continues the stream.
    pub(crate) fn continued(&mut self) {
        self.record.continued = true;
    }

    /// Records the time of the first content.
    pub(crate) fn first_token(&mut self) {
        self.record.first_token_ms.get_or_insert(millis(self.host.now().since(self.began)));
    }

    /// Records the tokens of the answer, or of its part since the last [`Self::split_usage`].
    pub(crate) fn spent(&mut self, tokens: Tokens) {
        self.record.tokens = tokens;
    }

    /// Charges the answer so far at its target's price; the tokens that follow have a price of
    /// their own.
    pub(crate) fn split_usage(&mut self, tokens: Tokens) {
        self.record.tokens = Tokens::default();
        self.earlier_part =
            Some((tokens, self.price.map(|price| pricing::cost_billionths(tokens, price))));
    }

    /// Records the status of the response, and the code of its error.
    pub(crate) fn responded(&mut self, status: StatusCode, error: Option<&'static str>) {
        self.record.status = Some(status.as_u16());
        self.record.error = error;
    }

    /// Records the code of the error that ends a stream.
    pub(crate) fn broke_off(&mut self, error: &'static str) {
        self.record.error = Some(error);
    }

    /// Changes the record for a step that holds the scope only in part.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record);
    }

    /// Registers a callback with the complete record, before it is written.
    pub(crate) fn on_close(&mut self, call: CloseCallback) {
        self.on_close = Some(call);
    }

    /// Lets other code change the record while the scope is in use elsewhere.
    pub(crate) fn late_updates(&mut self) -> LateUpdates {
        Rc::clone(self.late_updates.get_or_insert_default())
    }

    /// Records that the caller has left, while the scope stays open for the usage.
    pub(crate) fn caller_left(&mut self) {
        self.ended = Some(self.host.now());
    }

    /// Closes the scope.
    pub(crate) fn close(mut self, outcome: Outcome) {
        self.record.outcome = outcome;
        // `Drop` writes and settles.
    }
}

impl<P: Host> Drop for RequestScope<P> {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(|| self.host.now());
        self.record.total_ms = millis(now.since(self.began));
        for update in self.late_updates.take().map(|updates| updates.take()).unwrap_or_default() {
            update(&mut self.record);
        }
        let record = &mut self.record;
        record.add_hidden_thinking();
        let mut cost = self.price.map(|price| pricing::cost_billionths(record.tokens, price));
        if let Some((tokens, earlier)) = self.earlier_part.take() {
            record.tokens = record.tokens.plus(tokens);
            cost = earlier.map_or(cost, |earlier| Some(cost.unwrap_or(0).saturating_add(earlier)));
        }
        if let Some(lost) = lost_attempts::charge(record, now) {
            cost = Some(cost.unwrap_or(0).saturating_add(lost));
        }
        let record = &mut self.record;
        record.cost_usd = cost.map(|cost| cost as f64 / 1e9);
        if let Some(reservation) = self.reservation.take() {
            let served = record.may_be_billed();
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            reservation.settle(SettledUsage { served, tokens, cost: cost.unwrap_or(0) });
        }
        let cost = cost.unwrap_or(0);
        self.sinks.count_usage(&self.host, record, cost);
        if let Some(callback) = self.on_close.take() {
            callback(record);
        }
        let record = std::mem::take(&mut self.record);
        let trace = self.trace.take();
        match self.transcript.take() {
            None => {
                self.sinks.write_record(&self.host, record, trace, cost);
            }
            // Masking takes time, and the last bytes wait for this method, so it runs in the
            // background.
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
