//! What one request adds to the metrics.

use crate::ledger::Tally;
use crate::observe::{Outcome, Record};
use crate::usage::{Kind, push_encoded};

/// Rows of requests: from them come the counters of requests, tokens and cost, and both histograms.
/// One row for all of it is one write for all of it.
pub(super) const REQUESTS: &str = "request";
/// Rows of limits that refused.
pub(super) const LIMITED: &str = "limited";
/// Rows of calls that went to another target.
pub(super) const FALLBACK: &str = "fallback";
/// Rows of the cache.
pub(super) const CACHE: &str = "cache";
/// Rows of guards.
pub(super) const GUARD: &str = "guard";

/// Why a call went to another target where a limit was the reason, and instead of which target: the
/// first of the route, which was not called and has no name in the record.
const BY_LIMIT: &str = "limited";

/// The names of rows, and what to add to each. `tally` is the request's.
pub(crate) fn counted(record: &Record, kind: &Kind, tally: Tally) -> Vec<(String, Tally)> {
    let consumer = ("consumer", kind.consumer.as_str());
    let route = ("route", kind.route.as_str());
    let once = |key: String| (key, Tally { requests: 1, ..Tally::default() });
    let mut request = tally;
    let status = match record.outcome {
        Outcome::HungUp => None,
        Outcome::Answered
        | Outcome::Refused
        | Outcome::Failed
        | Outcome::Truncated
        | Outcome::Blocked => record.status,
    };
    request.statuses.add(status.unwrap_or(0), 1);
    let (provider, model) = (("provider", &*kind.provider), ("model", &*kind.model));
    let mut rows = vec![(key(REQUESTS, &[route, provider, model, consumer]), request)];
    if let Some(limit) = &record.limited_by {
        rows.push(once(key(LIMITED, &[("limit", limit), consumer])));
        if let Some(first) = record.attempts.first() {
            let labels = [route, ("from", ""), ("to", &*first.target), ("reason", BY_LIMIT)];
            rows.push(once(key(FALLBACK, &labels)));
        }
    }
    for pair in record.attempts.windows(2) {
        let [from, to] = pair else { continue };
        if from.target != to.target {
            let (from, reason) = (("from", &*from.target), ("reason", from.result));
            rows.push(once(key(FALLBACK, &[route, from, ("to", &*to.target), reason])));
        }
    }
    if let Some(result) = record.cache {
        rows.push(once(key(CACHE, &[route, ("result", result)])));
    }
    for note in &record.guards {
        let (guard, label) = (("guard", &*note.guard), ("label", &*note.label));
        let labels = [guard, ("phase", note.phase), ("result", note.result), label, consumer];
        rows.push(once(key(GUARD, &labels)));
    }
    rows
}

/// `family|label=value|…`, the values encoded as usage encodes its parts.
fn key(family: &str, labels: &[(&str, &str)]) -> String {
    let mut key = family.to_owned();
    for (label, value) in labels {
        key.extend(["|", label, "="]);
        push_encoded(&mut key, value);
    }
    key
}
