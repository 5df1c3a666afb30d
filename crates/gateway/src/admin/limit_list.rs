//! `/limits` and `/limits/{limit}`: the limits of the configuration, and the values nearest to a maximum.
//!
//! The ledger has no list of its accounts. So values are known only if the configuration or the store has
//! them: consumers, and groups. Addresses, headers, parameters, and cookies can be read by their value.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use civil_time::Timestamp;
use config::{By, Config, Limit, OnError};
use ledger::{AccountBalance, BookId, LedgerReply, Operation, Rule};
use serde_json::{Value, json};

use crate::auth::caller::ANONYMOUS;
use crate::host::{Host, futures};
use crate::limits::matching::{account_name, book_id, ledger_rule};
use crate::telemetry::usage::keys;

use super::AdminRequest;
use super::consumer::read_consumers;
use super::limit::{ALL_CALLERS, balance_json, covers, find_limit, quota_json};
use super::response::{AdminError, AdminResponse, AdminResult};
use super::usage::read_rows;
use super::usage_query::UsageRange;

/// Books read at most for one response. On Workers each is a subrequest, of which the free plan has 50.
const MAX_BOOKS_READ: usize = 32;

/// Consumers at most that are chosen by their requests.
const MAX_BUSIEST_CONSUMERS: usize = 24;

/// Books read concurrently.
const CONCURRENT_READS: usize = 8;

/// `GET /limits`: every limit, with the value nearest to its maximum.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let (config, count) = (request.context.config, query.page_limit()?);
    let begin = match query.get("cursor") {
        None => 0,
        Some(last) => {
            let position = config.limits.iter().position(|limit| limit.id == last);
            1 + position.ok_or_else(|| {
                let expected = "a cursor from a previous response";
                AdminError::invalid("cursor", format!("{last:?}"), expected)
            })?
        }
    };
    let shown: Vec<&Limit> = config.limits.iter().skip(begin).take(count).collect();
    let needs_consumers = shown.iter().any(|limit| limit.by == By::Consumer);
    let consumers = if needs_consumers { likely_consumers(request).await? } else { Vec::new() };
    let mut wanted = Vec::new();
    for limit in &shown {
        let values = match &limit.by {
            By::Consumer => consumers.clone(),
            _ => known_values(config, limit),
        };
        wanted.extend(values.into_iter().map(|value| (*limit, value)));
    }
    let rows = read_balances(request, wanted).await?;
    let now = request.host.now();
    let data = shown.iter().map(|limit| {
        let of_limit = rows.iter().filter(|row| row.limit.id == limit.id);
        let mut shown = limit_json(config, limit);
        let nearest = of_limit.max_by(|one, other| one.used_share.total_cmp(&other.used_share));
        shown["nearest"] = json!(nearest.map(|row| row.to_json(now)));
        shown
    });
    let data: Vec<Value> = data.collect();
    let is_more = begin + data.len() < config.limits.len();
    let cursor = shown.last().filter(|_| is_more).map(|limit| &limit.id);
    Ok(AdminResponse::json(&json!({ "data": data, "cursor": cursor })))
}

/// `GET /limits/{limit}`: one limit with the balances of its known values, the nearest to its maximum first.
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let count = query.page_limit_within(MAX_BOOKS_READ, MAX_BOOKS_READ)?;
    let limit = find_limit(request)?;
    let config = request.context.config;
    let (values, cursor) = if limit.by == By::Consumer {
        let page = read_consumers(request, "", query.get("cursor"), count).await?;
        let configured = page.configured.iter().map(|consumer| consumer.id.clone());
        (configured.chain(page.stored).collect(), page.cursor)
    } else {
        // Sorted, so that a cursor is the last value.
        let after = query.get("cursor").unwrap_or_default();
        let mut values: Vec<String> = known_values(config, limit);
        values.retain(|value| query.get("cursor").is_none() || value.as_str() > after);
        let is_cut = values.len() > count;
        values.truncate(count);
        let cursor = values.last().filter(|_| is_cut).cloned();
        (values, cursor)
    };
    let wanted = values.into_iter().map(|value| (limit, value)).collect();
    let mut rows = read_balances(request, wanted).await?;
    sorting::sort_by(&mut rows, |one, other| other.used_share.total_cmp(&one.used_share));
    let now = request.host.now();
    let mut shown = limit_json(config, limit);
    shown["data"] = rows.iter().map(|row| row.to_json(now)).collect();
    shown["cursor"] = json!(cursor);
    Ok(AdminResponse::json(&shown))
}

/// Consumers that are likely to be near a limit: those with the most requests in the last day, then the first
/// ones.
async fn likely_consumers<P: Host>(
    request: &AdminRequest<'_, P>,
) -> Result<Vec<String>, AdminError> {
    let range = UsageRange::last_day(request.host.now());
    let mut requests: BTreeMap<String, u64> = BTreeMap::new();
    read_rows(request, &range, |_, row| {
        if let Some((_, dimensions)) = keys::parse_key(&row.key) {
            *requests.entry(dimensions.consumer).or_default() += row.totals.requests;
        }
        Ok(())
    })
    .await?;
    let mut busiest: Vec<(String, u64)> = requests.into_iter().collect();
    sorting::sort_by_key(&mut busiest, |(_, requests)| Reverse(*requests));
    let mut ids: Vec<String> =
        busiest.into_iter().take(MAX_BUSIEST_CONSUMERS).map(|(id, _)| id).collect();
    let page = read_consumers(request, "", None, MAX_BOOKS_READ).await?;
    let configured = page.configured.iter().map(|consumer| consumer.id.clone());
    for id in configured.chain(page.stored) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Values of a limit that the configuration has, sorted; none of a limit per consumer but the callers without
/// a key.
fn known_values(config: &Config, limit: &Limit) -> Vec<String> {
    match &limit.by {
        By::All => vec![String::new()],
        By::Group => {
            let of_consumers = config.consumers.iter().filter_map(|it| it.group.as_ref());
            let of_limits = config.limits.iter().filter_map(|it| it.groups.as_ref()).flatten();
            let mut all: BTreeSet<&str> = BTreeSet::new();
            all.extend(of_consumers.chain(of_limits).map(String::as_str));
            all.into_iter().map(str::to_owned).collect()
        }
        By::Consumer if !config.auth.required => vec![ANONYMOUS.to_owned()],
        By::Consumer | By::Address | By::Header(_) | By::Parameter(_) | By::Cookie(_) => Vec::new(),
    }
}

/// The balances of one value of a limit.
#[derive(Debug)]
struct BalanceRow<'a> {
    limit: &'a Limit,
    value: String,
    balances: Vec<AccountBalance>,
    /// The largest share of a maximum that is used; 1 is all.
    used_share: f64,
}

impl BalanceRow<'_> {
    fn to_json(&self, now: Timestamp) -> Value {
        let quotas = self.limit.quotas.iter().zip(&self.balances);
        let quotas: Vec<Value> =
            quotas.map(|(quota, balance)| balance_json(quota, balance, now)).collect();
        let key = if self.limit.by == By::All { ALL_CALLERS } else { &self.value };
        json!({ "key": key, "used_share": self.used_share, "quotas": quotas })
    }
}

/// Reads balances, at most [`MAX_BOOKS_READ`] books. Limits per consumer share one book of each consumer.
async fn read_balances<'a, P: Host>(
    request: &AdminRequest<'a, P>,
    wanted: Vec<(&'a Limit, String)>,
) -> Result<Vec<BalanceRow<'a>>, AdminError> {
    let now = request.host.now();
    let mut books: Vec<(BookId, Vec<(&Limit, String)>)> = Vec::new();
    let mut positions: BTreeMap<BookId, usize> = BTreeMap::new();
    for (limit, value) in wanted.into_iter().filter(|(limit, value)| covers(limit, value)) {
        let id = book_id(limit, &value);
        match positions.get(&id) {
            Some(position) => books[*position].1.push((limit, value)),
            None if books.len() < MAX_BOOKS_READ => {
                positions.insert(id.clone(), books.len());
                books.push((id, vec![(limit, value)]));
            }
            None => {}
        }
    }
    let mut rows = Vec::new();
    for some in books.chunks(CONCURRENT_READS) {
        let read = |(id, wanted): &(BookId, Vec<(&Limit, String)>)| {
            let named = |(limit, value): &(&Limit, String)| -> Vec<(String, Rule)> {
                let quotas = limit.quotas.iter();
                quotas
                    .map(|quota| {
                        (account_name(limit, quota.measure, value), ledger_rule(quota, now))
                    })
                    .collect()
            };
            let (id, accounts) = (id.clone(), wanted.iter().flat_map(named).collect());
            async move { request.host.apply(&id, &Operation::Read { accounts }).await }
        };
        let replies = futures::join_all(some.iter().map(read).collect()).await;
        for ((_, wanted), reply) in some.iter().zip(replies) {
            let Ok(LedgerReply::Balances(balances)) = reply else {
                return Err(AdminError::ledger_unavailable());
            };
            let mut balances = balances.into_iter();
            for (limit, value) in wanted {
                let balances: Vec<AccountBalance> =
                    balances.by_ref().take(limit.quotas.len()).collect();
                let used_share = balances.iter().map(used_share).fold(0.0, f64::max);
                rows.push(BalanceRow { limit, value: value.clone(), balances, used_share });
            }
        }
    }
    Ok(rows)
}

/// The share of a maximum that is used, to three digits.
fn used_share(balance: &AccountBalance) -> f64 {
    if balance.max == 0 {
        return 1.0;
    }
    (balance.used as f64 / balance.max as f64 * 1_000.0).round() / 1_000.0
}

fn limit_json(config: &Config, limit: &Limit) -> Value {
    let routes = limit.routes.as_ref();
    let routes = routes.map(|routes| {
        routes.iter().map(|index| config.route(*index).id.as_str()).collect::<Vec<_>>()
    });
    let quotas: Vec<Value> = limit.quotas.iter().map(quota_json).collect();
    json!({
        "id": limit.id,
        "by": by_name(&limit.by),
        "routes": routes,
        "groups": limit.groups,
        "hard": limit.hard,
        "on_error": match limit.on_error {
            OnError::Open => "open",
            OnError::Closed => "closed",
        },
        "quotas": quotas,
    })
}

/// A limit's `by` as the configuration writes it.
pub(super) fn by_name(by: &By) -> String {
    match by {
        By::All => "all".to_owned(),
        By::Consumer => "consumer".to_owned(),
        By::Group => "group".to_owned(),
        By::Address => "ip".to_owned(),
        By::Header(name) => format!("header:{name}"),
        By::Parameter(name) => format!("param:{name}"),
        By::Cookie(name) => format!("cookie:{name}"),
    }
}
