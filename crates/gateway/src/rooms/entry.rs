//! A request's books: its record and its reservation, closed in one moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use openai::Weight;

use crate::config::Price;
use crate::gateway::Gateway;
use crate::observe::{ABANDONED, Attempt, Outcome, Record, Tokens};
use crate::otlp::Trace;
use crate::platform::Platform;
use crate::policy::limits;
use crate::time::Timestamp;

use super::exporter::Exporter;
use super::reserve::{Reservation, Spent};
use super::tee::Keep;
use super::transcript::Transcript;

/// Whoever is told of a record when it is written.
pub type OnClose = Box<dyn FnOnce(&Record)>;

/// What is to be noted in a record before it is written, by those who do not hold it.
pub type LastNotes = Rc<RefCell<Vec<Box<dyn FnOnce(&mut Record)>>>>;

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
    /// Its place in a trace, where traces are sent.
    pub trace: Option<Rc<Trace>>,
    /// What is asked and answered, where the route's log has that.
    pub transcript: Option<Rc<Transcript>>,
    /// What the part of the answer cost that came before another call went on.
    aside: Option<(Tokens, Option<u64>)>,
    /// What is to be kept of the answer.
    pub keep: Keep,
    /// Told of the record when it is written.
    pub on_close: Option<OnClose>,
    last_notes: Option<LastNotes>,
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
            trace: None,
            transcript: None,
            aside: None,
            keep: Keep::default(),
            on_close: None,
            last_notes: None,
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

    /// The gateway that the request came to.
    pub fn gateway(&self) -> &Rc<Gateway> {
        &self.gateway
    }

    /// Notes that a call begins, to a target of this price. Gives back its place in the record.
    pub fn begin(&mut self, attempt: Attempt, price: Option<Price>) -> usize {
        self.record.attempts.push(attempt);
        self.price = price;
        self.record.attempts.len() - 1
    }

    /// Puts the tokens of a part of the answer aside, at the price of the target that it is from: what
    /// is noted from now on is another's.
    pub fn put_aside(&mut self, tokens: Tokens) {
        self.record.tokens = Tokens::default();
        self.aside = Some((tokens, self.price.map(|price| limits::cost(tokens, price))));
    }

    /// Notes how a call ended.
    pub fn end(
        &mut self,
        number: usize,
        result: &'static str,
        status: Option<StatusCode>,
        detail: Option<String>,
    ) {
        let now = self.platform.now();
        if let Some(attempt) = self.record.attempts.get_mut(number) {
            attempt.result = result;
            attempt.status = status.map(|status| status.as_u16());
            attempt.detail = detail;
            attempt.ms = millis(now.since(attempt.began));
        }
    }

    /// Lets others note something although the entry is in somebody else's hands.
    pub fn take_last_notes(&mut self) -> LastNotes {
        Rc::clone(self.last_notes.get_or_insert_default())
    }

    /// Closes the books.
    pub fn close(mut self, outcome: Outcome) {
        self.record.outcome = outcome;
        // `Drop` writes and settles.
    }

    /// Notes calls that the caller did not wait for. An upstream has the prompt and may bill it, so
    /// what is known of it is charged, once.
    fn abandon(&mut self, now: Timestamp) {
        let open = |attempt: &&mut Attempt| attempt.result == ABANDONED;
        let open = self.record.attempts.iter_mut().filter(open);
        if open.map(|attempt| attempt.ms = millis(now.since(attempt.began))).count() == 0 {
            return;
        }
        if let Some(reservation) = &self.reservation {
            self.record.tokens = Tokens::count(None, reservation.prompt(), Weight::default());
        }
    }
}

impl<P: Platform> Drop for Entry<P> {
    fn drop(&mut self) {
        let now = self.platform.now();
        self.record.total_ms = millis(now.since(self.began));
        for note in self.last_notes.take().map(|notes| notes.take()).unwrap_or_default() {
            note(&mut self.record);
        }
        self.abandon(now);
        let record = &mut self.record;
        let mut cost = self.price.map(|price| limits::cost(record.tokens, price));
        if let Some((tokens, earlier)) = self.aside.take() {
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
            reservation.settle(Spent { served, tokens, cost: cost.unwrap_or(0) });
        }
        let cost = cost.unwrap_or(0);
        self.gateway.note_usage(&self.platform, record, cost);
        if let Some(tell) = self.on_close.take() {
            tell(record);
        }
        let record = std::mem::take(&mut self.record);
        let trace = self.trace.take();
        match self.transcript.take() {
            None => {
                self.platform.record(&record);
                Exporter::note(&self.gateway, &self.platform, record, trace, cost);
            }
            // To look for what must be masked takes a while, and the last bytes wait for this.
            Some(transcript) => {
                let (gateway, host) = (Rc::clone(&self.gateway), self.platform.clone());
                self.platform.defer(async move {
                    let (prompt, answer) = (transcript.question(), transcript.answer());
                    let record = Box::new(Record { prompt, answer, ..*record });
                    host.record(&record);
                    Exporter::note(&gateway, &host, record, trace, cost);
                });
            }
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
