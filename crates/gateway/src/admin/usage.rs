//! `/usage`: totals of past requests, for the console and for billing.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::Day;
use http::StatusCode;
use ledger::{BookId, LedgerReply, Operation, UsageRow, UsageTotals};
use serde_json::{Value, json};

use crate::host::{Host, futures};
use crate::telemetry::usage::keys::{self, RETENTION_DAYS, SHARDS, UsageDimensions};

use super::AdminRequest;
use super::limit::billionths_to_usd;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// Bound on rows, and thereby on an isolate's memory.
const MAX_ROWS: usize = 10_000;

/// Books read concurrently: each may return up to one megabyte.
const CONCURRENT_READS: usize = 8;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `GET /usage`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["by", "from", "to", "step"])?;
    let now = request.host.now();
    let wanted = UsageQuery::parse(&query, now)?;
    let mut table = UsageTable::new(&wanted);
    for some in wanted.books().chunks(CONCURRENT_READS) {
        let read = |(_, book): &(Timestamp, BookId)| {
            let book = book.clone();
            async move { request.host.apply(&book, &Operation::ReadUsage).await }
        };
        let replies = futures::join_all(some.iter().map(read).collect()).await;
        for ((begin, _), reply) in some.iter().zip(replies) {
            let Ok(LedgerReply::Usage(rows)) = reply else {
                return Err(AdminError::ledger_unavailable());
            };
            for row in rows.iter().filter(|row| row.until > now) {
                table.add(*begin, row);
            }
            if table.rows.len() > MAX_ROWS {
                let message = format!(
                    "More than {MAX_ROWS} rows: shorten the time range, or group by fewer dimensions."
                );
                return Err(AdminError::new(StatusCode::BAD_REQUEST, "too_many_rows", message));
            }
        }
    }
    Ok(AdminResponse::json(&table.to_json()))
}

/// A dimension to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsageDimension {
    Consumer,
    Group,
    Model,
    Provider,
    Route,
}

impl UsageDimension {
    const ALL: [Self; 5] = [Self::Consumer, Self::Group, Self::Model, Self::Provider, Self::Route];

    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Group => "group",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }

    fn value_in(self, dimensions: &UsageDimensions) -> &str {
        match self {
            Self::Consumer => &dimensions.consumer,
            Self::Group => &dimensions.group,
            Self::Model => &dimensions.model,
            Self::Provider => &dimensions.provider,
            Self::Route => &dimensions.route,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeStep {
    Minute,
    Hour,
    Day,
    Total,
}

impl TimeStep {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Total];

    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Total => "total",
        }
    }

    /// Resolution of the stored totals for this step: a minute or an hour.
    fn resolution(self) -> Duration {
        match self {
            Self::Minute => MINUTE,
            Self::Hour | Self::Day | Self::Total => HOUR,
        }
    }

    /// Longest time range of a request.
    fn max_range(self) -> Duration {
        match self {
            Self::Minute => DAY,
            Self::Hour | Self::Day | Self::Total => DAY * RETENTION_DAYS as u32,
        }
    }
}

/// A valid query.
#[derive(Debug)]
struct UsageQuery {
    from: Timestamp,
    to: Timestamp,
    step: TimeStep,
    by: Vec<UsageDimension>,
}

impl UsageQuery {
    fn parse(query: &Query, now: Timestamp) -> Result<Self, AdminError> {
        let to = query.time("to")?.unwrap_or(now);
        let day_before = to.as_millis().saturating_sub(DAY.as_millis() as u64);
        let from = query.time("from")?.unwrap_or(Timestamp::from_millis(day_before));
        if from >= to {
            return Err(AdminError::invalid(
                "from",
                "a time that is not before `to`",
                "a time before `to`",
            ));
        }
        let text = query.get("step").unwrap_or("total");
        let step = TimeStep::ALL.into_iter().find(|step| step.name() == text);
        let step = step.ok_or_else(|| {
            AdminError::invalid("step", format!("{text:?}"), "minute, hour, day, or total")
        })?;
        if to.since(from) > step.max_range() {
            let days = step.max_range().as_secs() / DAY.as_secs();
            let expected = match step {
                TimeStep::Minute => "at most 24 hours before `to` with step=minute".to_owned(),
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    format!("at most {days} days before `to`")
                }
            };
            return Err(AdminError::invalid("from", "a longer time range", expected));
        }
        // A minute or hour that has begun counts whole.
        let grain = step.resolution().as_millis() as u64;
        let from = Timestamp::from_millis(from.as_millis() / grain * grain);
        let mut by = Vec::new();
        for name in query.get("by").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
            let dimension =
                UsageDimension::ALL.into_iter().find(|dimension| dimension.name() == name);
            match dimension {
                Some(dimension) if !by.contains(&dimension) => by.push(dimension),
                Some(_) => {}
                None => {
                    let expected =
                        "consumer, group, model, provider, or route, separated by commas";
                    return Err(AdminError::invalid("by", format!("{name:?}"), expected));
                }
            }
        }
        Ok(Self { from, to, step, by })
    }

    /// The books to read, each with the time of its first row.
    fn books(&self) -> Vec<(Timestamp, BookId)> {
        let mut books = Vec::new();
        let mut begin = match self.step {
            TimeStep::Minute => keys::start_of_hour(self.from),
            TimeStep::Hour | TimeStep::Day | TimeStep::Total => Day::containing(self.from).start(),
        };
        while begin < self.to {
            let shards = (0..SHARDS).map(|shard| match self.step {
                TimeStep::Minute => keys::hour_book(begin, shard),
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    keys::day_book(Day::containing(begin), shard)
                }
            });
            books.extend(shards.map(|book| (begin, book)));
            begin = match self.step {
                TimeStep::Minute => begin + HOUR,
                TimeStep::Hour | TimeStep::Day | TimeStep::Total => {
                    Day::containing(begin).next().start()
                }
            };
        }
        books
    }
}

/// Totals by the start of their step and by the values of the dimensions.
#[derive(Debug)]
struct UsageTable<'a> {
    query: &'a UsageQuery,
    rows: BTreeMap<(Timestamp, Vec<String>), UsageTotals>,
}

impl<'a> UsageTable<'a> {
    fn new(query: &'a UsageQuery) -> Self {
        Self { query, rows: BTreeMap::new() }
    }

    /// Adds a row of a book whose first row starts at `begin`.
    fn add(&mut self, begin: Timestamp, row: &UsageRow) {
        let Some((number, dimensions)) = keys::parse_key(&row.key) else { return };
        let at = begin + self.query.step.resolution() * u32::from(number);
        if at < self.query.from || at >= self.query.to {
            return;
        }
        let start = match self.query.step {
            TimeStep::Minute | TimeStep::Hour => at,
            TimeStep::Day => Day::containing(at).start(),
            TimeStep::Total => self.query.from,
        };
        let by = self
            .query
            .by
            .iter()
            .map(|dimension| dimension.value_in(&dimensions).to_owned())
            .collect();
        *self.rows.entry((start, by)).or_default() += &row.totals;
    }

    fn to_json(&self) -> Value {
        let UsageQuery { from, to, step, by } = self.query;
        let names: Vec<&str> = by.iter().map(|dimension| dimension.name()).collect();
        let data = self.rows.iter().map(|((start, values), totals)| {
            let mut shown = totals_json(totals);
            shown["start"] = rfc3339_json(*start);
            for (name, value) in names.iter().zip(values) {
                shown[*name] = json!(value);
            }
            shown
        });
        json!({
            "from": rfc3339_json(*from),
            "to": rfc3339_json(*to),
            "step": step.name(),
            "by": names,
            "data": data.collect::<Vec<Value>>(),
        })
    }
}

fn totals_json(totals: &UsageTotals) -> Value {
    json!({
        "requests": totals.requests,
        "failed": totals.failed,
        "limited": totals.limited,
        "cache_hits": totals.hits,
        "guard_blocks": totals.blocked,
        "estimated": totals.estimated,
        "input_tokens": totals.input,
        "cached_tokens": totals.cached,
        "cache_write_tokens": totals.cache_write,
        "output_tokens": totals.output,
        "reasoning_tokens": totals.reasoning,
        "cost_usd": billionths_to_usd(totals.cost),
        "mean_first_token_ms": totals.first_ms.checked_div(totals.first),
        "p50_first_token_ms": totals.firsts.quantile(500),
        "p95_first_token_ms": totals.firsts.quantile(950),
        "p99_first_token_ms": totals.firsts.quantile(990),
        "mean_total_ms": totals.total_ms.checked_div(totals.requests),
        "p50_total_ms": totals.totals.quantile(500),
        "p95_total_ms": totals.totals.quantile(950),
        "p99_total_ms": totals.totals.quantile(990),
    })
}
