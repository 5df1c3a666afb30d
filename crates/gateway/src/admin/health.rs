//! `/health`: targets and keys that cool down, as the isolates report it.

use std::collections::BTreeMap;

use civil_time::Timestamp;
use ledger::{LedgerReply, Operation, UsageTotals};
use serde_json::{Value, json};

use crate::host::{Host, futures};
use crate::telemetry::usage::details::{
    CoolingDownPart, DetailKind, ISOLATE_ROW, KEY_ROW, TARGET_ROW, cool_down_end, parse_detail_key,
};
use crate::telemetry::usage::keys::{SHARDS, hour_book, start_of_hour};

use super::AdminRequest;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

const MINUTE: u64 = 60_000;

/// A report: what, provider, and model or key.
type Part = (String, String, String);

/// Reports of a minute: isolates, and the end of the cool-down.
#[derive(Clone, Copy, Debug, Default)]
struct Reports {
    isolates: u64,
    until: Option<Timestamp>,
}

/// `GET /health`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let now = request.host.now();
    // An isolate reports once in a minute, so the last two minutes have everyone's.
    let minutes = [now.as_millis().saturating_sub(MINUTE), now.as_millis()];
    let mut reports: BTreeMap<Part, Reports> = BTreeMap::new();
    let first = start_of_hour(Timestamp::from_millis(minutes[0]));
    let hours = [Some(first), Some(start_of_hour(now)).filter(|hour| *hour != first)];
    for hour in hours.into_iter().flatten() {
        for (minute, part, totals) in read_hour(request, hour).await? {
            let at = hour.as_millis() + u64::from(minute) * MINUTE;
            if at / MINUTE < minutes[0] / MINUTE || at > now.as_millis() {
                continue;
            }
            let known = reports.entry(part).or_default();
            known.isolates = known.isolates.max(totals.requests);
            known.until = known.until.max(cool_down_end(hour, &totals));
        }
    }
    let isolates = reports.remove(&isolate_part()).unwrap_or_default().isolates;
    let here = request.context.gateway.map(|gateway| gateway.cooling_down(now)).unwrap_or_default();
    for part in here {
        let (what, value) = match part.what {
            CoolingDownPart::Target(model) => (TARGET_ROW, model),
            CoolingDownPart::Key(key) => (KEY_ROW, key.to_string()),
        };
        let known = reports.entry((what.to_owned(), part.provider, value)).or_default();
        known.isolates = known.isolates.max(1);
        known.until = known.until.max(Some(part.until));
    }
    // A cool-down that is over needs no report to end.
    reports.retain(|_, report| report.until.is_some_and(|until| until > now));
    let rows = |wanted: &str| -> Vec<Value> {
        let named = reports.iter().filter(|((what, ..), _)| what == wanted);
        let row = |((what, provider, value), report): (&Part, &Reports)| {
            let mut shown = json!({
                "provider": provider,
                "resting": report.isolates,
                "until": report.until.map(rfc3339_json),
            });
            if what == TARGET_ROW {
                shown["target"] = json!(format!("{provider}/{value}"));
                shown["model"] = json!(value);
            } else {
                shown["key"] = json!(value.parse::<usize>().unwrap_or_default());
            }
            shown
        };
        named.map(row).collect()
    };
    let isolates = isolates.max(reports.values().map(|report| report.isolates).max().unwrap_or(0));
    Ok(AdminResponse::json(&json!({
        "at": rfc3339_json(now),
        "isolates": isolates.max(u64::from(request.context.gateway.is_some())),
        "targets": rows(TARGET_ROW),
        "keys": rows(KEY_ROW),
    })))
}

fn isolate_part() -> Part {
    (ISOLATE_ROW.to_owned(), String::new(), String::new())
}

/// The sums of the reports of each minute of an hour.
async fn read_hour<P: Host>(
    request: &AdminRequest<'_, P>,
    hour: Timestamp,
) -> Result<Vec<(u8, Part, UsageTotals)>, AdminError> {
    let host = request.host;
    let read =
        |shard| async move { host.apply(&hour_book(hour, shard), &Operation::ReadUsage).await };
    let mut sums: BTreeMap<(u8, Part), UsageTotals> = BTreeMap::new();
    for reply in futures::join_all((0..SHARDS).map(read).collect()).await {
        let Ok(LedgerReply::Usage(rows)) = reply else {
            return Err(AdminError::ledger_unavailable());
        };
        for row in rows {
            let Some((minute, DetailKind::Health, parts)) = parse_detail_key(&row.key) else {
                continue;
            };
            let Ok([what, provider, value]) = <[String; 3]>::try_from(parts) else { continue };
            *sums.entry((minute, (what, provider, value))).or_default() += &row.totals;
        }
    }
    Ok(sums.into_iter().map(|((minute, part), totals)| (minute, part, totals)).collect())
}
