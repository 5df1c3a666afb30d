//! Requests that take feedback, and the one feedback that each takes.
//!
//! Each consumer has a book with the requests of its last 24 hours, one line each. Lines are written with
//! the usage totals, after the answer. Only routes whose rollout compares feedback have them.

use std::time::Duration;

use civil_time::Timestamp;
use config::{Config, Metric};
use ledger::{
    BookId, Charge, Hold, LedgerReply, LogLine, LogQuery, NewLogLines, Operation, Rule, Window,
};
use rollout::Side;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::auth::caller::ANONYMOUS;
use crate::host::Host;
use crate::limits::ledger_client;
use crate::record::{Outcome, Record};

/// Time for which a request takes feedback.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a feedback is remembered: longer than its request.
const FEEDBACK_WINDOW_MS: u64 = 25 * 60 * 60 * 1_000;
/// Requests of one consumer; beyond it the oldest go first.
const MAX_REQUESTS: usize = 10_000;
/// Expiry of a mark that is not confirmed.
const MARK_EXPIRY: Duration = Duration::from_secs(60);
/// Pauses before the ledger is read again: a request may be rated before its line is written.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// A request that takes feedback.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RatedRequest {
    id: String,
    pub(crate) route: String,
    /// `None` if the request was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<RatedUnit>,
}

/// The part of a rollout to which a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RatedUnit {
    pub(crate) side: Side,
    /// Version of the rollout's state.
    pub(crate) version: u64,
    /// Hash of the name whose requests count once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<u64>,
}

/// Outcome of a feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    First,
    /// The request has one already.
    Again,
}

/// The ledger is unavailable.
#[derive(Debug)]
pub(crate) struct LedgerUnavailable;

/// The line of a finished request, and its book. `None` if the request takes no feedback.
pub(crate) fn line(config: &Config, record: &Record, now: Timestamp) -> Option<(BookId, LogLine)> {
    let route = config.routes.iter().find(|route| Some(&route.id) == record.route.as_ref())?;
    if !route.rollout.as_ref()?.metrics.contains(&Metric::Disliked) {
        return None;
    }
    let is_shown = match record.outcome {
        Outcome::Answered | Outcome::Truncated | Outcome::HungUp => true,
        Outcome::Refused | Outcome::Failed | Outcome::Blocked => false,
    };
    let unit = record.rollout.as_ref().map(|unit| RatedUnit {
        side: unit.side,
        version: unit.version,
        name: unit.name,
    });
    let request = RatedRequest { id: record.id.clone(), route: route.id.clone(), unit };
    let text = serde_json::to_string(&request).expect("all members are plain");
    let line = LogLine { until: now + RETENTION, text, ..LogLine::default() };
    let consumer = record.consumer.as_ref().filter(|id| is_shown && *id != ANONYMOUS)?;
    Some((book_id(consumer), line))
}

/// The lines of a write.
pub(crate) fn new_lines(lines: Vec<LogLine>) -> NewLogLines {
    NewLogLines { max: MAX_REQUESTS, lines }
}

/// Whether a book holds requests that take feedback.
pub(crate) fn is_book(book_id: &BookId) -> bool {
    book_id.as_str().starts_with(BOOK_PREFIX)
}

/// Finds a request of a consumer. Waits a little, as its line may be on its way.
pub(crate) async fn find<P: Host>(
    host: &P,
    consumer: &str,
    id: &str,
) -> Result<Option<RatedRequest>, LedgerUnavailable> {
    let book_id = book_id(consumer);
    let parts = vec![format!("\"id\":{}", json!(id))];
    let query = LogQuery { parts, texts: true, limit: 1, ..LogQuery::default() };
    let read = Operation::ReadLog(query);
    let mut pauses = PAUSES.into_iter();
    loop {
        let reply = ledger_client::call(host, &book_id, &read).await;
        let Ok(LedgerReply::Log(lines)) = reply else { return Err(LedgerUnavailable) };
        if let Some(line) = lines.first() {
            return Ok(serde_json::from_str(&line.text).ok());
        }
        let Some(pause) = pauses.next() else { return Ok(None) };
        host.sleep(pause).await;
    }
}

/// Marks a request as rated.
pub(crate) async fn mark<P: Host>(
    host: &P,
    consumer: &str,
    id: &str,
) -> Result<Marked, LedgerUnavailable> {
    let book_id = book_id(consumer);
    let (account, window) = (digest(id), Window::Sliding(FEEDBACK_WINDOW_MS));
    let rule = Rule { max: 1, window };
    let hold = Hold { account: account.clone(), rule, min: 1, want: 1, slice: None };
    let (id, until) = (host.entropy(), host.now() + MARK_EXPIRY);
    let reserve = Operation::Reserve { id, until, holds: vec![hold] };
    let reply = ledger_client::call(host, &book_id, &reserve).await.ok();
    if reply.and_then(LedgerReply::into_grants).ok_or(LedgerUnavailable)?.is_err() {
        return Ok(Marked::Again);
    }
    let charges = vec![Charge { account, window, amount: 1 }];
    let settle = Operation::Settle { id, until, charges };
    ledger_client::call_in_background(host, vec![(book_id, settle)]);
    Ok(Marked::First)
}

const BOOK_PREFIX: &str = "feedback/";

fn book_id(consumer: &str) -> BookId {
    BookId::new(format!("{BOOK_PREFIX}{}", digest(consumer)))
}

fn digest(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text)[..12])
}
