//! Reading of the request log: hour by hour, from the books of every shard.

use civil_time::Timestamp;
use ledger::{LedgerReply, LogLine, LogQuery, Operation};

use crate::host::{Host, futures};
use crate::telemetry::usage::keys::{HOUR, SHARDS, hour_book, start_of_hour};
use crate::telemetry::usage::request_log::LoggedRequest;

use super::AdminRequest;
use super::response::AdminError;

/// Hours read for one response, each from [`SHARDS`] books. Workers allow 50 calls on their free plan.
pub(super) const MAX_HOURS_READ: usize = 10;

/// Reads of the log for one response.
const MAX_READS: usize = 44;

/// Time for which a line may be written late, into the hour in which its request ended.
const MAX_LATENESS: u64 = 2 * 60 * 1_000;

/// Lines counted at most in one book.
const MAX_LINES_COUNTED: usize = 20_000;

/// Numbers of lines in a millisecond.
const NUMBERS_PER_MILLI: u64 = 1_000;

/// Number of shards.
const SHARD_COUNT: usize = SHARDS as usize;

/// The hours of a time range, the newest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogWindow {
    /// Start of the next hour to read.
    next: Timestamp,
    oldest: Timestamp,
    is_over: bool,
}

impl LogWindow {
    pub(super) fn before(newest: Timestamp, oldest: Timestamp) -> Self {
        Self {
            next: start_of_hour(newest),
            oldest: start_of_hour(oldest),
            is_over: newest < oldest,
        }
    }

    pub(super) fn next_hour(&mut self) -> Option<Timestamp> {
        if self.is_over {
            return None;
        }
        let hour = self.next;
        self.is_over = hour <= self.oldest;
        self.next = Timestamp::from_millis(hour.as_millis().saturating_sub(HOUR));
        Some(hour)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Start of the next hour.
    pub(super) fn next_start(&self) -> Timestamp {
        self.next
    }
}

/// The end of a page: an hour, and the number before which it continues. A line may be written into an hour that
/// is over, so a number alone does not tell the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogCursor {
    pub(super) hour: Timestamp,
    pub(super) before: u64,
}

impl LogCursor {
    pub(super) fn at_end_of(hour: Timestamp) -> Self {
        Self { hour, before: u64::MAX }
    }

    pub(super) fn to_text(self) -> String {
        format!("{}-{}", self.hour.as_millis(), self.before)
    }

    pub(super) fn parse(text: &str) -> Result<Self, AdminError> {
        let numbers = text.split_once('-');
        let numbers =
            numbers.and_then(|(hour, before)| Some((hour.parse().ok()?, before.parse().ok()?)));
        let (hour, before) = numbers.ok_or_else(|| {
            AdminError::invalid("cursor", format!("{text:?}"), "a cursor from a previous response")
        })?;
        Ok(Self { hour: start_of_hour(Timestamp::from_millis(hour)), before })
    }
}

/// A place in the log: the last number that was read of each shard, in an hour and in the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPosition {
    hour: Timestamp,
    numbers: [[u64; SHARD_COUNT]; 2],
}

impl LogPosition {
    pub(super) fn to_text(&self) -> String {
        let numbers = self.numbers.iter().flatten().map(u64::to_string);
        let parts: Vec<String> =
            [self.hour.as_millis().to_string()].into_iter().chain(numbers).collect();
        parts.join("-")
    }

    pub(super) fn parse(text: &str) -> Result<Self, AdminError> {
        let wrong =
            || AdminError::invalid("after", format!("{text:?}"), "`newest` of a previous response");
        let numbers: Option<Vec<u64>> = text.split('-').map(|part| part.parse().ok()).collect();
        let numbers = numbers.filter(|all| all.len() == 1 + 2 * SHARD_COUNT).ok_or_else(wrong)?;
        let hour = start_of_hour(Timestamp::from_millis(numbers[0]));
        let mut position = Self { hour, numbers: [[0; SHARD_COUNT]; 2] };
        for (at, number) in numbers[1..].iter().enumerate() {
            position.numbers[at / SHARD_COUNT][at % SHARD_COUNT] = *number;
        }
        Ok(position)
    }
}

/// Reads the log for one response.
pub(super) struct LogReader<'a, P> {
    request: &'a AdminRequest<'a, P>,
    /// Texts that a line must contain.
    parts: Vec<String>,
    reads: usize,
}

impl<'a, P: Host> LogReader<'a, P> {
    pub(super) fn new(request: &'a AdminRequest<'a, P>, parts: Vec<String>) -> Self {
        Self { request, parts, reads: 0 }
    }

    /// Whether another look at the end of the log is within the bound on reads.
    pub(super) fn can_read_again(&self) -> bool {
        self.reads + 2 * SHARD_COUNT <= MAX_READS
    }

    /// The newest lines of an hour, with their numbers.
    pub(super) async fn read_hour(
        &mut self,
        hour: Timestamp,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, LoggedRequest)>, AdminError> {
        let parts = self.parts.clone();
        let query = LogQuery { before, parts, texts: true, limit, ..LogQuery::default() };
        let lines = self.read(hour, [(); SHARD_COUNT].map(|()| query.clone())).await?;
        let mut lines: Vec<LogLine> = lines.into_iter().flatten().collect();
        sorting::sort_by_key(&mut lines, |line| std::cmp::Reverse(line.number));
        lines.truncate(limit);
        Ok(parse_lines(&lines))
    }

    /// Time and label of every line of an hour.
    pub(super) async fn read_labels(
        &mut self,
        hour: Timestamp,
    ) -> Result<Vec<(Timestamp, String)>, AdminError> {
        let parts = self.parts.clone();
        let query = LogQuery { parts, limit: MAX_LINES_COUNTED, ..LogQuery::default() };
        let lines = self.read(hour, [(); SHARD_COUNT].map(|()| query.clone())).await?;
        let at =
            |line: LogLine| (Timestamp::from_millis(line.number / NUMBERS_PER_MILLI), line.label);
        Ok(lines.into_iter().flatten().map(at).collect())
    }

    /// The end of the log at `now`.
    pub(super) async fn end(&mut self, now: Timestamp) -> Result<LogPosition, AdminError> {
        let hour = base_hour(now);
        let mut position = LogPosition { hour, numbers: [[0; SHARD_COUNT]; 2] };
        let query = LogQuery { limit: 1, ..LogQuery::default() };
        for (at, numbers) in position.numbers.iter_mut().enumerate() {
            let hour = Timestamp::from_millis(hour.as_millis() + at as u64 * HOUR);
            if hour > now {
                break;
            }
            let lines = self.read(hour, [(); SHARD_COUNT].map(|()| query.clone())).await?;
            for (number, lines) in numbers.iter_mut().zip(lines) {
                *number = lines.first().map_or(0, |line| line.number);
            }
        }
        Ok(position)
    }

    /// At most `limit` lines of each shard after a position, the newest first, and the position behind them.
    pub(super) async fn read_after(
        &mut self,
        position: &LogPosition,
        limit: usize,
    ) -> Result<(Vec<LoggedRequest>, LogPosition), AdminError> {
        let now = self.request.host.now();
        let hour = base_hour(now);
        let mut next = LogPosition { hour, numbers: [[0; SHARD_COUNT]; 2] };
        // Skips entries older than the last hour.
        for (at, numbers) in position.numbers.iter().enumerate() {
            let of_hour = position.hour.as_millis() + at as u64 * HOUR;
            for (to, kept) in next.numbers.iter_mut().enumerate() {
                if of_hour == hour.as_millis() + to as u64 * HOUR {
                    *kept = *numbers;
                }
            }
        }
        let mut found = Vec::new();
        for (at, numbers) in next.numbers.iter_mut().enumerate() {
            let hour = Timestamp::from_millis(hour.as_millis() + at as u64 * HOUR);
            if hour > now {
                break;
            }
            let parts = self.parts.clone();
            let queries = numbers.map(|number| LogQuery {
                after: Some(number),
                parts: parts.clone(),
                texts: true,
                limit,
                ..LogQuery::default()
            });
            let lines = self.read(hour, queries).await?;
            for (number, lines) in numbers.iter_mut().zip(lines) {
                *number = lines.first().map_or(*number, |line| line.number);
                found.extend(lines);
            }
        }
        sorting::sort_by_key(&mut found, |line| std::cmp::Reverse(line.number));
        let parsed = parse_lines(&found).into_iter().map(|(_, line)| line).collect();
        Ok((parsed, next))
    }

    /// Reads the books of an hour, each with its own query.
    async fn read(
        &mut self,
        hour: Timestamp,
        queries: [LogQuery; SHARD_COUNT],
    ) -> Result<Vec<Vec<LogLine>>, AdminError> {
        self.reads += SHARD_COUNT;
        let host = self.request.host;
        let read = |(shard, query): (u8, LogQuery)| async move {
            host.apply(&hour_book(hour, shard), &Operation::ReadLog(query)).await
        };
        let reads = (0..SHARDS).zip(queries).map(read).collect();
        let mut found = Vec::with_capacity(SHARD_COUNT);
        for reply in futures::join_all(reads).await {
            let Ok(LedgerReply::Log(lines)) = reply else {
                return Err(AdminError::ledger_unavailable());
            };
            found.push(lines);
        }
        Ok(found)
    }
}

/// The hour that may still receive lines: at the beginning of an hour, the one before.
fn base_hour(now: Timestamp) -> Timestamp {
    start_of_hour(Timestamp::from_millis(now.as_millis().saturating_sub(MAX_LATENESS)))
}

fn parse_lines(lines: &[LogLine]) -> Vec<(u64, LoggedRequest)> {
    let parse = |line: &LogLine| Some((line.number, json::from_text(&line.text).ok()?));
    lines.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use super::{HOUR, LogPosition, LogWindow};

    #[test]
    fn window_counts_hours_down() {
        let at = |hours: u64, more: u64| Timestamp::from_millis(hours * HOUR + more);
        let mut window = LogWindow::before(at(5, 1), at(3, 7));
        let hours: Vec<Timestamp> = std::iter::from_fn(|| window.next_hour()).collect();
        assert_eq!(hours, [at(5, 0), at(4, 0), at(3, 0)]);
        assert!(window.is_over() && LogWindow::before(at(1, 0), at(2, 0)).is_over());
    }

    #[test]
    fn position_is_parsed_back() {
        let position = LogPosition {
            hour: Timestamp::from_millis(5 * HOUR),
            numbers: [[1, 2, 3, 4], [0, 6, 7, 8]],
        };
        assert_eq!(LogPosition::parse(&position.to_text()).expect("it is right"), position);
        for wrong in ["", "1-2", "a-1-2-3-4-5-6-7-8", "1-2-3-4-5-6-7-8-9-10"] {
            assert!(LogPosition::parse(wrong).is_err(), "{wrong}");
        }
    }
}
