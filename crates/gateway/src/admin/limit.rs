//! `/limits/{limit}/{value}`: shows the balances of one value of a limit.

use std::net::IpAddr;

use civil_time::Timestamp;
use config::{By, Limit, Measure, Period, Quota, to_canonical};
use ledger::{AccountBalance, LedgerReply, Operation};
use serde_json::{Value, json};

use crate::auth::caller::ANONYMOUS;
use crate::auth::keys::is_storable_id;
use crate::host::Host;
use crate::limits::matching::{account_name, book_id, ledger_rule};

use super::AdminRequest;
use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// Path argument of a limit that all callers share.
pub(super) const ALL_CALLERS: &str = "_";

/// Longest value of a group, a header, a parameter, a cookie, or an issuer's subject.
const MAX_VALUE_BYTES: usize = 512;

/// `GET /limits/{limit}/{value}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["create"])?;
    let (limit, value) = find_balance(request, &query).await?;
    let now = request.host.now();
    let named =
        |quota: &Quota| (account_name(limit, quota.measure, &value), ledger_rule(quota, now));
    let accounts = limit.quotas.iter().map(named).collect();
    let reply = request.host.apply(&book_id(limit, &value), &Operation::Read { accounts }).await;
    let Ok(LedgerReply::Balances(levels)) = reply else {
        return Err(AdminError::ledger_unavailable());
    };
    let quotas = limit.quotas.iter().zip(&levels);
    let quotas: Vec<Value> = quotas.map(|(quota, level)| balance_json(quota, level, now)).collect();
    Ok(AdminResponse::json(&json!({
        "limit": limit.id,
        "key": request.path_argument(1),
        "quotas": quotas,
    })))
}

/// The limit that the path names.
pub(super) fn find_limit<'a, P: Host>(
    request: &AdminRequest<'a, P>,
) -> Result<&'a Limit, AdminError> {
    let limits = &request.context.config.limits;
    limits.iter().find(|limit| limit.id == request.path_argument(0)).ok_or_else(|| {
        AdminError::not_found("limit_not_found", "The configuration does not define this limit.")
    })
}

/// The limit and the canonical value of its balances. Refuses values that no request can have, and, without
/// `create=true`, consumers that do not exist.
pub(super) async fn find_balance<'a, P: Host>(
    request: &AdminRequest<'a, P>,
    query: &Query,
) -> Result<(&'a Limit, String), AdminError> {
    let limit = find_limit(request)?;
    let create = query.flag("create")?;
    let value = canonical_value(request, limit, request.path_argument(1))?;
    if !covers(limit, &value) {
        return Err(AdminError::not_found(
            "not_covered",
            format!("The limit {} does not cover this value.", limit.id),
        ));
    }
    if limit.by == By::Consumer && !create && !is_consumer(request, &value).await? {
        return Err(AdminError::not_found(
            "consumer_not_found",
            format!(
                "The consumer {value:?} does not exist. For a subject of an issuer, or before the consumer is \
                 created, add ?create=true."
            ),
        ));
    }
    Ok((limit, value))
}

/// Whether a limit covers a value.
pub(super) fn covers(limit: &Limit, value: &str) -> bool {
    limit.keys.is_empty() || limit.keys.iter().any(|covered| covered.matches(value))
}

/// Whether a consumer exists, in the configuration or created; callers without a key, if they are admitted.
pub(super) async fn is_consumer<P: Host>(
    request: &AdminRequest<'_, P>,
    id: &str,
) -> Result<bool, AdminError> {
    let config = request.context.config;
    if id == ANONYMOUS {
        return Ok(!config.auth.required);
    }
    if config.consumers.iter().any(|consumer| consumer.id == id) {
        return Ok(true);
    }
    Ok(is_storable_id(id) && request.key_store().get_consumer(id).await?.is_some())
}

/// The form in which requests have a value. An error if no request can have it.
fn canonical_value<P: Host>(
    request: &AdminRequest<'_, P>,
    limit: &Limit,
    value: &str,
) -> Result<String, AdminError> {
    let is_short = value.len() <= MAX_VALUE_BYTES;
    let expected = match &limit.by {
        By::All if value == ALL_CALLERS => return Ok(String::new()),
        By::All => "\"_\", the value for all callers",
        By::Address => match value.parse::<IpAddr>() {
            Ok(address) => return Ok(to_canonical(address).to_string()),
            Err(_) => "an IP address",
        },
        // A subject of an issuer may be any text.
        By::Consumer if request.context.config.auth.issuers.is_empty() => {
            if is_storable_id(value) {
                return Ok(value.to_owned());
            }
            "the id of a consumer: 1 to 100 letters, digits, \".\", \"_\", or \"-\""
        }
        By::Consumer | By::Group => {
            if is_short && !value.chars().any(char::is_control) {
                return Ok(value.to_owned());
            }
            "at most 512 bytes without control characters"
        }
        By::Header(_) => {
            let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
            if is_short && value.bytes().all(is_text) && value.trim_ascii() == value {
                return Ok(value.to_owned());
            }
            "a header's value: at most 512 visible ASCII characters"
        }
        By::Parameter(_) | By::Cookie(_) => {
            let is_text = |byte: u8| byte.is_ascii_graphic() && !b"&;#".contains(&byte);
            if is_short && value.bytes().all(is_text) {
                return Ok(value.to_owned());
            }
            "the value as it is written in a request: at most 512 visible ASCII characters"
        }
    };
    Err(AdminError::invalid("value", format!("{value:?}"), expected))
}

pub(super) fn balance_json(quota: &Quota, balance: &AccountBalance, now: Timestamp) -> Value {
    let mut shown = quota_json(quota);
    shown["max"] = amount_json(quota.measure, balance.max);
    shown["max_configured"] = amount_json(quota.measure, quota.max);
    shown["used"] = amount_json(quota.measure, balance.used);
    shown["held"] = amount_json(quota.measure, balance.held);
    shown["left"] = amount_json(quota.measure, balance.left());
    shown["resets_in"] = json!(balance.resets.map(|millis| millis.div_ceil(1_000)));
    // Calendar periods end with a second; the ledger measured the rest some milliseconds before `now`.
    let resets_at = balance.resets.map(|millis| {
        let end = now.as_millis().saturating_add(millis).saturating_add(500);
        Timestamp::from_millis(end / 1_000 * 1_000)
    });
    shown["resets_at"] = json!(resets_at.map(rfc3339_json));
    shown
}

/// The measure, the period, and the maximum of a quota.
pub(super) fn quota_json(quota: &Quota) -> Value {
    json!({
        "measure": quota.measure.name(),
        "per": period_name(quota.per),
        "max": amount_json(quota.measure, quota.max),
    })
}

pub(super) fn period_name(period: Period) -> &'static str {
    match period {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day(_) => "day",
        Period::Month(_) => "month",
        Period::Total => "total",
    }
}

/// An amount in responses: cost is in USD.
pub(super) fn amount_json(measure: Measure, amount: u64) -> Value {
    match measure {
        Measure::Tokens | Measure::Requests => json!(amount),
        Measure::Cost => json!(billionths_to_usd(amount)),
    }
}

pub(super) fn billionths_to_usd(billionths: u64) -> f64 {
    billionths as f64 / 1e9
}
