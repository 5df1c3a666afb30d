//! `/limits/{limit}/{value}/adjust`: changes a maximum for a period, until a time, or for good.

use civil_time::Timestamp;
use config::{By, Limit, Measure, Quota};
use http::StatusCode;
use ledger::{BalanceChange, LedgerReply, Operation, Window};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use sha2::{Digest, Sha256};

use crate::host::Host;
use crate::limits::matching::{account_name, book_id, ledger_rule};

use super::AdminRequest;
use super::limit::{ALL_CALLERS, balance_json, billionths_to_usd, find_balance, period_name};
use super::request_body::{FlexibleTimestamp, parse_object};
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// The largest whole number that every JSON reader reads exactly (2⁵³).
const MAX_SAFE_INTEGER: i64 = 1 << 53;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    /// Optional if the limit has only one quota.
    measure: Option<String>,
    left: Option<Number>,
    by: Option<Number>,
    #[serde(rename = "for")]
    lasting: Option<String>,
    until: Option<FlexibleTimestamp>,
}

/// How long an adjustment lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    ThisPeriod,
    Until,
    Permanent,
}

impl Lasting {
    fn parse(text: &str) -> Result<Self, AdminError> {
        let all = [Self::ThisPeriod, Self::Until, Self::Permanent];
        all.into_iter().find(|lasting| lasting.name() == text).ok_or_else(|| {
            AdminError::invalid("for", format!("{text:?}"), "this_period, until, or permanent")
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::ThisPeriod => "this_period",
            Self::Until => "until",
            Self::Permanent => "permanent",
        }
    }
}

/// `POST /limits/{limit}/{value}/adjust`
pub(super) async fn adjust<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["create"])?;
    // The body first: a consumer is read from the store.
    let wanted: Adjustment = parse_object(&request.body)?;
    let (limit, value) = find_balance(request, &query).await?;
    let quota = find_quota(limit, wanted.measure.as_deref())?;
    let (change, mut detail) = parse_change(quota, &wanted)?;
    let now = request.host.now();
    let rule = ledger_rule(quota, now);
    let (lasting, until) = parse_lasting(quota, rule.window, &wanted, now)?;
    detail["for"] = json!(lasting.name());
    detail["until"] = json!(until.map(rfc3339_json));
    let account = account_name(limit, quota.measure, &value);
    let operation = Operation::Adjust { account, rule, change, until };
    let book = book_id(limit, &value);
    let change = async {
        let reply = request.host.apply(&book, &operation).await.ok();
        let adjusted = reply.and_then(LedgerReply::into_balances);
        adjusted.ok_or_else(AdminError::ledger_unavailable)?.map_err(|_| {
            AdminError::new(
                StatusCode::CONFLICT,
                "conflict",
                "This balance has 32 adjustments with different ends: use one of these ends.",
            )
        })
    };
    let levels =
        request.run_audited("limit.adjust", audit_target(limit, &value), detail, change).await?;
    let [after, before] = levels.as_slice() else { return Err(AdminError::ledger_unavailable()) };
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let change = signed(after.max).saturating_sub(signed(before.max));
    let change = match quota.measure {
        Measure::Tokens | Measure::Requests => json!(change),
        Measure::Cost => json!(change as f64 / 1e9),
    };
    let number = |amount: u64| match quota.measure {
        Measure::Tokens | Measure::Requests => json!(amount),
        Measure::Cost => json!(billionths_to_usd(amount)),
    };
    Ok(AdminResponse::json(&json!({
        "limit": limit.id,
        "key": request.path_argument(1),
        "adjustment": {
            "measure": quota.measure.name(),
            "change": change,
            "max_before": number(before.max),
            "max_after": number(after.max),
            "for": lasting.name(),
            "until": until.map(rfc3339_json),
        },
        "quotas": [balance_json(quota, after, now)],
    })))
}

/// The change of the balance, and its form in the audit log.
fn parse_change(quota: &Quota, wanted: &Adjustment) -> Result<(BalanceChange, Value), AdminError> {
    let measure = quota.measure;
    match (&wanted.left, &wanted.by) {
        (Some(left), None) => {
            let amount = u64::try_from(parse_amount(measure, left, "left")?)
                .map_err(|_| AdminError::invalid("left", left.to_string(), "0 or more"))?;
            Ok((BalanceChange::Left(amount), json!({ "measure": measure.name(), "left": left })))
        }
        (None, Some(by)) => Ok((
            BalanceChange::By(parse_amount(measure, by, "by")?),
            json!({ "measure": measure.name(), "by": by }),
        )),
        (Some(_), Some(_)) => Err(AdminError::invalid("by", "`left` and `by`", "only one of them")),
        (None, None) => Err(AdminError::invalid("left", "neither `left` nor `by`", "one of them")),
    }
}

/// How long the adjustment lasts, and its end. By default, that of a calendar period ends with it, and any
/// other one stays.
fn parse_lasting(
    quota: &Quota,
    window: Window,
    wanted: &Adjustment,
    now: Timestamp,
) -> Result<(Lasting, Option<Timestamp>), AdminError> {
    let period_end = match window {
        Window::Fixed(_, end) => Some(end),
        Window::Sliding(_) | Window::Total => None,
    };
    let named = wanted.lasting.as_deref().map(Lasting::parse).transpose()?;
    let lasting = match (named, wanted.until, period_end) {
        (Some(lasting), _, _) => lasting,
        (None, Some(_), _) => Lasting::Until,
        (None, None, Some(_)) => Lasting::ThisPeriod,
        (None, None, None) => Lasting::Permanent,
    };
    match (lasting, wanted.until) {
        (Lasting::Until, Some(FlexibleTimestamp(until))) if until > now => {
            Ok((lasting, Some(until)))
        }
        (Lasting::Until, Some(_)) => {
            Err(AdminError::invalid("until", "a time in the past", "a time in the future"))
        }
        (Lasting::Until, None) => {
            Err(AdminError::invalid("until", "nothing", "the time at which the adjustment ends"))
        }
        (Lasting::ThisPeriod | Lasting::Permanent, Some(_)) => {
            let found = format!("a time with \"for\": {:?}", lasting.name());
            Err(AdminError::invalid("until", found, "a time only with \"for\": \"until\""))
        }
        (Lasting::Permanent, None) => Ok((lasting, None)),
        (Lasting::ThisPeriod, None) if period_end.is_some() => Ok((lasting, period_end)),
        (Lasting::ThisPeriod, None) => {
            let found = format!("\"this_period\" for a quota per {}", period_name(quota.per));
            Err(AdminError::invalid("for", found, "\"until\" or \"permanent\""))
        }
    }
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
