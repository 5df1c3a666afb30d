//! Metric rows of one request.

use ledger::UsageTotals;

use crate::record::{ANSWERED, Attempt, AttemptKind, Outcome, Record};
use crate::telemetry::usage::keys::{UsageDimensions, push_encoded};

/// Rows of requests: they hold the counters of requests, tokens and cost, and both histograms. One
/// row for all of it is one write for all of it.
pub(super) const REQUEST_ROWS: &str = "request";
/// Rows of limits that refused.
pub(super) const LIMITED_ROWS: &str = "limited";
/// Rows of limits that are near their end.
pub(super) const NEAR_ROWS: &str = "near";
/// Rows of calls to upstreams.
pub(super) const CALL_ROWS: &str = "call";
/// Rows of fallbacks.
pub(super) const FALLBACK_ROWS: &str = "fallback";
/// Rows of cache results.
pub(super) const CACHE_ROWS: &str = "cache";
/// Rows of guard results.
pub(super) const GUARD_ROWS: &str = "guard";
/// Rows of requests without a ledger.
pub(super) const LEDGER_ROWS: &str = "ledger";

/// Replaces the status of a request whose caller hung up.
pub(super) const STATUS_HUNG_UP: u16 = 0;
/// Replaces the status of an answer that broke off.
pub(super) const STATUS_TRUNCATED: u16 = 1;

/// Reason of a fallback because of a limit. The target that was not called is the first of the
/// route, and has no name in the record.
const REASON_LIMITED: &str = "limited";
/// Reason of a fallback during the first target's cool-down.
const REASON_COOLING_DOWN: &str = "resting";
/// Error of a request that a limit with `on_error = "closed"` refused.
const LEDGER_UNAVAILABLE: &str = "ledger_unavailable";
/// Result of a guard without findings.
const RESULT_PASS: &str = "pass";

/// Keys of rows, and the totals to add to each. `tally` is the request's.
pub(crate) fn metric_rows(
    record: &Record,
    dimensions: &UsageDimensions,
    totals: UsageTotals,
) -> Vec<(String, UsageTotals)> {
    let consumer = ("consumer", dimensions.consumer.as_str());
    let route = ("route", dimensions.route.as_str());
    let once = |key: String| (key, UsageTotals { requests: 1, ..UsageTotals::default() });
    let known = record.has_known_model();
    let target = |label: &str| {
        let (provider, model) = split_target(label, known);
        format!("{provider}/{model}")
    };
    let mut request = totals;
    let status = match record.outcome {
        Outcome::HungUp => None,
        Outcome::Truncated => Some(STATUS_TRUNCATED),
        Outcome::Answered | Outcome::Refused | Outcome::Failed | Outcome::Blocked => record.status,
    };
    request.statuses.add(status.unwrap_or(STATUS_HUNG_UP), 1);
    let (provider, model) = (("provider", &*dimensions.provider), ("model", &*dimensions.model));
    let mut rows = vec![(row_key(REQUEST_ROWS, &[route, provider, model, consumer]), request)];
    if let Some(limit) = &record.limited_by {
        rows.push(once(row_key(LIMITED_ROWS, &[("limit", limit), consumer])));
        if let Some(first) = record.attempts.first() {
            let to = target(&first.target);
            let labels = [route, ("from", ""), ("to", &*to), ("reason", REASON_LIMITED)];
            rows.push(once(row_key(FALLBACK_ROWS, &labels)));
        }
    }
    for limit in &record.near_limits {
        rows.push(once(row_key(NEAR_ROWS, &[("limit", limit), consumer])));
    }
    let results = attempt_results(record);
    for (attempt, result) in record.attempts.iter().zip(&results) {
        let (provider, model) = split_target(&attempt.target, known);
        let (provider, model) = (("provider", provider), ("model", model));
        rows.push(once(row_key(CALL_ROWS, &[route, provider, model, ("result", *result)])));
    }
    if let (Some(from), Some(first)) = (&record.cooling_down_target, record.attempts.first()) {
        let (from, to) = (target(from), target(&first.target));
        let labels = [route, ("from", &*from), ("to", &*to), ("reason", REASON_COOLING_DOWN)];
        rows.push(once(row_key(FALLBACK_ROWS, &labels)));
    }
    for (pair, reason) in record.attempts.windows(2).zip(&results) {
        let [from, to] = pair else { continue };
        if from.target != to.target {
            let (reason, from, to) = (*reason, target(&from.target), target(&to.target));
            let labels = [route, ("from", &*from), ("to", &*to), ("reason", reason)];
            rows.push(once(row_key(FALLBACK_ROWS, &labels)));
        }
    }
    if let Some(result) = record.cache {
        rows.push(once(row_key(CACHE_ROWS, &[route, ("result", result)])));
    }
    if record.ledger_unavailable || record.error == Some(LEDGER_UNAVAILABLE) {
        rows.push(once(row_key(LEDGER_ROWS, &[route])));
    }
    for (guard, phase) in &record.guards_run {
        if !record.guards.iter().any(|note| note.guard == *guard && note.phase == *phase) {
            let guard = ("guard", &**guard);
            let labels =
                [guard, ("phase", *phase), ("result", RESULT_PASS), ("label", ""), consumer];
            rows.push(once(row_key(GUARD_ROWS, &labels)));
        }
    }
    for note in &record.guards {
        let (guard, label) = (("guard", &*note.guard), ("label", &*note.label));
        let labels = [guard, ("phase", note.phase), ("result", note.result), label, consumer];
        rows.push(once(row_key(GUARD_ROWS, &labels)));
    }
    rows
}

/// Provider and model of a target. A model name that the caller made up is omitted.
pub(crate) fn split_target(target: &str, known: bool) -> (&str, &str) {
    let (provider, model) = target.split_once('/').unwrap_or((target, ""));
    (provider, if known { model } else { "" })
}

/// Result of each attempt. An answer that broke off is recorded as a success of its attempt. It
/// broke off if a continuation follows, or if the request was truncated.
pub(crate) fn attempt_results(record: &Record) -> Vec<&'static str> {
    let broken = |later: &[Attempt]| {
        later.iter().any(|attempt| attempt.kind == AttemptKind::Continuation)
            || (record.outcome == Outcome::Truncated
                && later.iter().all(|attempt| attempt.result != ANSWERED))
    };
    let result = |(position, attempt): (usize, &Attempt)| {
        let is_broken = attempt.result == ANSWERED && broken(&record.attempts[position + 1..]);
        if is_broken { Outcome::Truncated.name() } else { attempt.result }
    };
    record.attempts.iter().enumerate().map(result).collect()
}

/// `family|label=value|…`, with the values encoded as in the keys of usage totals.
fn row_key(family: &str, labels: &[(&str, &str)]) -> String {
    let mut key = family.to_owned();
    for (label, value) in labels {
        key.extend(["|", label, "="]);
        push_encoded(&mut key, value);
    }
    key
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use ledger::UsageTotals;

    use crate::record::{Attempt, AttemptKind, GuardRecord, Outcome, Record};
    use crate::telemetry::usage::keys::UsageDimensions;

    use super::metric_rows;

    /// Rows of a record without the request's own and those of its calls.
    fn rows(record: &Record) -> Vec<String> {
        let dimensions = UsageDimensions::default();
        let rows = metric_rows(record, &dimensions, UsageTotals::default())
            .into_iter()
            .map(|(name, _)| name);
        let other =
            |name: &String| ![super::REQUEST_ROWS, super::CALL_ROWS].contains(&family(name));
        rows.filter(other).collect()
    }

    fn family(name: &str) -> &str {
        name.split('|').next().unwrap_or_default()
    }

    #[test]
    fn truncated_stream_is_no_success_of_its_target() {
        let attempt = |target: &str, result| Attempt {
            result,
            ..Attempt::start(target.to_owned(), None, AttemptKind::Primary, Timestamp::default())
        };
        let attempts = vec![attempt("a/m", "timeout"), attempt("b/m", "answered")];
        let status = Some(200);
        let known = || Record { status, is_model_configured: true, ..Record::default() };
        let record = Record { outcome: Outcome::Truncated, attempts, ..known() };
        let rows = metric_rows(&record, &UsageDimensions::default(), UsageTotals::default());
        let statuses: Vec<_> = rows[0].1.statuses.iter().collect();
        assert_eq!(statuses, [(super::STATUS_TRUNCATED, 1)]);
        let calls: Vec<_> = rows.iter().filter(|(name, _)| family(name) == "call").collect();
        assert_eq!(calls[0].0, "call|route=|provider=a|model=m|result=timeout");
        assert_eq!(calls[1].0, "call|route=|provider=b|model=m|result=truncated");
        assert_eq!(calls.len(), 2);
        // The first answer broke off although a continuation completed it.
        let rest = Attempt { kind: AttemptKind::Continuation, ..attempt("b/m", "answered") };
        let attempts = vec![attempt("a/m", "answered"), rest];
        let record = Record { outcome: Outcome::Answered, attempts, ..known() };
        assert_eq!(super::attempt_results(&record), ["truncated", "answered"]);
    }

    #[test]
    fn finding_46_limit_near_its_end_is_counted() {
        let near_limits = vec!["monthly".to_owned()];
        let record = Record { near_limits, ..Record::default() };
        assert_eq!(rows(&record), ["near|limit=monthly|consumer="]);
    }

    #[test]
    fn guard_without_findings_is_counted_as_pass() {
        let note = GuardRecord {
            guard: "terms".to_owned(),
            phase: "response",
            result: "block",
            label: "words".to_owned(),
            level: "high",
        };
        let watched = ["request", "response"].map(|phase| ("terms".to_owned(), phase));
        let record =
            Record { guards: vec![note], guards_run: watched.to_vec(), ..Record::default() };
        assert_eq!(
            rows(&record),
            [
                "guard|guard=terms|phase=request|result=pass|label=|consumer=",
                "guard|guard=terms|phase=response|result=block|label=words|consumer=",
            ]
        );
    }

    #[test]
    fn finding_46_request_without_a_ledger_is_counted() {
        let alone = Record { ledger_unavailable: true, ..Record::default() };
        let refused = Record { error: Some("ledger_unavailable"), ..Record::default() };
        for record in [alone, refused] {
            assert_eq!(rows(&record), ["ledger|route="]);
        }
    }

    #[test]
    fn attempt_after_a_skipped_target_is_a_fallback() {
        let attempt = |target: &str, result| Attempt {
            result,
            ..Attempt::start(target.to_owned(), None, AttemptKind::Primary, Timestamp::default())
        };
        let attempts = || vec![attempt("b/m", "5xx"), attempt("c/m", "answered")];
        let rested = Some("a/m".to_owned());
        let made_up = Record {
            cooling_down_target: rested.clone(),
            attempts: attempts(),
            ..Record::default()
        };
        assert_eq!(
            rows(&made_up),
            [
                "fallback|route=|from=a/|to=b/|reason=resting",
                "fallback|route=|from=b/|to=c/|reason=5xx",
            ]
        );
        let record = Record {
            cooling_down_target: rested,
            attempts: attempts(),
            is_model_configured: true,
            ..Record::default()
        };
        assert_eq!(
            rows(&record),
            [
                "fallback|route=|from=a/m|to=b/m|reason=resting",
                "fallback|route=|from=b/m|to=c/m|reason=5xx",
            ]
        );
    }
}
