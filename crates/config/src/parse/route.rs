//! `[[routes]]`: models, targets, fallbacks, retries, and timeouts.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use super::super::index::{ProviderIndex, RouteIndex};
use super::super::model_index::{ModelIndex, ModelPattern};
use super::super::raw;
use super::super::route::{
    Balance, FallbackOn, Health, Hedge, Retries, Route, Sticky, Target, Targets, Timeouts,
    WeightedTarget,
};
use super::diagnostics::{Diagnostics, as_share, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;
use super::rollout::{self, RouteParts};
use super::translation::{check_listed, translation};

const MAX_RETRIES: u32 = 10;
const MAX_FAILURES: u32 = 100;

/// Parses every route.
pub(super) fn routes(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Route],
    providers: &IdIndex<'_>,
) -> Vec<Route> {
    let read = |(index, raw)| route(diagnostics, &path.item(index), raw, providers);
    raw.iter().enumerate().filter_map(read).collect()
}

fn route(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Route,
    providers: &IdIndex<'_>,
) -> Option<Route> {
    // `models` reports invalid patterns.
    let models: Vec<_> = raw.models.iter().filter_map(|model| pattern(model).ok()).collect();
    let targets = targets(diagnostics, &path.field("targets"), &raw.targets, providers);
    let fallbacks = path.field("fallback");
    let read = |(index, raw): (usize, &raw::Target)| {
        target(diagnostics, &fallbacks.item(index), &raw.provider, raw.model.as_ref(), providers)
    };
    let fallback = raw.fallback.iter().enumerate().filter_map(read).collect();
    let balance = balance(diagnostics, &path.field("balance"), raw.balance.as_deref());
    let sticky = raw.sticky.as_deref().unwrap_or("none");
    let sticky = self::sticky(diagnostics, &path.field("sticky"), sticky);
    if balance != Balance::Weight && sticky.as_ref().is_some_and(|sticky| *sticky != Sticky::None) {
        let found = "`balance` other than \"weight\" with `sticky`";
        diagnostics.report(&path.field("balance"), found, "\"weight\", or no `sticky`");
    }
    let on = raw.fallback_on.as_deref();
    let fallback_on = fallback_on(diagnostics, &path.field("fallback_on"), on);
    let retries = retries(diagnostics, &path.field("retries"), &raw.retries);
    let health = health(diagnostics, &path.field("health"), &raw.health);
    let timeouts = timeouts(diagnostics, &path.field("timeouts"), &raw.timeouts);
    let translation = translation(diagnostics, &path.field("translate"), &raw.translate);
    check_listed(diagnostics, &path.field("listed"), &raw.listed, &models);
    let hedge = raw.hedge.as_ref().map(|raw| hedge(diagnostics, &path.field("hedge"), raw));
    let continues_streams = raw.continues_streams.unwrap_or(false);
    for (field, needs_another) in [("hedge", hedge.is_some()), ("continue", continues_streams)] {
        if needs_another && raw.fallback.is_empty() {
            let expected = "at least one `fallback` for this route";
            diagnostics.report(&path.field(field), "a route without a `fallback`", expected);
        }
    }
    let warm_up = raw.warm_up.as_ref().map(|_| {
        let default = Duration::from_secs(60);
        diagnostics.positive_duration(&path.field("warm_up"), raw.warm_up.as_ref(), default)
    });
    let (targets, sticky) = (targets?, sticky?);
    let rollout = raw.rollout.as_ref().and_then(|rules| {
        let parts = RouteParts { raw, targets: &targets, balance, sticky: &sticky };
        rollout::rollout(diagnostics, &path.field("rollout"), rules, &parts)
    });
    Some(Route {
        id: raw.id.clone(),
        models,
        targets,
        balance,
        sticky,
        fallback,
        fallback_on,
        retries,
        health,
        timeouts,
        translation: translation?,
        listed: raw.listed.clone(),
        hedge,
        continues_streams,
        warm_up,
        rollout,
    })
}

/// Builds the index over the models of all routes. A repeated pattern is a problem. Each pattern is inserted
/// in order: sorting afterwards would add 3 KB to the bundle for every type.
pub(super) fn models(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Route],
) -> ModelIndex {
    let mut index = ModelIndex::default();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, route) in raw.iter().enumerate() {
        let route_path = path.item(position);
        let path = route_path.field("models");
        if route.models.is_empty() {
            diagnostics.report(&path, "an empty list", "at least one model");
        }
        for (item, model) in route.models.iter().enumerate() {
            let path = path.item(item);
            match seen.insert(model, position) {
                Some(first) if first == position => {
                    diagnostics.report(&path, quoted(model), "each model once");
                }
                Some(first) => {
                    let other = &raw[first].id;
                    diagnostics.report(
                        &path,
                        quoted(model),
                        format!("a model that the route {other} does not list"),
                    );
                }
                None => {}
            }
            let route = RouteIndex(position);
            match pattern(model) {
                Ok(ModelPattern::Exact(name)) => {
                    let at = index.exact.partition_point(|(other, _)| *other <= name);
                    index.exact.insert(at, (name, route));
                }
                Ok(ModelPattern::Prefix(prefix)) => {
                    let longer = |(other, _): &(String, _)| other.len() >= prefix.len();
                    let at = index.prefixes.partition_point(longer);
                    index.prefixes.insert(at, (prefix, route));
                }
                Ok(ModelPattern::Regex(regex)) => index.patterns.push((regex, route)),
                Err(InvalidPattern::Regex(expression)) => {
                    diagnostics.regex(&path, expression);
                }
                Err(InvalidPattern::Name) => {
                    diagnostics.report(&path, quoted(model), "an exact name, prefix* or ~regex");
                }
            }
        }
    }
    index
}

/// Reason why a text is not a pattern of models.
pub(super) enum InvalidPattern<'a> {
    Name,
    Regex(&'a str),
}

/// Parses a pattern of models.
pub(super) fn pattern(model: &str) -> Result<ModelPattern, InvalidPattern<'_>> {
    if let Some(expression) = model.strip_prefix('~') {
        let regex = regex_lite::Regex::new(expression);
        return regex.map(ModelPattern::Regex).map_err(|_| InvalidPattern::Regex(expression));
    }
    let (name, is_prefix) = match model.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (model, false),
    };
    let is_name = |c: char| c != '*' && !c.is_whitespace() && !c.is_control();
    if (name.is_empty() && !is_prefix) || !name.chars().all(is_name) {
        return Err(InvalidPattern::Name);
    }
    let name = name.to_owned();
    Ok(if is_prefix { ModelPattern::Prefix(name) } else { ModelPattern::Exact(name) })
}

fn targets(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::WeightedTarget],
    providers: &IdIndex<'_>,
) -> Option<Targets> {
    let read = |(index, raw): (usize, &raw::WeightedTarget)| {
        let target =
            target(diagnostics, &path.item(index), &raw.provider, raw.model.as_ref(), providers)?;
        Some(WeightedTarget { weight: raw.weight.unwrap_or(1), target })
    };
    let all: Vec<_> = raw.iter().enumerate().filter_map(read).collect();
    let total = NonZeroU64::new(raw.iter().map(|one| u64::from(one.weight.unwrap_or(1))).sum());
    if raw.is_empty() {
        diagnostics.report(path, "an empty list", "at least one target");
    } else if total.is_none() {
        diagnostics.report(path, "weights that are all zero", "at least one weight above zero");
    }
    Some(Targets { all, total: total? })
}

fn target(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    provider: &str,
    model: Option<&String>,
    providers: &IdIndex<'_>,
) -> Option<Target> {
    if model.is_some_and(|model| model.trim().is_empty()) {
        diagnostics.report(
            &path.field("model"),
            "an empty name",
            "a model's name, or no `model` for the caller's",
        );
    }
    let provider = providers.resolve(diagnostics, &path.field("provider"), provider)?;
    Some(Target { provider: ProviderIndex(provider), model: model.cloned() })
}

fn balance(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, text: Option<&str>) -> Balance {
    match text {
        None | Some("weight") => Balance::Weight,
        Some("latency") => Balance::Latency,
        Some("least_busy") => Balance::LeastBusy,
        Some("cost") => Balance::Cost,
        Some(text) => {
            diagnostics.one_of(path, text, &raw::BALANCES);
            Balance::Weight
        }
    }
}

fn sticky(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, text: &str) -> Option<Sticky> {
    match (text, text.strip_prefix("header:")) {
        ("none", _) => Some(Sticky::None),
        ("consumer", _) => Some(Sticky::Consumer),
        ("user", _) => Some(Sticky::User),
        (_, Some(name)) => diagnostics.header_name(path, name).map(Sticky::Header),
        (_, None) => {
            diagnostics.report(path, quoted(text), "one of none, consumer, user, header:NAME");
            None
        }
    }
}

fn fallback_on(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    conditions: Option<&[String]>,
) -> FallbackOn {
    let Some(conditions) = conditions else {
        let (connect, timeout, too_many_requests, server_error) = (true, true, true, true);
        return FallbackOn { connect, timeout, too_many_requests, server_error, limited: false };
    };
    let mut on = FallbackOn::default();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.item(index);
        match condition.as_str() {
            "connect" => on.connect = true,
            "timeout" => on.timeout = true,
            "429" => on.too_many_requests = true,
            "5xx" => on.server_error = true,
            "limited" => on.limited = true,
            _ => {
                diagnostics.one_of(&path, condition, &raw::CONDITIONS);
            }
        }
    }
    on
}

fn retries(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Retries) -> Retries {
    let attempts = raw.attempts.unwrap_or(0);
    if attempts > MAX_RETRIES {
        diagnostics.report(
            &path.field("attempts"),
            attempts.to_string(),
            format!("{MAX_RETRIES} at most"),
        );
    }
    let budget = share_thousandths(diagnostics, &path.field("budget"), raw.budget, 0.2);
    let replay = raw.replay.as_ref().and_then(|size| {
        let bytes = size.bytes().and_then(|bytes| usize::try_from(bytes).ok());
        if bytes.is_none() {
            diagnostics.report(&path.field("replay"), quoted(&size.0), size.expected());
        }
        bytes
    });
    let backoff = Duration::from_millis(250);
    let honour = Duration::from_secs(2);
    Retries {
        attempts,
        backoff: diagnostics.duration_or(&path.field("backoff"), raw.backoff.as_ref(), backoff),
        honour_retry_after: diagnostics.duration_or(
            &path.field("honour_retry_after"),
            raw.honour_retry_after.as_ref(),
            honour,
        ),
        budget,
        max_replay_bytes: replay,
    }
}

/// A share from 0 to 1, in thousandths, rounded.
fn share_thousandths(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<f64>,
    default: f64,
) -> u32 {
    let share = raw.unwrap_or(default);
    if !(0.0..=1.0).contains(&share) {
        let expected = format!("a share from 0 to 1{}", as_share(share));
        diagnostics.report(path, share.to_string(), expected);
    }
    (share * 1_000.0).round() as u32
}

fn hedge(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Hedge) -> Hedge {
    let after = raw.after.as_ref();
    Hedge {
        share: share_thousandths(diagnostics, &path.field("share"), raw.share, 0.05),
        after: after.map(|_| {
            diagnostics.positive_duration(&path.field("after"), after, Duration::from_secs(1))
        }),
    }
}

fn health(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Health) -> Health {
    let failures = raw.failures.unwrap_or(5);
    if failures > MAX_FAILURES {
        diagnostics.report(
            &path.field("failures"),
            failures.to_string(),
            format!("{MAX_FAILURES} at most"),
        );
    }
    let window = diagnostics.positive_duration(
        &path.field("window"),
        raw.window.as_ref(),
        Duration::from_secs(30),
    );
    let path = path.field("rest");
    let cool_down =
        diagnostics.positive_duration(&path, raw.rest.as_ref(), Duration::from_secs(10));
    if cool_down > Health::MAX_OPEN_TIME {
        let found = raw.rest.as_ref().map_or_else(String::new, |span| quoted(&span.0));
        diagnostics.report(&path, found, "30s at most");
    }
    Health { failures, window, cool_down }
}

fn timeouts(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Timeouts,
) -> Timeouts {
    const MINUTE: Duration = Duration::from_secs(60);
    let total =
        diagnostics.positive_duration(&path.field("total"), raw.total.as_ref(), 10 * MINUTE);
    let idle = diagnostics.positive_duration(&path.field("idle"), raw.idle.as_ref(), MINUTE);
    let mut within_total = |name, span: Option<&raw::Span>, default| {
        let path = path.field(name);
        let wait = diagnostics.positive_duration(&path, span, default);
        if wait > total {
            let found = span.map_or_else(String::new, |span| quoted(&span.0));
            diagnostics.report(&path, found, "no more than `total`");
        }
        wait
    };
    let first_byte = within_total("first_byte", raw.first_byte.as_ref(), MINUTE.min(total));
    // A provider sends a whole answer when it is complete, after minutes of silence.
    let default = if raw.first_byte.is_some() { first_byte.min(total) } else { total };
    let answer = within_total("answer", raw.answer.as_ref(), default);
    Timeouts { first_byte, answer, idle, total }
}
