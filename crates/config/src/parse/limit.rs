//! `[[limits]]`: quotas, the value that selects the account, and the covered values.

use civil_time::zone::{self, Zone};

use super::super::limit::{By, Limit, Measure, OnError, Period, Quota, ValuePattern};
use super::super::problem::with_hint;
use super::super::raw;
use super::diagnostics::{Diagnostics, MAX_COUNT, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;
use super::ids::check_name;
use super::limit_colocation::colocation_groups;
use super::price::billionths;

/// Parses every limit. A limit on cost needs prices.
pub(super) fn limits(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Limit],
    routes: &IdIndex<'_>,
    has_prices: bool,
) -> Vec<Limit> {
    let read = |(index, raw)| limit(diagnostics, &path.item(index), raw, routes, has_prices);
    let mut limits: Vec<Limit> = raw.iter().enumerate().filter_map(read).collect();
    for (group, limit) in colocation_groups(&limits).into_iter().zip(&mut limits) {
        limit.colocation_group = group;
    }
    limits
}

fn limit(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Limit,
    routes: &IdIndex<'_>,
    has_prices: bool,
) -> Option<Limit> {
    let on = path.field("on");
    let routes = diagnostics.routes(&on.field("routes"), raw.on.routes.as_deref(), routes);
    let groups = on.field("groups");
    if raw.on.groups.as_ref().is_some_and(Vec::is_empty) {
        let expected = "the name of a group, or no `groups` for every caller";
        diagnostics.report(&groups, "an empty list", expected);
    }
    for (index, group) in raw.on.groups.iter().flatten().enumerate() {
        check_name(diagnostics, &groups.item(index), group);
    }
    let by = by(diagnostics, &path.field("by"), &raw.by);
    let keys = keys(diagnostics, &path.field("keys"), raw.keys.as_deref(), by.as_ref());
    let quotas = quotas(diagnostics, path, raw, has_prices);
    if raw.tokens.is_none() && raw.cost.is_none() {
        let expected = "none, since a limit on requests alone counts no length";
        if raw.hard == Some(true) {
            diagnostics.report(&path.field("hard"), "true", "`tokens` or `cost` beside it");
        }
        if raw.default_output.is_some() {
            diagnostics.report(&path.field("default_output"), "a reserved length", expected);
        }
    }
    let on_error = match raw.on_error.as_deref() {
        None => OnError::default(),
        Some(choice) => match diagnostics.one_of(&path.field("on_error"), choice, &raw::ON_ERROR) {
            Some(0) => OnError::Open,
            Some(_) | None => OnError::Closed,
        },
    };
    let default_output = raw.default_output.unwrap_or(1024);
    if !(1..=1_000_000).contains(&default_output) {
        let found = default_output.to_string();
        diagnostics.report(&path.field("default_output"), found, "from 1 to 1000000 tokens");
    }
    let is_made_up = matches!(by, Some(By::Header(_) | By::Parameter(_) | By::Cookie(_)));
    let is_kept = |quota: &Quota| matches!(quota.per, Period::Month(_) | Period::Total);
    if is_made_up && raw.keys.is_none() && quotas.iter().any(is_kept) {
        let message = "each value that a caller makes up is an account that is kept for a month or for ever. \
                       List the values in `keys`, choose a shorter period, or count by consumer";
        diagnostics.warn(&path.field("by"), message);
    }
    Some(Limit {
        id: raw.id.clone(),
        routes,
        groups: raw.on.groups.clone(),
        by: by?,
        keys,
        quotas,
        hard: raw.hard.unwrap_or(false),
        lease: raw.lease.unwrap_or(false),
        on_error,
        default_output,
        colocation_group: None,
    })
}

fn by(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, by: &str) -> Option<By> {
    match (by, by.split_once(':')) {
        ("all", _) => Some(By::All),
        ("consumer", _) => Some(By::Consumer),
        ("group", _) => Some(By::Group),
        ("ip", _) => Some(By::Address),
        (_, Some(("header", name))) => diagnostics.header_name(path, name).map(By::Header),
        // The characters of an id are valid in names of query parameters and of cookies.
        (_, Some(("param", name))) => {
            self::check_name(diagnostics, path, name);
            Some(By::Parameter(name.to_owned()))
        }
        (_, Some(("cookie", name))) => {
            self::check_name(diagnostics, path, name);
            Some(By::Cookie(name.to_owned()))
        }
        (_, Some(_) | None) => {
            let expected = "one of all, consumer, group, ip, header:NAME, param:NAME, cookie:NAME";
            diagnostics.report(path, quoted(by), expected);
            None
        }
    }
}

fn keys(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    keys: Option<&[String]>,
    by: Option<&By>,
) -> Vec<ValuePattern> {
    let Some(keys) = keys else { return Vec::new() };
    if by == Some(&By::All) {
        let expected = "no `keys` with `by = \"all\"`, which has one account for all callers";
        diagnostics.report(path, "`keys`", expected);
    } else if keys.is_empty() {
        diagnostics.report(path, "an empty list", "at least one value, or no `keys` for all");
    }
    let is_address = by == Some(&By::Address);
    let read =
        |(index, key): (usize, &String)| covered(diagnostics, &path.item(index), key, is_address);
    keys.iter().enumerate().filter_map(read).collect()
}

/// Parses a covered value: an exact one, `*`, `~regex`, or a CIDR block.
pub(super) fn covered(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    key: &str,
    is_address: bool,
) -> Option<ValuePattern> {
    if let Some(expression) = key.strip_prefix('~') {
        return diagnostics.regex(path, expression).map(ValuePattern::Regex);
    }
    if key == "*" {
        return Some(ValuePattern::Any);
    }
    if key.is_empty() {
        diagnostics.report(path, "nothing", "an exact value, * or ~regex");
        return None;
    }
    if !is_address {
        return Some(ValuePattern::Exact(key.to_owned()));
    }
    let block = key.parse().ok();
    if block.is_none() {
        let expected = "an address, a block such as \"10.0.0.0/8\", * or ~regex";
        diagnostics.report(path, quoted(key), expected);
    }
    block.map(ValuePattern::Block)
}

fn quotas(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Limit,
    has_prices: bool,
) -> Vec<Quota> {
    let mut quotas = Vec::new();
    for (measure, quota) in [(Measure::Tokens, &raw.tokens), (Measure::Requests, &raw.requests)] {
        let Some(quota) = quota else { continue };
        let path = path.field(measure.name());
        let per = period(diagnostics, &path, &quota.per, quota.timezone.as_deref());
        let max = Some(quota.max).filter(|max| (1..=MAX_COUNT).contains(max));
        if max.is_none() {
            let expected = format!("a number above zero, {MAX_COUNT} at most");
            diagnostics.report(&path.field("max"), quota.max.to_string(), expected);
        }
        quotas.extend(max.zip(per).map(|(max, per)| Quota { measure, max, per }));
    }
    if let Some(cost) = &raw.cost {
        let measure = Measure::Cost;
        let path = path.field(measure.name());
        let per = period(diagnostics, &path, &cost.per, cost.timezone.as_deref());
        let max = billionths(cost.max).filter(|max| *max > 0);
        if max.is_none() {
            let expected = "USD: above zero, 9007199 at most, with nine decimals at most";
            diagnostics.report(&path.field("max"), cost.max.to_string(), expected);
        }
        if !has_prices {
            let expected =
                "at least one `[[prices]]`, since the cost of every request is 0 without prices";
            diagnostics.report(&path, "a limit on cost without prices", expected);
        }
        quotas.extend(max.zip(per).map(|(max, per)| Quota { measure, max, per }));
    }
    if raw.tokens.is_none() && raw.requests.is_none() && raw.cost.is_none() {
        diagnostics.report(path, "no quota", "at least one of `tokens`, `requests`, `cost`");
    }
    quotas
}

fn period(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    per: &str,
    timezone: Option<&str>,
) -> Option<Period> {
    let zone = match timezone {
        None => Some(Zone::UTC),
        Some(name) => zone(diagnostics, &path.field("timezone"), per, name),
    };
    match per {
        "second" => Some(Period::Second),
        "minute" => Some(Period::Minute),
        "hour" => Some(Period::Hour),
        "day" => zone.map(Period::Day),
        "month" => zone.map(Period::Month),
        "total" => Some(Period::Total),
        _ => {
            let expected = format!("one of {}", raw::PERIODS.join(", "));
            let expected = match usual_period(per) {
                Some(period) => format!("{expected} (did you mean {period}?)"),
                None => with_hint(&expected, per, raw::PERIODS.iter().copied()),
            };
            diagnostics.report(&path.field("per"), quoted(per), expected);
            None
        }
    }
}

/// The period of a duration or adverb that other gateways use.
fn usual_period(per: &str) -> Option<&'static str> {
    Some(match per {
        "1s" | "s" | "sec" => "second",
        "1m" | "60s" | "min" | "1min" => "minute",
        "1h" | "60m" | "h" | "hourly" => "hour",
        "1d" | "24h" | "d" | "daily" => "day",
        "30d" | "1mo" | "mo" | "monthly" => "month",
        "forever" | "ever" | "lifetime" | "none" | "never" => "total",
        _ => return None,
    })
}

fn zone(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    per: &str,
    name: &str,
) -> Option<Zone> {
    // An unknown period is a problem of its own.
    if raw::PERIODS.contains(&per) && !matches!(per, "day" | "month") {
        let found = format!("a timezone with per {}", quoted(per));
        diagnostics.report(
            path,
            found,
            "a timezone with day or month only: other periods have no calendar",
        );
    }
    let zone = Zone::lookup(name);
    if zone.is_none() {
        let expected = "UTC or a name such as \"Asia/Shanghai\"";
        let expected = with_hint(expected, name, zone::zone_names());
        diagnostics.report(path, quoted(name), expected);
    }
    zone
}
