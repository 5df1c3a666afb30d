//! `/limits/{limit}/{value}`: how the balances of a limit stand, and how they are adjusted.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Number, Value, json};
use sha2::{Digest, Sha256};

use crate::config::{By, Limit, Measure, Period, Quota, canonical};
use crate::ledger::{Change, Level, Operation, Reply as Told};
use crate::platform::Platform;
use crate::policy::limits::{account, place, rule};

use super::Call;
use super::body::object;
use super::reply::{Answer, Failure, Reply};

/// What stands in the path for the one balance of a limit for everybody.
const EVERYBODY: &str = "_";

/// The largest whole number that every reader of JSON reads as it is (2⁵³).
const MOST: i64 = 1 << 53;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// May be left out where the limit has one quota only.
    measure: Option<String>,
    left: Option<Number>,
    by: Option<Number>,
}

/// `GET /limits/{limit}/{value}`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (limit, value) = subject(call)?;
    let now = call.platform.now();
    let named = |quota: &Quota| (account(limit, quota.measure, &value), rule(quota, now));
    let accounts = limit.quotas.iter().map(named).collect();
    let told = call.platform.apply(&place(limit, &value), &Operation::Read { accounts }).await;
    let Ok(Told::Levels(levels)) = told else { return Err(Failure::ledger_unavailable()) };
    let quotas = limit.quotas.iter().zip(&levels).map(|(quota, level)| shown(quota, level));
    Ok(answer(call, quotas.collect()))
}

/// `POST /limits/{limit}/{value}/adjust`
pub(super) async fn adjust<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (limit, value) = subject(call)?;
    let wanted: Adjustment = object(&call.body)?;
    let quota = quota(limit, wanted.measure.as_deref())?;
    let (change, detail) = match (&wanted.left, &wanted.by) {
        (Some(left), None) => {
            let amount = amount(quota.measure, left, "left")?;
            let left_over = u64::try_from(amount)
                .map_err(|_| Failure::invalid("left", left.to_string(), "zero or above"))?;
            (Change::Left(left_over), json!({ "measure": quota.measure.name(), "left": left }))
        }
        (None, Some(by)) => {
            let change = Change::By(amount(quota.measure, by, "by")?);
            (change, json!({ "measure": quota.measure.name(), "by": by }))
        }
        (Some(_), Some(_)) => return Err(Failure::invalid("by", "`left` too", "one of the two")),
        (None, None) => {
            return Err(Failure::invalid("left", "neither `left` nor `by`", "one of the two"));
        }
    };
    let operation = Operation::Adjust {
        account: account(limit, quota.measure, &value),
        rule: rule(quota, call.platform.now()),
        change,
    };
    let place = place(limit, &value);
    let change = async {
        match call.platform.apply(&place, &operation).await {
            Ok(Told::Levels(levels)) => Ok(levels),
            Ok(
                Told::Granted(_)
                | Told::Refused(_)
                | Told::Done
                | Told::Tallies(_)
                | Told::Register(_),
            )
            | Err(_) => Err(Failure::ledger_unavailable()),
        }
    };
    let levels = call.log("limit.adjust", target(limit, &value), detail, change).await?;
    Ok(answer(call, levels.iter().map(|level| shown(quota, level)).collect()))
}

/// The limit, and the value that its balances are kept by.
fn subject<'a, P: Platform>(call: &Call<'a, P>) -> Result<(&'a Limit, String), Failure> {
    let limits = &call.desk.config.limits;
    let limit = limits.iter().find(|limit| limit.id == call.argument(0)).ok_or_else(|| {
        Failure::not_found("limit_not_found", "The configuration has no such limit.")
    })?;
    let value = call.argument(1);
    let value = match &limit.by {
        By::All if value == EVERYBODY => String::new(),
        By::All => {
            return Err(Failure::invalid("value", format!("{value:?}"), "\"_\", for everybody"));
        }
        By::Address => match value.parse::<IpAddr>() {
            Ok(address) => canonical(address).to_string(),
            Err(_) => return Err(Failure::invalid("value", format!("{value:?}"), "an address")),
        },
        By::Consumer | By::Group | By::Header(_) | By::Parameter(_) | By::Cookie(_) => {
            value.to_owned()
        }
    };
    if limit.keys.is_empty() || limit.keys.iter().any(|covered| covered.covers(&value)) {
        return Ok((limit, value));
    }
    Err(Failure::not_found("not_covered", format!("The limit {} does not cover this.", limit.id)))
}

fn quota<'a>(limit: &'a Limit, measure: Option<&str>) -> Result<&'a Quota, Failure> {
    let names = || limit.quotas.iter().map(|quota| quota.measure.name()).collect::<Vec<_>>();
    let expected = || format!("one of {}", names().join(", "));
    match (measure, limit.quotas.as_slice()) {
        (Some(name), quotas) => quotas
            .iter()
            .find(|quota| quota.measure.name() == name)
            .ok_or_else(|| Failure::invalid("measure", format!("{name:?}"), expected())),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::invalid("measure", "nothing", expected())),
    }
}

/// Tokens, requests, or USD in billionths.
fn amount(measure: Measure, number: &Number, param: &str) -> Result<i64, Failure> {
    let amount = match measure {
        Measure::Tokens | Measure::Requests => number.as_i64(),
        Measure::Cost => {
            let billionths = number.as_f64().map(|usd| (usd * 1e9).round());
            billionths.filter(|amount| amount.abs() <= MOST as f64).map(|amount| amount as i64)
        }
    };
    amount.filter(|amount| (-MOST..=MOST).contains(amount)).ok_or_else(|| {
        let expected = match measure {
            Measure::Tokens | Measure::Requests => "a whole number, at most 2^53",
            Measure::Cost => "USD, at most 9007199",
        };
        Failure::invalid(param, number.to_string(), expected)
    })
}

fn answer<P: Platform>(call: &Call<'_, P>, quotas: Vec<Value>) -> Reply {
    let (limit, key) = (call.argument(0), call.argument(1));
    Reply::json(&json!({ "limit": limit, "key": key, "quotas": quotas }))
}

fn shown(quota: &Quota, level: &Level) -> Value {
    let number = |amount: u64| match quota.measure {
        Measure::Tokens | Measure::Requests => json!(amount),
        Measure::Cost => json!(usd(amount)),
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
        "max": number(level.max),
        "used": number(level.used),
        "held": number(level.held),
        "left": number(level.left()),
        "resets_in": level.resets.map(|millis| millis.div_ceil(1_000)),
    })
}

/// Billionths as people write them.
pub(super) fn usd(billionths: u64) -> f64 {
    billionths as f64 / 1e9
}

/// The audit log's name of a balance. The value of a header, parameter or cookie may be a secret of
/// somebody's: it is told by the beginning of its SHA-256.
fn target(limit: &Limit, value: &str) -> String {
    let shown = match &limit.by {
        By::All => EVERYBODY.to_owned(),
        By::Consumer | By::Group | By::Address => value.to_owned(),
        By::Header(_) | By::Parameter(_) | By::Cookie(_) => {
            let digest = Sha256::digest(value.as_bytes());
            format!("sha256:{}", base16ct::lower::encode_string(&digest[..6]))
        }
    };
    format!("limit/{}/{shown}", limit.id)
}
