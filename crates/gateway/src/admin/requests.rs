//! `/requests`: the request log, its live end, and its counts.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use http::StatusCode;
use serde_json::{Value, json};

use crate::host::Host;
use crate::record::Outcome;
use crate::telemetry::usage::request_log::LoggedRequest;

use super::AdminRequest;
use super::query::Query;
use super::request_log::{LogCursor, LogPosition, LogReader, LogWindow, MAX_HOURS_READ};
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// Filters by a text, and the member of a line that has it.
const TEXT_FILTERS: [(&str, &str); 13] = [
    ("route", "route"),
    ("consumer", "consumer"),
    ("group", "group"),
    ("model", "model"),
    ("target", "target"),
    ("outcome", "outcome"),
    ("key", "key"),
    ("limit_id", "limit"),
    ("guard", "guard"),
    ("cache", "cache"),
    ("error", "error"),
    ("client", "client"),
    ("user", "user"),
];

const FILTER_PARAMETERS: [&str; 17] = [
    "route", "consumer", "group", "model", "target", "outcome", "key", "limit_id", "guard",
    "cache", "error", "client", "user", "status", "min_ms", "from", "to",
];

/// Longest wait for newer requests: some hosts end a request after 30 s.
const MAX_WAIT: Duration = Duration::from_secs(25);

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Bars of a histogram at most.
const MAX_BARS: u64 = 1_500;

/// Filters of a query.
#[derive(Debug)]
struct RequestFilter {
    /// Texts that a line must contain.
    parts: Vec<String>,
    min_ms: Option<u64>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl RequestFilter {
    fn parse(query: &Query) -> Result<Self, AdminError> {
        query.get("outcome").map_or(Ok(()), check_outcome)?;
        let mut parts = Vec::new();
        for (parameter, member) in TEXT_FILTERS {
            if let Some(value) = query.get(parameter) {
                parts.push(format!("\"{member}\":{}", json!(value)));
            }
        }
        let number = |name: &str| -> Result<Option<u64>, AdminError> {
            let parsed = query.get(name).map(|text| {
                let wrong = || AdminError::invalid(name, format!("{text:?}"), "a whole number");
                text.parse().map_err(|_| wrong())
            });
            parsed.transpose()
        };
        if let Some(status) = number("status")? {
            // Another member always follows.
            parts.push(format!("\"status\":{status},"));
        }
        let (from, to) = (query.time("from")?, query.time("to")?);
        Ok(Self { parts, min_ms: number("min_ms")?, from, to })
    }

    fn matches(&self, line: &LoggedRequest) -> bool {
        let at = Timestamp::from_millis(line.at_ms);
        self.min_ms.is_none_or(|min| line.total_ms >= min)
            && self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
    }
}

/// Refuses an outcome that no request can have: an empty list would read as good news.
fn check_outcome(value: &str) -> Result<(), AdminError> {
    let names = Outcome::ALL.map(Outcome::name);
    if names.contains(&value) {
        return Ok(());
    }
    let expected = format!("one of {}", names.join(", "));
    Err(AdminError::invalid("outcome", format!("{value:?}"), expected))
}

/// `GET /requests`: newest first, or with `after` what came since.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let allowed = [&FILTER_PARAMETERS[..], &["limit", "cursor", "after", "wait"]].concat();
    let query = request.parse_query(&allowed)?;
    let filter = RequestFilter::parse(&query)?;
    let limit = query.page_limit()?;
    check_is_on(request)?;
    let mut reader = LogReader::new(request, filter.parts.clone());
    if let Some(after) = query.get("after") {
        if query.get("cursor").is_some() {
            return Err(AdminError::invalid("after", "`after` and `cursor`", "only one of them"));
        }
        let wait = query.duration("wait")?.unwrap_or_default().min(MAX_WAIT);
        return tail(request, &mut reader, &filter, LogPosition::parse(after)?, limit, wait).await;
    }
    let now = request.host.now();
    let cursor = query.get("cursor").map(LogCursor::parse).transpose()?;
    // A request ends after it began, so the log of its end is read.
    let newest = cursor.map_or(now, |cursor| cursor.hour);
    let keep = request.context.config.observe.requests.keep;
    let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(keep.as_millis() as u64));
    let oldest = filter.from.map_or(oldest, |from| from.max(oldest));
    let position = match cursor {
        None => Some(reader.end(now).await?),
        Some(_) => None,
    };
    let (mut found, mut next) = (Vec::new(), None);
    let mut window = LogWindow::before(newest, oldest);
    for _ in 0..MAX_HOURS_READ {
        let Some(hour) = window.next_hour() else { break };
        let before = cursor.filter(|cursor| cursor.hour == hour).map(|cursor| cursor.before);
        let lines = reader.read_hour(hour, before, limit).await?;
        // Lines that the log did not give may follow the last one.
        let is_cut = lines.len() == limit;
        for (number, line) in lines {
            if found.len() == limit {
                break;
            }
            next = Some(LogCursor { hour, before: number });
            if filter.matches(&line) {
                found.push(row_json(&line));
            }
        }
        if is_cut || found.len() == limit {
            break;
        }
        next = (!window.is_over()).then(|| LogCursor::at_end_of(window.next_start()));
    }
    let data = json!({
        "data": found,
        "cursor": next.map(LogCursor::to_text),
        "newest": position.map(|position| position.to_text()),
    });
    Ok(AdminResponse::json(&data))
}

/// Waits for requests after a position. They are returned newest first.
async fn tail<P: Host>(
    request: &AdminRequest<'_, P>,
    reader: &mut LogReader<'_, P>,
    filter: &RequestFilter,
    mut position: LogPosition,
    limit: usize,
    wait: Duration,
) -> AdminResult {
    let until = request.host.now() + wait;
    let mut found = Vec::new();
    loop {
        let (lines, next) = reader.read_after(&position, limit).await?;
        position = next;
        found.extend(lines.iter().filter(|line| filter.matches(line)).map(row_json));
        let is_late = request.host.now() + POLL_INTERVAL > until;
        if !found.is_empty() || is_late || !reader.can_read_again() {
            break;
        }
        request.host.sleep(POLL_INTERVAL).await;
    }
    Ok(AdminResponse::json(&json!({ "data": found, "cursor": null, "newest": position.to_text() })))
}

/// `GET /requests/{request}`: one request with its attempts and findings.
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["at"])?;
    check_is_on(request)?;
    let id = request.path_argument(0);
    let mut reader = LogReader::new(request, vec![format!("\"id\":{}", json!(id))]);
    let now = request.host.now();
    let at = query.time("at")?;
    // A request is in the log of the hour in which it ended.
    let newest = at.map_or(now, |at| now.min(at + Duration::from_secs(2 * 60 * 60)));
    let keep = request.context.config.observe.requests.keep;
    let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(keep.as_millis() as u64));
    let oldest = at.map_or(oldest, |at| at.max(oldest));
    let mut window = LogWindow::before(newest, oldest);
    for _ in 0..MAX_HOURS_READ {
        let Some(hour) = window.next_hour() else { break };
        if let Some((_, line)) = reader.read_hour(hour, None, 1).await?.into_iter().next() {
            return Ok(AdminResponse::json(&detail_json(&line)));
        }
    }
    let message =
        "The request log does not have this request. Without `at` the last 10 hours are searched.";
    Err(AdminError::not_found("request_not_found", message))
}

/// `GET /requests/histogram`: requests by the time of their end and by outcome.
pub(super) async fn histogram<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let allowed = [&FILTER_PARAMETERS[..], &["step"]].concat();
    let query = request.parse_query(&allowed)?;
    let filter = RequestFilter::parse(&query)?;
    if filter.min_ms.is_some() {
        return Err(AdminError::invalid("min_ms", "a filter", "no such filter for a histogram"));
    }
    check_is_on(request)?;
    let now = request.host.now();
    let to = filter.to.unwrap_or(now).min(now);
    let hour_before = to.as_millis().saturating_sub(60 * 60 * 1_000);
    let from = filter.from.unwrap_or(Timestamp::from_millis(hour_before));
    let step = query.duration("step")?.unwrap_or(Duration::from_secs(60));
    let step = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    if from >= to {
        return Err(AdminError::invalid(
            "from",
            "a time that is not before `to`",
            "a time before `to`",
        ));
    }
    if to.since(from) > Duration::from_secs(60 * 60 * (MAX_HOURS_READ as u64 - 1)) {
        let expected = format!("at most {} hours before `to`", MAX_HOURS_READ - 1);
        return Err(AdminError::invalid("from", "a longer time range", expected));
    }
    if step < 1_000 || to.since(from).as_millis() as u64 / step > MAX_BARS {
        let expected = format!("at least 1s, and at most {MAX_BARS} steps in the time range");
        return Err(AdminError::invalid("step", format!("{step} ms"), expected));
    }
    let mut reader = LogReader::new(request, filter.parts.clone());
    let mut bars: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    let mut window = LogWindow::before(to, from);
    while let Some(hour) = window.next_hour() {
        for (at, outcome) in reader.read_labels(hour).await? {
            if at >= from && at < to {
                let start = at.as_millis() / step * step;
                *bars.entry(start).or_default().entry(outcome).or_default() += 1;
            }
        }
    }
    let data = bars.into_iter().map(|(start, outcomes)| {
        let total: u64 = outcomes.values().sum();
        let start = rfc3339_json(Timestamp::from_millis(start));
        json!({ "start": start, "requests": total, "by_outcome": outcomes })
    });
    Ok(AdminResponse::json(&json!({
        "from": rfc3339_json(from),
        "to": rfc3339_json(to),
        "step_ms": step,
        "data": data.collect::<Vec<Value>>(),
    })))
}

fn check_is_on<P: Host>(request: &AdminRequest<'_, P>) -> Result<(), AdminError> {
    if !request.context.config.observe.requests.keep.is_zero() {
        return Ok(());
    }
    let message = "The request log is off: `keep` of [observe.requests] is zero.";
    Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, "request_log_off", message))
}

/// A row of the list: without the attempts.
fn row_json(line: &LoggedRequest) -> Value {
    let mut shown = detail_json(line);
    if let Some(members) = shown.as_object_mut() {
        members.remove("guards");
    }
    shown["attempts"] = json!(line.attempts.len());
    shown
}

pub(super) fn detail_json(line: &LoggedRequest) -> Value {
    let mut shown = json!(line);
    for name in LoggedRequest::OPTIONAL_MEMBERS {
        if shown.get(name).is_none() {
            shown[name] = Value::Null;
        }
    }
    shown["at"] = rfc3339_json(Timestamp::from_millis(line.at_ms));
    shown["flags"] = json!(flags(line));
    shown
}

/// Marks of a request, for icons.
fn flags(line: &LoggedRequest) -> Vec<&'static str> {
    let attempts = &line.attempts;
    let pairs = || attempts.windows(2);
    let all = [
        ("cache", line.cache.as_deref() == Some("hit")),
        ("retry", pairs().any(|pair| pair[0].target == pair[1].target)),
        ("fallback", pairs().any(|pair| pair[0].target != pair[1].target)),
        ("hedge", attempts.iter().any(|attempt| attempt.part == "hedge")),
        ("continued", line.continued),
        ("guard", !line.guards.is_empty()),
        ("limit", line.limit.is_some()),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}
