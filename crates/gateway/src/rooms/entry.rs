//! A request's books: its record and its reservation, closed in one moment.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use openai::Weight;

use crate::config::Price;
use crate::gateway::Gateway;
use crate::observe::{ABANDONED, Attempt, Outcome, Record, Tokens};
use crate::platform::Platform;
use crate::policy::limits;
use crate::time::Timestamp;

use super::reserve::{Reservation, Spent};
use super::tee::Keep;

/// Whoever is told of a record when it is written.
pub type OnClose = Box<dyn FnOnce(&Record)>;

/// A record in the making, with what is reserved for the request. Both are closed exactly once: when
/// the entry is closed, or when it is dropped, which means that the caller went away.
pub struct Entry<P: Platform> {
    /// What is known so far.
    pub record: Box<Record>,
    /// What is reserved; it is settled with the entry.
    pub reservation: Option<Reservation<P>>,
    /// What the target that was called last costs.
    pub price: Option<Price>,
    /// Headers that tell a limited caller how it stands.
    pub headers: Vec<(&'static str, String)>,
    /// What is to be kept of the answer.
    pub keep: Keep,
    /// Told of the record when it is written.
    pub on_close: Option<OnClose>,
    gateway: Rc<Gateway>,
    platform: P,
    began: Timestamp,
}

impl<P: Platform> Entry<P> {
    /// Opens the books of a request that arrives now.
    pub fn open(gateway: Rc<Gateway>, platform: P, id: String) -> Self {
        let began = platform.now();
        let record = Record { event: "request", id, at_ms: began.as_millis(), ..Record::default() };
        Self {
            record: Box::new(record),
            reservation: None,
            price: None,
            headers: Vec::new(),
            keep: Keep::default(),
            on_close: None,
            gateway,
            platform,
            began,
        }
    }

    /// When the request arrived.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Takes what is reserved into the books; `None`: no limit concerns the request.
    pub fn hold(&mut self, reservation: Option<Reservation<P>>) {
        let Some(mut reservation) = reservation else { return };
        self.headers.extend(reservation.take_headers());
        self.record.ledger_away = reservation.ledger_away();
        self.reservation = Some(reservation);
    }

    /// Notes that the first content is there.
    pub fn first_token(&mut self) {
        self.record.first_token_ms.get_or_insert(millis(self.platform.now().since(self.began)));
    }

    /// Notes that a call begins, to a target of this price.
    pub fn begin(&mut self, attempt: Attempt, price: Option<Price>) {
        self.record.attempts.push(attempt);
        self.price = price;
    }

    /// Notes how the call ended that began last.
    pub fn end(
        &mut self,
        result: &'static str,
        status: Option<StatusCode>,
        detail: Option<String>,
    ) {
        let now = self.platform.now();
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.result = result;
            attempt.status = status.map(|status| status.as_u16());
            attempt.detail = detail;
            attempt.ms = millis(now.since(attempt.began));
        }
    }

    /// Closes the books.
    pub fn close(mut self, outcome: Outcome) {
        self.record.outcome = outcome;
        // `Drop` writes and settles.
    }

    /// Notes a call that the caller did not wait for. The upstream has the prompt and may bill it,
    /// so what is known of it is charged.
    fn abandon(&mut self, now: Timestamp) {
        let last = self.record.attempts.last_mut();
        let Some(attempt) = last.filter(|attempt| attempt.result == ABANDONED) else { return };
        attempt.ms = millis(now.since(attempt.began));
        if let Some(reservation) = &self.reservation {
            self.record.tokens = Tokens::count(None, reservation.prompt(), Weight::default());
        }
    }
}

impl<P: Platform> Drop for Entry<P> {
    fn drop(&mut self) {
        let now = self.platform.now();
        self.record.total_ms = millis(now.since(self.began));
        self.abandon(now);
        let record = &mut self.record;
        let cost = self.price.map(|price| limits::cost(record.tokens, price));
        record.cost_usd = cost.map(|cost| cost as f64 / 1e9);
        if let Some(reservation) = self.reservation.take() {
            // Whoever got no answer pays nothing.
            let served = match record.outcome {
                Outcome::Answered | Outcome::Truncated => true,
                Outcome::HungUp => record.attempts.last().is_some_and(Attempt::may_cost),
                Outcome::Refused | Outcome::Failed => false,
            };
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            reservation.settle(Spent { served, tokens, cost: cost.unwrap_or(0) });
        }
        self.gateway.note_usage(&self.platform, record, cost.unwrap_or(0));
        self.platform.record(record);
        if let Some(tell) = self.on_close.take() {
            tell(record);
        }
    }
}

impl<P: Platform> std::fmt::Debug for Entry<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Whole milliseconds of a duration.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
