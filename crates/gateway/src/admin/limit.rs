//! `/limits/{limit}/{value}`: shows and adjusts the balances of a limit.

use std::net::IpAddr;

use config::{By, Limit, Measure, Period, Quota, to_canonical};
use ledger::{AccountBalance, BalanceChange, LedgerReply, Operation};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use sha2::{Digest, Sha256};

use crate::host::Host;
use crate::limits::matching::{account_name, book_id, ledger_rule};

use super::AdminRequest;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult};

/// Path argument of a limit that all callers share.
const ALL_CALLERS: &str = "_";

/// The largest whole number that every JSON reader reads exactly (2⁵³).
const MAX_SAFE_INTEGER: i64 = 1 << 53;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// Optional if the limit has only one quota.
    measure: Option<String>,
    left: Option<Number>,
    by: Option<Number>,
}

/// `GET /limits/{limit}/{value}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (limit, value) = find_limit(request)?;
    let now = request.host.now();
    let named =
        |quota: &Quota| (account_name(limit, quota.measure, &value), ledger_rule(quota, now));
    let accounts = limit.quotas.iter().map(named).collect();
    let reply = request.host.apply(&book_id(limit, &value), &Operation::Read { accounts }).await;
    let Ok(LedgerReply::Balances(levels)) = reply else {
        return Err(AdminError::ledger_unavailable());
    };
    let quotas = limit.quotas.iter().zip(&levels).map(|(quota, level)| balance_json(quota, level));
    Ok(balances_response(request, quotas.collect()))
}

/// `POST /limits/{limit}/{value}/adjust`
pub(super) async fn adjust<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (limit, value) = find_limit(request)?;
    let wanted: Adjustment = parse_object(&request.body)?;
    let quota = find_quota(limit, wanted.measure.as_deref())?;
    let (change, detail) = match (&wanted.left, &wanted.by) {
        (Some(left), None) => {
            let amount = parse_amount(quota.measure, left, "left")?;
            let left_over = u64::try_from(amount)
                .map_err(|_| AdminError::invalid("left", left.to_string(), "0 or more"))?;
            (
                BalanceChange::Left(left_over),
                json!({ "measure": quota.measure.name(), "left": left }),
            )
        }
        (None, Some(by)) => {
            let change = BalanceChange::By(parse_amount(quota.measure, by, "by")?);
            (change, json!({ "measure": quota.measure.name(), "by": by }))
        }
        (Some(_), Some(_)) => {
            return Err(AdminError::invalid("by", "`left` and `by`", "only one of them"));
        }
        (None, None) => {
            return Err(AdminError::invalid("left", "neither `left` nor `by`", "one of them"));
        }
    };
    let operation = Operation::Adjust {
        account: account_name(limit, quota.measure, &value),
        rule: ledger_rule(quota, request.host.now()),
        change,
    };
    let book = book_id(limit, &value);
    let change = async {
        match request.host.apply(&book, &operation).await {
            Ok(LedgerReply::Balances(levels)) => Ok(levels),
            Ok(
                LedgerReply::Granted(_)
                | LedgerReply::Denied(_)
                | LedgerReply::Done
                | LedgerReply::Usage(_)
                | LedgerReply::Register(_),
            )
            | Err(_) => Err(AdminError::ledger_unavailable()),
        }
    };
    let levels =
        request.run_audited("limit.adjust", audit_target(limit, &value), detail, change).await?;
    Ok(balances_response(request, levels.iter().map(|level| balance_json(quota, level)).collect()))
}

/// Returns the limit and the canonical value of its balances.
fn find_limit<'a, P: Host>(
    request: &AdminRequest<'a, P>,
) -> Result<(&'a Limit, String), AdminError> {
    let limits = &request.context.config.limits;
    let limit =
        limits.iter().find(|limit| limit.id == request.path_argument(0)).ok_or_else(|| {
            AdminError::not_found(
                "limit_not_found",
                "The configuration does not define this limit.",
            )
        })?;
    let value = request.path_argument(1);
    let value = match &limit.by {
        By::All if value == ALL_CALLERS => String::new(),
        By::All => {
            return Err(AdminError::invalid(
                "value",
                format!("{value:?}"),
                "\"_\", the value for all callers",
            ));
        }
        By::Address => match value.parse::<IpAddr>() {
            Ok(address) => to_canonical(address).to_string(),
            Err(_) => {
                return Err(AdminError::invalid("value", format!("{value:?}"), "an IP address"));
            }
        },
        By::Consumer | By::Group | By::Header(_) | By::Parameter(_) | By::Cookie(_) => {
            value.to_owned()
        }
    };
    if limit.keys.is_empty() || limit.keys.iter().any(|covered| covered.matches(&value)) {
        return Ok((limit, value));
    }
    Err(AdminError::not_found(
        "not_covered",
        format!("The limit {} does not cover this value.", limit.id),
    ))
}

fn find_quota<'a>(limit: &'a Limit, measure: Option<&str>) -> Result<&'a Quota, AdminError> {
    let names = || limit.quotas.iter().map(|quota| quota.measure.name()).collect::<Vec<_>>();
    let expected = || format!("one of {}", names().join(", "));
    match (measure, limit.quotas.as_slice()) {
        (Some(name), quotas) => quotas
            .iter()
            .find(|quota| quota.measure.name() == name)
            .ok_or_else(|| AdminError::invalid("measure", format!("{name:?}"), expected())),
        (None, [only]) => Ok(only),
        (None, _) => Err(AdminError::invalid("measure", "nothing", expected())),
    }
}

/// Parses tokens, requests, or USD; USD becomes billionths.
fn parse_amount(measure: Measure, number: &Number, param: &str) -> Result<i64, AdminError> {
    let amount = match measure {
        Measure::Tokens | Measure::Requests => number.as_i64(),
        Measure::Cost => {
            let billionths = number.as_f64().map(|usd| (usd * 1e9).round());
            billionths
                .filter(|amount| amount.abs() <= MAX_SAFE_INTEGER as f64)
                .map(|amount| amount as i64)
        }
    };
    amount.filter(|amount| (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(amount)).ok_or_else(
        || {
            let expected = match measure {
                Measure::Tokens | Measure::Requests => "a whole number, at most 2^53",
                Measure::Cost => "USD, at most 9007199",
            };
            AdminError::invalid(param, number.to_string(), expected)
        },
    )
}

fn balances_response<P: Host>(request: &AdminRequest<'_, P>, quotas: Vec<Value>) -> AdminResponse {
    let (limit, key) = (request.path_argument(0), request.path_argument(1));
    AdminResponse::json(&json!({ "limit": limit, "key": key, "quotas": quotas }))
}

fn balance_json(quota: &Quota, balance: &AccountBalance) -> Value {
    let number = |amount: u64| match quota.measure {
        Measure::Tokens | Measure::Requests => json!(amount),
        Measure::Cost => json!(billionths_to_usd(amount)),
    };
    json!({
        "measure": quota.measure.name(),
        "per": match quota.per {
            Period::Second => "second",
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day(_) => "day",
            Period::Month(_) => "month",
            Period::Total => "total",
        },
        "max": number(balance.max),
        "used": number(balance.used),
        "held": number(balance.held),
        "left": number(balance.left()),
        "resets_in": balance.resets.map(|millis| millis.div_ceil(1_000)),
    })
}

pub(super) fn billionths_to_usd(billionths: u64) -> f64 {
    billionths as f64 / 1e9
}

/// Name of a balance in the audit log. The value of a header, parameter, or cookie may be a secret, so
/// only the first six bytes of its SHA-256 are shown.
fn audit_target(limit: &Limit, value: &str) -> String {
    let shown = match &limit.by {
        By::All => ALL_CALLERS.to_owned(),
        By::Consumer | By::Group | By::Address => value.to_owned(),
        By::Header(_) | By::Parameter(_) | By::Cookie(_) => {
            let digest = Sha256::digest(value.as_bytes());
            format!("sha256:{}", base16ct::lower::encode_string(&digest[..6]))
        }
    };
    format!("limit/{}/{shown}", limit.id)
}
