//! Aggregates finished requests and writes the totals to the ledger in the background.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::{Day, parse_timestamp_or_date};
use config::RequestLog;
use ledger::{BookId, CardinalityLimits, LogLine, NewLogLines, Operation, UsageRow, UsageTotals};
use openai::TokenSource;

use crate::fifo_cache::FifoCache;
use crate::host::{Host, futures};
use crate::limits::ledger_client;
use crate::record::{Outcome, Record};
use crate::rollouts::{self, Rollouts, feedback};
use crate::telemetry::metrics;

use super::details::{CoolingDown, detail_rows, health_rows, key_use_book, key_use_row};
use super::keys::{
    HOUR, MINUTE, RETENTION_DAYS, RETENTION_HOURS, SHARDS, UsageDimensions, day_book, hour_book,
    hourly_key, hourly_retained_until, minutely_key, minutely_retained_until, random_shard,
};
use super::request_log::log_line;

/// A writer that runs longer counts as dead: a host stops work that outlives its request too long.
const MAX_WRITE_TIME: Duration = Duration::from_secs(30);
/// Pause after the first write. Each next pause is twice as long, up to the host's maximum. A
/// gateway that is killed loses at most the totals of one pause and of the write in flight.
const MIN_WRITE_PAUSE: Duration = Duration::from_millis(100);
/// Pause while the ledger is unavailable.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(2);
/// Rows that may wait while the ledger is unavailable. Requests beyond them are not counted.
const MAX_WAITING_ROWS: usize = 10_000;
/// Lines of the request log that may wait.
const MAX_WAITING_LINES: usize = 1_000;
/// Keys whose last use is remembered; another one's is written again.
const MAX_KEYS_REMEMBERED: usize = 1_024;
/// Time for which the last use of a key is known.
const KEY_USE_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Totals that wait to be written. At most one writer runs. It writes at once, or after the host's
/// minimum delay, and then takes everything that was added meanwhile: under load there are far fewer
/// writes than requests.
#[derive(Debug)]
pub(crate) struct UsageAggregator {
    cardinality: Cell<CardinalityLimits>,
    waiting: RefCell<BTreeMap<(BookId, String), UsageRow>>,
    /// Lines of the request log, by book.
    waiting_log: RefCell<BTreeMap<BookId, Vec<LogLine>>>,
    /// Lines that one book keeps.
    max_log_lines: Cell<usize>,
    /// Minute of the last report of health.
    health_minute: Cell<u64>,
    /// Hours in which keys were last used here.
    key_uses: RefCell<FifoCache<String, u64>>,
    /// Operations that may have been applied or not. Each is repeated unchanged with the same id,
    /// and until it is confirmed no other operation is sent to its book.
    unconfirmed: RefCell<BTreeMap<BookId, Rc<Operation>>>,
    /// Prefix of operation ids: a random number that no other gateway has.
    id_seed: Cell<Option<u64>>,
    write_count: Cell<u64>,
    writing_since: Cell<Option<Timestamp>>,
    /// Their reports are written together with the totals.
    rollouts: Rc<Rollouts>,
}

impl UsageAggregator {
    /// Creates an aggregator with these bounds on the label values of metrics.
    pub(crate) fn new(limits: CardinalityLimits, rollouts: Rc<Rollouts>) -> Self {
        Self {
            cardinality: Cell::new(limits),
            rollouts,
            key_uses: RefCell::new(FifoCache::new(MAX_KEYS_REMEMBERED)),
            waiting: RefCell::default(),
            waiting_log: RefCell::default(),
            max_log_lines: Cell::default(),
            health_minute: Cell::default(),
            unconfirmed: RefCell::default(),
            id_seed: Cell::default(),
            write_count: Cell::default(),
            writing_since: Cell::default(),
        }
    }

    pub(crate) fn set_cardinality(&self, limits: CardinalityLimits) {
        self.cardinality.set(limits);
    }

    /// Adds a finished request; `cost` is in billionths of a USD.
    pub(crate) fn record<P: Host>(
        self: &Rc<Self>,
        host: &P,
        record: &Record,
        cost: u64,
        settings: RequestLog,
    ) {
        let Some(dimensions) = UsageDimensions::from_record(record) else { return };
        let at = Timestamp::from_millis(record.at_ms);
        let seed = self.id_seed.get().unwrap_or_else(|| {
            let seed = host.entropy();
            if !P::EXPIRES_ROWS {
                self.touch_expired(host.now(), random_shard(seed), settings.keep);
            }
            seed
        });
        self.id_seed.set(Some(seed));
        let shard = random_shard(seed);
        let totals = totals_of(record, cost);
        let (hour, minute) = (hourly_key(at, &dimensions), minutely_key(at, &dimensions));
        for row in detail_rows(record, &dimensions, &totals) {
            let day_book = day_book(Day::containing(at), shard);
            self.add_row(day_book, row.hourly_key(at), hourly_retained_until(at), &row.totals);
            if let Some(key) = row.minutely_key(at) {
                self.add_row(hour_book(at, shard), key, minutely_retained_until(at), &row.totals);
            }
        }
        self.add_key_use(record, &dimensions.consumer, at);
        if let Some(line) = log_line(record, settings, host.now()) {
            self.max_log_lines.set(settings.max.div_ceil(usize::from(SHARDS)));
            self.add_log_line(hour_book(host.now(), shard), line);
        }
        self.add_row(
            day_book(Day::containing(at), shard),
            hour,
            hourly_retained_until(at),
            &totals,
        );
        self.add_row(hour_book(at, shard), minute, minutely_retained_until(at), &totals);
        let book_id = metrics::book_id(shard);
        for (key, totals) in metrics::metric_rows(record, &dimensions, totals) {
            self.add_row(book_id.clone(), key, metrics::retained_until(at), &totals);
        }
        self.start_write(host);
    }

    /// Reports the targets and keys that cool down in this isolate, once in a minute.
    pub(crate) fn record_health(&self, now: Timestamp, report: impl FnOnce() -> Vec<CoolingDown>) {
        let minute = now.as_millis() / MINUTE;
        // The first request of an isolate chooses its shard.
        let Some(seed) = self.id_seed.get().filter(|_| self.health_minute.get() != minute) else {
            return;
        };
        self.health_minute.set(minute);
        for row in health_rows(&report(), now) {
            if let Some(key) = row.minutely_key(now) {
                let book_id = hour_book(now, random_shard(seed));
                self.add_row(book_id, key, minutely_retained_until(now), &row.totals);
            }
        }
        // The next write of totals takes the rows.
    }

    fn add_row(&self, book_id: BookId, key: String, until: Timestamp, totals: &UsageTotals) {
        let mut waiting = self.waiting.borrow_mut();
        let full = waiting.len() >= MAX_WAITING_ROWS;
        match waiting.entry((book_id, key)) {
            Entry::Occupied(mut before) => before.get_mut().totals += totals,
            Entry::Vacant(_) if full => {}
            Entry::Vacant(free) => {
                let key = free.key().1.clone();
                free.insert(UsageRow { key, until, totals: totals.clone() });
            }
        }
    }

    /// Records that a key was used on a day, once in an hour.
    fn add_key_use(&self, record: &Record, consumer: &str, at: Timestamp) {
        let Some(key) = &record.key_id else { return };
        let hour = at.as_millis() / HOUR;
        let mut uses = self.key_uses.borrow_mut();
        if uses.get_mut(key).is_some_and(|known| *known == hour) {
            return;
        }
        uses.insert(key.clone(), hour);
        let day = Day::containing(at).to_string();
        let Some((year, _)) = day.split_once('-') else { return };
        let mut totals = UsageTotals::default();
        totals.statuses.add(day_of_year(at), 1);
        let row = key_use_row(year, consumer, key);
        self.add_row(key_use_book(consumer), row, at + KEY_USE_RETENTION, &totals);
    }

    /// Adds a line to the log of a book, with the next write of totals.
    pub(crate) fn add_log_line(&self, book_id: BookId, line: LogLine) {
        let mut waiting = self.waiting_log.borrow_mut();
        let count: usize = waiting.values().map(Vec::len).sum();
        // While the ledger is unavailable, the first lines stay: they show what went wrong.
        if count < MAX_WAITING_LINES {
            waiting.entry(book_id).or_default().push(line);
        }
    }

    /// Touches the books whose retention has just ended, so that a host without expiry of its own
    /// clears them. Every gateway does so, because a book has this age for one hour or one day
    /// only; a book that is clear already costs a read and no write.
    fn touch_expired(&self, now: Timestamp, shard: u8, log_retention: Duration) {
        let before =
            |hours: u64| Timestamp::from_millis(now.as_millis().saturating_sub(hours * HOUR));
        let nothing = || {
            Rc::new(Operation::AddUsage {
                id: 0,
                bounds: None,
                rows: Vec::new(),
                log: NewLogLines::default(),
            })
        };
        let hours = RETENTION_HOURS.max(log_retention.as_secs() / 3_600 + 1);
        let hour = hour_book(before(hours + 2), shard);
        let day = day_book(Day::containing(before((RETENTION_DAYS + 2) * 24)), shard);
        self.unconfirmed.borrow_mut().extend([(hour, nothing()), (day, nothing())]);
    }

    fn start_write<P: Host>(self: &Rc<Self>, host: &P) {
        let now = host.now();
        let busy = self.writing_since.get();
        if busy.is_some_and(|since| now.since(since) < MAX_WRITE_TIME) {
            return;
        }
        self.writing_since.set(Some(now));
        let (aggregator, task_host) = (Rc::clone(self), host.clone());
        host.defer(async move {
            let started_at = task_host.now();
            let mut pause = MIN_WRITE_PAUSE.max(P::MIN_BATCH_DELAY);
            if !P::MIN_BATCH_DELAY.is_zero() {
                task_host.sleep(P::MIN_BATCH_DELAY).await;
            }
            loop {
                aggregator.prepare_writes();
                aggregator.prepare_reports(&task_host);
                let pending: Vec<(BookId, Rc<Operation>)> = {
                    let unconfirmed_writes = aggregator.unconfirmed.borrow();
                    unconfirmed_writes
                        .iter()
                        .map(|(book_id, it)| (book_id.clone(), Rc::clone(it)))
                        .collect()
                };
                if pending.is_empty() {
                    // A canary fails: its report does not wait for another request.
                    let Some(wait) = aggregator.rollouts.urgent_wait(task_host.now()) else {
                        break;
                    };
                    task_host.sleep(wait).await;
                    continue;
                }
                // Concurrently: no book waits for another one's host.
                let call = |(book_id, operation): &(BookId, Rc<Operation>)| {
                    let (task_host, book_id, operation) =
                        (task_host.clone(), book_id.clone(), Rc::clone(operation));
                    async move { ledger_client::call(&task_host, &book_id, &operation).await.ok() }
                };
                let replies = futures::join_all(pending.iter().map(call).collect()).await;
                let has_failed = replies.contains(&None);
                for ((book_id, operation), reply) in pending.into_iter().zip(replies) {
                    if reply.is_some() {
                        aggregator.confirmed(&book_id, &operation);
                    }
                    let reply = (&book_id, reply);
                    rollouts::confirm(&aggregator.rollouts, &task_host, &operation, reply).await;
                }
                // The next request's writer takes the rest.
                if task_host.now().since(started_at) + UNAVAILABLE_PAUSE >= MAX_WRITE_TIME {
                    break;
                }
                task_host.sleep(if has_failed { UNAVAILABLE_PAUSE } else { pause }).await;
                pause = (pause * 2).min(P::MAX_BATCH_DELAY);
            }
            aggregator.writing_since.set(None);
        });
    }

    fn confirmed(&self, book_id: &BookId, operation: &Rc<Operation>) {
        let mut unconfirmed_writes = self.unconfirmed.borrow_mut();
        // Another writer, which took this one for dead, may have confirmed it earlier.
        if unconfirmed_writes.get(book_id).is_some_and(|it| Rc::ptr_eq(it, operation)) {
            unconfirmed_writes.remove(book_id);
        }
    }

    /// Adds the reports of rollouts that are due.
    fn prepare_reports<P: Host>(&self, host: &P) {
        let mut unconfirmed_writes = self.unconfirmed.borrow_mut();
        let is_free = |book_id: &BookId| !unconfirmed_writes.contains_key(book_id);
        let reports = self.rollouts.take_reports(host, is_free);
        unconfirmed_writes.extend(reports.into_iter().map(|(id, it)| (id, Rc::new(it))));
    }

    /// Builds one operation for each book without an unconfirmed one.
    fn prepare_writes(&self) {
        let mut unconfirmed_writes = self.unconfirmed.borrow_mut();
        let mut rows: BTreeMap<BookId, Vec<UsageRow>> = BTreeMap::new();
        let mut waiting = self.waiting.borrow_mut();
        for ((book_id, key), row) in std::mem::take(&mut *waiting) {
            if unconfirmed_writes.contains_key(&book_id) {
                waiting.insert((book_id, key), row);
            } else {
                rows.entry(book_id).or_default().push(row);
            }
        }
        let mut waiting_log = self.waiting_log.borrow_mut();
        let mut logs: BTreeMap<BookId, Vec<LogLine>> = BTreeMap::new();
        for (book_id, lines) in std::mem::take(&mut *waiting_log) {
            if unconfirmed_writes.contains_key(&book_id) {
                waiting_log.insert(book_id, lines);
            } else {
                rows.entry(book_id.clone()).or_default();
                logs.insert(book_id, lines);
            }
        }
        for (book_id, rows) in rows {
            let lines = logs.remove(&book_id).unwrap_or_default();
            let log = if feedback::is_book(&book_id) {
                feedback::new_lines(lines)
            } else {
                NewLogLines { max: self.max_log_lines.get(), lines }
            };
            let written = self.write_count.get() + 1;
            self.write_count.set(written);
            let id = self.id_seed.get().unwrap_or_default().wrapping_add(written);
            let limits = metrics::is_metrics_book(&book_id).then_some(self.cardinality.get());
            unconfirmed_writes
                .insert(book_id, Rc::new(Operation::AddUsage { id, bounds: limits, rows, log }));
        }
    }
}

fn totals_of(record: &Record, cost: u64) -> UsageTotals {
    let count = |condition: bool| u64::from(condition);
    let failed = matches!(record.outcome, Outcome::Failed | Outcome::Truncated);
    let tokens = record.tokens;
    let is_estimated = tokens.counted == TokenSource::Estimated;
    let estimated = |tokens: u64| if is_estimated { tokens } else { 0 };
    // Calls whose answers were not used are charged by estimate beside a reported answer.
    let estimated_input = estimated(tokens.input).max(record.lost_tokens());
    let mut totals = UsageTotals {
        requests: 1,
        failed: count(failed),
        limited: count(record.outcome == Outcome::Refused && record.limited_by.is_some()),
        hits: count(record.cache == Some("hit")),
        blocked: count(record.blocked_by.is_some()),
        estimated: count(is_estimated),
        input: tokens.input,
        cached: tokens.cached,
        cache_write: tokens.cache_write,
        output: tokens.output,
        reasoning: tokens.reasoning,
        estimated_input,
        estimated_output: estimated(tokens.output),
        cost,
        first_ms: record.first_token_ms.unwrap_or(0),
        first: count(record.first_token_ms.is_some()),
        total_ms: record.total_ms,
        ..UsageTotals::default()
    };
    if let Some(first) = record.first_token_ms {
        totals.firsts.record(first);
    }
    totals.totals.record(record.total_ms);
    totals
}

/// Days since the first of January, from 0.
fn day_of_year(at: Timestamp) -> u16 {
    let text = Day::containing(at).to_string();
    let year = text.split_once('-').map_or("", |(year, _)| year);
    let first = parse_timestamp_or_date(&format!("{year}-01-01"));
    let days = first.map_or(0, |first| at.since(first).as_secs() / (24 * 60 * 60));
    u16::try_from(days).unwrap_or(u16::MAX)
}
