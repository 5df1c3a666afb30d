//! `/usage`: totals of past requests, for the console and for billing.

use std::collections::BTreeMap;

use civil_time::Timestamp;
use http::StatusCode;
use ledger::{LedgerReply, Operation, QuantileSketch, UsageRow, UsageTotals};
use serde_json::{Value, json};

use crate::host::{Host, futures};
use crate::telemetry::usage::details::parse_detail_key;
use crate::telemetry::usage::keys::{self, UsageDimensions};

use super::AdminRequest;
use super::limit::billionths_to_usd;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};
use super::usage_query::{FILTERS, Grouping, RANGE_PARAMETERS, UsageRange, is_wanted};

/// Bound on rows, and thereby on an isolate's memory.
const MAX_ROWS: usize = 10_000;

/// Books read concurrently: each may return up to one megabyte.
const CONCURRENT_READS: usize = 8;

/// `GET /usage`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let allowed = [&["by", "bins"][..], &RANGE_PARAMETERS, &FILTERS].concat();
    let query = request.parse_repeatable(&allowed, &FILTERS)?;
    let range = UsageRange::parse(&query, request.host.now())?;
    let grouping = Grouping::parse(&query, range.step)?;
    let with_bins = query.flag("bins")?;
    let filter = UsageFilter::parse(&query);
    let mut sums = UsageSums::default();
    read_rows(request, &range, |begin, row| {
        let Some((number, values)) = row_values(&grouping, &filter, row) else { return Ok(()) };
        match range.start_of_row(begin, number) {
            None => Ok(()),
            Some(start) => sums.add(start, values, &row.totals),
        }
    })
    .await?;
    let names = grouping.names();
    let data = sums.0.iter().map(|((start, values), totals)| {
        let mut shown = totals_json(totals);
        shown["start"] = rfc3339_json(*start);
        for (name, value) in names.iter().zip(values) {
            shown[*name] = json!(value);
        }
        if with_bins {
            add_bins(&mut shown, totals);
        }
        shown
    });
    let mut shown = range_json(&range);
    shown["by"] = json!(names);
    shown["data"] = data.collect();
    Ok(AdminResponse::json(&shown))
}

/// The range of a response, its step, and the zone of its days.
pub(super) fn range_json(range: &UsageRange) -> Value {
    json!({
        "from": rfc3339_json(range.from),
        "to": rfc3339_json(range.to),
        "step": range.step.name(),
        "timezone": range.zone_name(),
    })
}

/// Reads the books of a range and hands over each row with the time of its book's first row.
pub(super) async fn read_rows<P: Host>(
    request: &AdminRequest<'_, P>,
    range: &UsageRange,
    mut add: impl FnMut(Timestamp, &UsageRow) -> Result<(), AdminError>,
) -> Result<(), AdminError> {
    let now = request.host.now();
    for some in range.books().chunks(CONCURRENT_READS) {
        let read = |(_, book): &(Timestamp, ledger::BookId)| {
            let book = book.clone();
            async move { request.host.apply(&book, &Operation::ReadUsage).await }
        };
        let replies = futures::join_all(some.iter().map(read).collect()).await;
        for ((begin, _), reply) in some.iter().zip(replies) {
            let Ok(LedgerReply::Usage(rows)) = reply else {
                return Err(AdminError::ledger_unavailable());
            };
            for row in rows.iter().filter(|row| row.until > now) {
                add(*begin, row)?;
            }
        }
    }
    Ok(())
}

/// Totals by the start of their step and by the values of the dimensions.
#[derive(Debug, Default)]
pub(super) struct UsageSums(pub(super) BTreeMap<(Timestamp, Vec<String>), UsageTotals>);

impl UsageSums {
    pub(super) fn add(
        &mut self,
        start: Timestamp,
        values: Vec<String>,
        totals: &UsageTotals,
    ) -> Result<(), AdminError> {
        *self.0.entry((start, values)).or_default() += totals;
        if self.0.len() <= MAX_ROWS {
            return Ok(());
        }
        let message = format!(
            "More than {MAX_ROWS} rows: shorten the time range, or group by fewer dimensions."
        );
        Err(AdminError::new(StatusCode::BAD_REQUEST, "too_many_rows", message))
    }
}

/// Wanted values of each dimension; every value if none is named.
#[derive(Debug)]
struct UsageFilter<'a> {
    route: Vec<&'a str>,
    consumer: Vec<&'a str>,
    group: Vec<&'a str>,
    model: Vec<&'a str>,
    provider: Vec<&'a str>,
}

impl<'a> UsageFilter<'a> {
    fn parse(query: &'a Query) -> Self {
        let [route, consumer, group, model, provider] = FILTERS.map(|name| query.all(name));
        Self { route, consumer, group, model, provider }
    }

    fn matches(&self, dimensions: &UsageDimensions) -> bool {
        is_wanted(&self.route, &dimensions.route)
            && is_wanted(&self.consumer, &dimensions.consumer)
            && is_wanted(&self.group, &dimensions.group)
            && is_wanted(&self.model, &dimensions.model)
            && is_wanted(&self.provider, &dimensions.provider)
    }
}

/// The number of a row and the values that it is grouped by. `None` if it is not wanted.
fn row_values(
    grouping: &Grouping,
    filter: &UsageFilter<'_>,
    row: &UsageRow,
) -> Option<(u8, Vec<String>)> {
    match grouping {
        Grouping::Requests(by) => {
            let (number, dimensions) = keys::parse_key(&row.key)?;
            let values = by.iter().map(|it| it.value_in(&dimensions).to_owned()).collect();
            filter.matches(&dimensions).then_some((number, values))
        }
        Grouping::Details { kind, by_consumer } => {
            let (number, found, mut parts) = parse_detail_key(&row.key)?;
            let is_ours = found == *kind && parts.len() == 2;
            if !is_ours || !is_wanted(&filter.consumer, &parts[0]) {
                return None;
            }
            if !by_consumer {
                parts.remove(0);
            }
            Some((number, parts))
        }
    }
}

/// Adds the distributions of durations to a row.
pub(super) fn add_bins(shown: &mut Value, totals: &UsageTotals) {
    shown["first_token_bins"] = bins_json(&totals.firsts);
    shown["total_bins"] = bins_json(&totals.totals);
}

/// A distribution as pairs of bin and count.
fn bins_json(sketch: &QuantileSketch) -> Value {
    sketch.bins().map(|(bin, count)| json!([bin, count])).collect()
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
