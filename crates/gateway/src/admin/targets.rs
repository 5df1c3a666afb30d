//! `/targets`: calls to each target of each route, their results and durations.

use std::collections::BTreeMap;

use civil_time::Timestamp;
use ledger::UsageTotals;
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::telemetry::usage::details::{DetailKind, parse_detail_key, result_name};

use super::AdminRequest;
use super::limit::billionths_to_usd;
use super::response::{AdminResponse, AdminResult, rfc3339_json};
use super::usage::{UsageSums, add_bins, range_json, read_rows};
use super::usage_query::{RANGE_PARAMETERS, UsageRange, is_wanted};

/// Filters, in the order of a row's parts. They may be repeated.
const FILTERS: [&str; 3] = ["route", "provider", "model"];

/// `GET /targets`
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let allowed = [&["bins"][..], &RANGE_PARAMETERS, &FILTERS].concat();
    let query = request.parse_repeatable(&allowed, &FILTERS)?;
    let range = UsageRange::parse(&query, request.host.now())?;
    let with_bins = query.flag("bins")?;
    let wanted = FILTERS.map(|name| query.all(name));
    let mut sums = UsageSums::default();
    read_rows(request, &range, |begin, row| {
        let Some((number, DetailKind::Target, parts)) = parse_detail_key(&row.key) else {
            return Ok(());
        };
        let fits = wanted.iter().zip(&parts).all(|(wanted, part)| is_wanted(wanted, part));
        match range.start_of_row(begin, number).filter(|_| fits && parts.len() == 3) {
            None => Ok(()),
            Some(start) => sums.add(start, parts, &row.totals),
        }
    })
    .await?;
    // The share of a target is that of its route's calls in the same step.
    let mut calls: BTreeMap<(Timestamp, &str), u64> = BTreeMap::new();
    for ((start, parts), totals) in &sums.0 {
        *calls.entry((*start, &parts[0])).or_default() += totals.requests;
    }
    let data = sums.0.iter().map(|((start, parts), totals)| {
        let [route, provider, model] = parts.as_slice() else { return Value::Null };
        let of_route = calls.get(&(*start, route.as_str())).copied().unwrap_or_default();
        let mut shown = target_json(totals);
        shown["start"] = rfc3339_json(*start);
        shown["route"] = json!(route);
        shown["target"] = json!(format!("{provider}/{model}"));
        shown["provider"] = json!(provider);
        shown["model"] = json!(model);
        shown["share"] = json!(totals.requests as f64 / of_route.max(1) as f64);
        if with_bins {
            add_bins(&mut shown, totals);
        }
        shown
    });
    let mut shown = range_json(&range);
    shown["data"] = data.collect();
    Ok(AdminResponse::json(&shown))
}

fn target_json(totals: &UsageTotals) -> Value {
    let by_result: Map<String, Value> = totals
        .statuses
        .iter()
        .map(|(number, count)| (result_name(number).to_owned(), json!(count)))
        .collect();
    json!({
        "calls": totals.requests,
        "answered": totals.requests.saturating_sub(totals.failed),
        "by_result": by_result,
        "retried": totals.hits,
        "hedged": totals.blocked,
        "input_tokens": totals.input,
        "output_tokens": totals.output,
        "cost_usd": billionths_to_usd(totals.cost),
        "p50_first_token_ms": totals.firsts.quantile(500),
        "p95_first_token_ms": totals.firsts.quantile(950),
        "p99_first_token_ms": totals.firsts.quantile(990),
        "p50_total_ms": totals.totals.quantile(500),
        "p95_total_ms": totals.totals.quantile(950),
        "p99_total_ms": totals.totals.quantile(990),
    })
}
