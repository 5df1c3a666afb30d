//! Usage by target, key, user, client, and limit: rows beside those of [`UsageDimensions`].
//!
//! They are in the same books, so they cost no further call. Their keys begin with a number and a letter.

use std::borrow::Cow;

use civil_time::Timestamp;
use ledger::{BookId, UsageTotals};
use sha2::{Digest, Sha256};

use crate::record::{ANSWERED, AttemptKind, Outcome, Record};
use crate::telemetry::metrics::{attempt_results, split_target};

use super::keys::{
    UsageDimensions, decode_part, hour_of_day, minute_of_hour, push_encoded, start_of_hour,
};

/// A dimension with rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DetailKind {
    /// Calls to a target: route, provider, model.
    Target,
    /// Requests with an issued key: consumer, key.
    Key,
    /// Requests of a user: consumer, user.
    User,
    /// Requests of a client program: consumer, client.
    Client,
    /// Requests that a limit refused: consumer, limit.
    Limit,
    /// Isolates that reported something in a minute: what, provider, and model or position of the key.
    Health,
}

impl DetailKind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Target, Self::Key, Self::User, Self::Client, Self::Limit, Self::Health];

    fn letter(self) -> char {
        match self {
            Self::Target => 't',
            Self::Key => 'k',
            Self::User => 'u',
            Self::Client => 'c',
            Self::Limit => 'l',
            Self::Health => 'h',
        }
    }
}

/// A row of details.
#[derive(Debug)]
pub(crate) struct DetailRow {
    kind: DetailKind,
    parts: Vec<String>,
    pub(crate) totals: UsageTotals,
}

impl DetailRow {
    /// Key among the rows of a day.
    pub(crate) fn hourly_key(&self, at: Timestamp) -> String {
        self.key(hour_of_day(at))
    }

    /// Key among the rows of an hour. `None` if the row is kept by the hour only.
    pub(crate) fn minutely_key(&self, at: Timestamp) -> Option<String> {
        let is_minutely = match self.kind {
            DetailKind::Target | DetailKind::Health => true,
            DetailKind::Key | DetailKind::User | DetailKind::Client | DetailKind::Limit => false,
        };
        is_minutely.then(|| self.key(minute_of_hour(at)))
    }

    fn key(&self, number: u64) -> String {
        let mut key = format!("{number:02}{}", self.kind.letter());
        for part in &self.parts {
            key.push('|');
            push_encoded(&mut key, part);
        }
        key
    }
}

/// Parses a key: its number, kind, and parts.
pub(crate) fn parse_detail_key(key: &str) -> Option<(u8, DetailKind, Vec<String>)> {
    let mut parts = key.split('|');
    let first = parts.next()?;
    let letter = first.chars().next_back()?;
    let kind = DetailKind::ALL.into_iter().find(|kind| kind.letter() == letter)?;
    let number = first[..first.len() - 1].parse().ok().filter(|number| *number < 60)?;
    Some((number, kind, parts.map(|part| decode_part(part).into_owned()).collect()))
}

/// Results of calls with a number of their own; all others are [`OTHER_RESULT`].
const RESULTS: [&str; 17] = [
    "answered",
    "truncated",
    "connect",
    "timeout",
    "429",
    "5xx",
    "4xx",
    "callers_fault",
    "key_refused",
    "model_refused",
    "quota_exhausted",
    "unavailable",
    "not_an_answer",
    "addition_refused",
    "compressed",
    "hedged_out",
    "abandoned",
];
const OTHER_RESULT: &str = "other";

/// Name of a result by its number in [`UsageTotals::statuses`].
pub(crate) fn result_name(number: u16) -> &'static str {
    let position = usize::from(number).checked_sub(1);
    position.and_then(|at| RESULTS.get(at)).copied().unwrap_or(OTHER_RESULT)
}

fn result_number(name: &str) -> u16 {
    let position = RESULTS.iter().position(|known| *known == name);
    position.map_or(0, |at| u16::try_from(at + 1).expect("there are few results"))
}

/// The rows of one request. `totals` are those of the request.
pub(crate) fn detail_rows(
    record: &Record,
    dimensions: &UsageDimensions,
    totals: &UsageTotals,
) -> Vec<DetailRow> {
    let mut rows = target_rows(record, dimensions, totals);
    // Distributions would make the rows of many keys and users large.
    let plain = || UsageTotals {
        firsts: ledger::QuantileSketch::default(),
        totals: ledger::QuantileSketch::default(),
        ..totals.clone()
    };
    let limit = record.limited_by.as_ref();
    let values = [
        (DetailKind::Key, record.key_id.as_ref()),
        (DetailKind::User, record.user.as_ref().filter(|user| !user.trim().is_empty())),
        (DetailKind::Client, record.client.as_ref()),
        (DetailKind::Limit, limit),
    ];
    for (kind, value) in values {
        if let Some(value) = value {
            let parts = vec![dimensions.consumer.clone(), value.clone()];
            rows.push(DetailRow { kind, parts, totals: plain() });
        }
    }
    rows
}

/// One row for each target that was called.
///
/// The fields of the totals mean: `requests` calls, `failed` calls without an answer, `hits` retries, `blocked`
/// hedges, `statuses` results, `firsts` times to the first content of streams, `totals` times of whole answers.
/// Tokens and cost belong to the target that answered.
fn target_rows(
    record: &Record,
    dimensions: &UsageDimensions,
    request: &UsageTotals,
) -> Vec<DetailRow> {
    let known = record.has_known_model();
    let results = attempt_results(record);
    let mut rows: Vec<DetailRow> = Vec::new();
    for (position, (attempt, result)) in record.attempts.iter().zip(&results).enumerate() {
        let (provider, model) = split_target(&attempt.target, known);
        let parts = vec![dimensions.route.clone(), provider.to_owned(), model.to_owned()];
        let is_retry = record.attempts[..position].iter().any(|it| it.target == attempt.target);
        let is_answered = *result == ANSWERED;
        let mut totals = UsageTotals {
            requests: 1,
            failed: u64::from(!is_answered),
            hits: u64::from(is_retry),
            blocked: u64::from(attempt.kind == AttemptKind::Hedge),
            ..UsageTotals::default()
        };
        totals.statuses.add(result_number(result), 1);
        let answers = record.target.as_ref() == Some(&attempt.target)
            && matches!(record.outcome, Outcome::Answered | Outcome::Truncated | Outcome::Blocked);
        if attempt.result == ANSWERED && answers {
            if record.stream {
                totals.firsts.record(attempt.ms);
                totals.first = 1;
                totals.first_ms = attempt.ms;
            }
            let before = attempt.began.since(Timestamp::from_millis(record.at_ms));
            let before = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
            let took = record.total_ms.saturating_sub(before);
            totals.total_ms = took;
            totals.totals.record(took);
            totals.input = request.input;
            totals.output = request.output;
            totals.cost = request.cost;
        }
        match rows.iter_mut().find(|row| row.parts == parts) {
            Some(row) => row.totals += &totals,
            None => rows.push(DetailRow { kind: DetailKind::Target, parts, totals }),
        }
    }
    rows
}

/// Something that cools down in an isolate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoolingDown {
    /// Id of the provider.
    pub(crate) provider: String,
    pub(crate) what: CoolingDownPart,
    pub(crate) until: Timestamp,
}

/// The part of a provider that cools down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CoolingDownPart {
    /// A target, by its model.
    Target(String),
    /// A key, by its position.
    Key(usize),
}

/// First part of a health row.
pub(crate) const ISOLATE_ROW: &str = "isolate";
pub(crate) const TARGET_ROW: &str = "target";
pub(crate) const KEY_ROW: &str = "key";

/// Width of a step in which the end of a cool-down is reported.
const END_STEP: u64 = 1_000;

/// The rows of one isolate's report. The end of a cool-down is in `statuses`, in seconds from the start of the
/// hour: the greatest one counts.
pub(crate) fn health_rows(report: &[CoolingDown], now: Timestamp) -> Vec<DetailRow> {
    let row = |parts: [&str; 3], end: Option<u16>| {
        let mut totals = UsageTotals { requests: 1, ..UsageTotals::default() };
        if let Some(end) = end {
            totals.statuses.add(end, 1);
        }
        DetailRow { kind: DetailKind::Health, parts: parts.map(str::to_owned).to_vec(), totals }
    };
    let mut rows = vec![row([ISOLATE_ROW, "", ""], None)];
    for part in report {
        let end = part.until.since(start_of_hour(now)).as_millis() / u128::from(END_STEP);
        let end = Some(u16::try_from(end).unwrap_or(u16::MAX));
        rows.push(match &part.what {
            CoolingDownPart::Target(model) => row([TARGET_ROW, &part.provider, model], end),
            CoolingDownPart::Key(key) => row([KEY_ROW, &part.provider, &key.to_string()], end),
        });
    }
    rows
}

/// The end of a cool-down in a row of an hour.
pub(crate) fn cool_down_end(hour: Timestamp, totals: &UsageTotals) -> Option<Timestamp> {
    let last = totals.statuses.iter().map(|(end, _)| u64::from(end)).max()?;
    Some(Timestamp::from_millis(hour.as_millis() + last * END_STEP))
}

/// Books with the last uses of keys.
const KEY_USE_SHARDS: u8 = 16;

/// Book with the last uses of a consumer's keys.
pub(crate) fn key_use_book(consumer: &str) -> BookId {
    let shard = Sha256::digest(consumer.as_bytes())[0] % KEY_USE_SHARDS;
    BookId::new(format!("usage/keys/{shard}"))
}

/// Key of a row with the days of a year on which a key was used: `year|consumer|key`.
pub(crate) fn key_use_row(year: &str, consumer: &str, key: &str) -> String {
    let mut row = format!("{year}k");
    for part in [consumer, key] {
        row.push('|');
        push_encoded(&mut row, part);
    }
    row
}

/// Parses the output of [`key_use_row`]: year, consumer, and key.
pub(crate) fn parse_key_use_row(row: &str) -> Option<(&str, Cow<'_, str>, Cow<'_, str>)> {
    let mut parts = row.split('|');
    let year = parts.next()?.strip_suffix('k')?;
    Some((year, decode_part(parts.next()?), decode_part(parts.next()?)))
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use ledger::UsageTotals;

    use crate::record::{Attempt, AttemptKind, Outcome, Record};
    use crate::telemetry::usage::keys::{UsageDimensions, parse_key};

    use super::{
        DetailKind, detail_rows, key_use_row, parse_detail_key, parse_key_use_row, result_name,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000 + 13 * 3_600_000);

    fn attempt(target: &str, result: &'static str, ms: u64, began: u64) -> Attempt {
        let began = Timestamp::from_millis(NOW.as_millis() + began);
        let started = Attempt::start(target.to_owned(), Some(0), AttemptKind::Primary, began);
        Attempt { result, ms, ..started }
    }

    #[test]
    fn rows_name_every_target_that_was_called() {
        let attempts = vec![
            attempt("a/m", "5xx", 10, 0),
            attempt("a/m", "timeout", 20, 10),
            attempt("b/n", "answered", 40, 30),
        ];
        let record = Record {
            at_ms: NOW.as_millis(),
            attempts,
            stream: true,
            outcome: Outcome::Answered,
            status: Some(200),
            target: Some("b/n".to_owned()),
            total_ms: 500,
            key_id: Some("key_1".to_owned()),
            user: Some(" ".to_owned()),
            client: Some("curl".to_owned()),
            ..Record::default()
        };
        let dimensions = UsageDimensions {
            consumer: "acme".to_owned(),
            route: "chat".to_owned(),
            ..UsageDimensions::default()
        };
        let totals = UsageTotals { requests: 1, output: 7, ..UsageTotals::default() };
        let rows = detail_rows(&record, &dimensions, &totals);
        let keys: Vec<String> = rows.iter().map(|row| row.hourly_key(NOW)).collect();
        assert_eq!(keys, ["13t|chat|a|m", "13t|chat|b|n", "13k|acme|key_1", "13c|acme|curl"]);
        let minutes: Vec<_> = rows.iter().filter_map(|row| row.minutely_key(NOW)).collect();
        assert_eq!(minutes, ["00t|chat|a|m", "00t|chat|b|n"]);
        let results = |at: usize| -> Vec<(&str, u64)> {
            let counts = rows[at].totals.statuses.iter();
            counts.map(|(number, count)| (result_name(number), count)).collect()
        };
        assert_eq!(results(0), [("timeout", 1), ("5xx", 1)]);
        let first = &rows[0].totals;
        assert_eq!((first.requests, first.failed, first.hits, first.output), (2, 2, 1, 0));
        let second = &rows[1].totals;
        assert_eq!((second.first_ms, second.total_ms, second.output), (40, 470, 7));
        assert_eq!((second.totals.quantile(500), second.failed), (Some(486), 0));
        // Readers of requests pass over these rows, and the other way round.
        assert!(keys.iter().all(|key| parse_key(key).is_none()));
        assert_eq!(parse_detail_key("13|a||m|p|r"), None);
        let parsed = parse_detail_key("13t|ch%7Cat|a|m").expect("a key");
        assert_eq!(
            parsed,
            (13, DetailKind::Target, ["ch|at", "a", "m"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn key_use_row_is_parsed_back() {
        let row = key_use_row("2026", "a|b", "key_1");
        let (year, consumer, key) = parse_key_use_row(&row).expect("a row");
        assert_eq!((year, &*consumer, &*key), ("2026", "a|b", "key_1"));
        assert_eq!(parse_key_use_row("2026|a|b"), None);
    }
}
