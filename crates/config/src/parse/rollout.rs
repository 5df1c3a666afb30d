//! `[routes.rollout]`: target, steps, checks, and unit.

use std::time::Duration;

use rollout::{Check, Plan};

use super::super::price::Prices;
use super::super::raw;
use super::super::rollout::{Metric, RolloutRules};
use super::super::route::{Balance, Route, Sticky, Target, Targets};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;

const DEFAULT_STEPS: [u32; 5] = [1, 5, 20, 50, 100];
const MAX_STEPS: usize = 20;
const MAX_HOLD_REQUESTS: u32 = 1_000_000;
const DEFAULT_MAX_TIME: Duration = Duration::from_secs(168 * 3_600);
const LONGEST_MAX_TIME: Duration = Duration::from_secs(8_760 * 3_600);
/// Names at the canary below which a sticky step compares nothing.
const MIN_NAMES: usize = 20;
/// Metric of the contract without a source of evidence in this version.
const WITHOUT_EVIDENCE: &str = "judged_bad";

/// The parsed parts of a route on which its rollout depends.
pub(super) struct RouteParts<'a> {
    pub(super) raw: &'a raw::Route,
    pub(super) targets: &'a Targets,
    pub(super) balance: Balance,
    pub(super) sticky: &'a Sticky,
}

pub(super) fn rollout(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Rollout,
    route: &RouteParts<'_>,
) -> Option<RolloutRules> {
    check_target(diagnostics, &path.field("target"), raw, route);
    if route.balance != Balance::Weight {
        let found = "a rollout with `balance` other than \"weight\"";
        diagnostics.report(path, found, "`balance = \"weight\"`: its steps are weights");
    }
    let unit = unit(diagnostics, &path.field("unit"), raw.unit.as_deref(), route.sticky);
    let checks = checks(diagnostics, path, raw.checks.as_deref());
    let hold = path.field("hold");
    let hold_time = diagnostics.positive_duration(
        &hold.field("time"),
        raw.hold.time.as_ref(),
        Duration::from_secs(600),
    );
    let hold_requests =
        diagnostics.count(&hold.field("requests"), raw.hold.requests, 1..=MAX_HOLD_REQUESTS, 200);
    let on_undecided = diagnostics.choice(
        &path.field("on_undecided"),
        raw.on_undecided.as_deref(),
        &raw::ON_UNDECIDED,
        [false, true],
    );
    let (metrics, checks): (Vec<Metric>, Vec<Check>) = checks.into_iter().unzip();
    let unit = unit?;
    let plan = Plan {
        target: raw.target.clone(),
        steps: steps(diagnostics, &path.field("steps"), raw.steps.as_deref()),
        hold_ms: millis(hold_time),
        hold_requests: hold_requests as u64,
        unit: unit_name(&unit),
        draws_requests: *route.sticky == Sticky::None,
        alpha_millionths: alpha(diagnostics, &path.field("alpha"), raw.alpha),
        checks,
        promotes_undecided: on_undecided.unwrap_or(false),
        max_ms: millis(max_time(diagnostics, &path.field("max_time"), raw.max_time.as_ref())),
    };
    Some(RolloutRules { plan, metrics, unit })
}

/// The parsed parts of the document on which rollouts depend.
pub(super) struct DocumentParts<'a> {
    pub(super) prices: &'a Prices,
    /// Whether callers can be anything but anonymous.
    pub(super) has_consumers: bool,
    /// Number of consumers in the document.
    pub(super) consumers: usize,
}

/// Reports checks of `cost` without prices, and units that no request has.
pub(super) fn check_document(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    routes: &[Route],
    parts: &DocumentParts<'_>,
) {
    for (index, route) in routes.iter().enumerate() {
        let Some(rules) = &route.rollout else { continue };
        let item = path.item(index);
        let path = item.field("rollout");
        if rules.unit == Sticky::Consumer && !parts.has_consumers {
            let found = "the unit \"consumer\" where all callers are anonymous";
            let expected = "\"user\", \"request\" or \"header:NAME\"; or `[auth] required = true`";
            diagnostics.report(&path.field("unit"), found, expected);
        }
        if route.sticky == Sticky::Consumer {
            warn_of_few_names(diagnostics, &path.field("steps"), &rules.plan, parts.consumers);
        }
        let position_of = |metric| rules.metrics.iter().position(|one| *one == metric);
        if let (Some(position), false) = (position_of(Metric::Disliked), parts.has_consumers) {
            let found = "a check of feedback where all callers are anonymous";
            let expected = "consumers, who alone can rate answers; or no check \"disliked\"";
            let checks = path.field("checks");
            diagnostics.report(&checks.item(position).field("metric"), found, expected);
        }
        let Some(position) = position_of(Metric::Cost) else {
            continue;
        };
        let has_price = |target: &Target| match &target.model {
            Some(model) => parts.prices.lookup(target.provider, model).is_some(),
            // The caller names the model: some price may apply.
            None => parts.prices.rows().next().is_some(),
        };
        if !route.targets.all().iter().all(|one| has_price(&one.target)) {
            let found = "a check of costs without the prices of all targets";
            let expected = "`[[prices]]` for the models of all targets, or no check \"cost\"";
            let checks = path.field("checks");
            diagnostics.report(&checks.item(position).field("metric"), found, expected);
        }
    }
}

/// Warns if the first step reaches too few of the document's consumers to be compared.
fn warn_of_few_names(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    plan: &Plan,
    names: usize,
) {
    let Some(first) = plan.steps.first() else { return };
    if names * usize::from(*first) < MIN_NAMES * 100 {
        let message = format!(
            "{first} % of {names} consumers are too few to compare, since `sticky = \"consumer\"` \
             moves whole consumers: about {MIN_NAMES} are needed at the canary. Use `sticky = \
             \"user\"`, or begin with a larger share"
        );
        diagnostics.warn(path, message);
    }
}

fn check_target(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Rollout,
    route: &RouteParts<'_>,
) {
    let label = |target: &raw::WeightedTarget| match &target.model {
        Some(model) => format!("{}/{model}", target.provider),
        None => target.provider.clone(),
    };
    let Some((last, others)) = route.raw.targets.split_last() else { return };
    let last = label(last);
    if raw.target != last {
        let expected = if others.iter().any(|other| label(other) == raw.target) {
            format!("{last:?}, or {:?} moved to the end of `targets`", raw.target)
        } else {
            format!("{last:?}, the last of the route's `targets`")
        };
        diagnostics.report(path, quoted(&raw.target), expected);
    } else if others.iter().any(|other| label(other) == last) {
        diagnostics.report(path, quoted(&last), "a target that the route has only once");
    }
    let weights = route.targets.all().iter().rev().skip(1);
    if weights.map(|other| u64::from(other.weight)).sum::<u64>() == 0 {
        let found = "a rollout without a target to compare with";
        let expected = "at least one other target with a weight above zero, before it";
        diagnostics.report(path, found, expected);
    }
}

fn steps(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: Option<&[u32]>) -> Vec<u8> {
    let steps = raw.unwrap_or(&DEFAULT_STEPS);
    if !(2..=MAX_STEPS).contains(&steps.len()) {
        let found = format!("{} steps", steps.len());
        let expected = format!("from 2 to {MAX_STEPS}: the last one is the promoted share");
        diagnostics.report(path, found, expected);
    }
    let mut before = 0;
    for (index, step) in steps.iter().enumerate() {
        if *step > 100 || *step <= before {
            let expected = format!("a whole percentage above {before} and at most 100");
            diagnostics.report(&path.item(index), step.to_string(), expected);
        }
        before = before.max(*step);
    }
    steps.iter().map(|step| u8::try_from(*step).unwrap_or(100)).collect()
}

/// The unit; the route's sticky name by default, since it keeps a unit on one side.
fn unit(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<&str>,
    sticky: &Sticky,
) -> Option<Sticky> {
    let by_name = (*sticky != Sticky::None).then_some(sticky);
    let Some(text) = raw else { return Some(by_name.cloned().unwrap_or(Sticky::User)) };
    let unit = match (text, text.strip_prefix("header:")) {
        ("request", _) => Sticky::None,
        ("user", _) => Sticky::User,
        ("consumer", _) => Sticky::Consumer,
        (_, Some(name)) => Sticky::Header(diagnostics.header_name(path, name)?),
        (_, None) => {
            diagnostics.report(path, quoted(text), "one of request, user, consumer, header:NAME");
            return None;
        }
    };
    if let Some(by_name) = by_name.filter(|by_name| **by_name != unit) {
        let expected = format!("{:?}, the route's `sticky`, or no `unit`", unit_name(by_name));
        diagnostics.report(path, quoted(text), expected);
    }
    Some(unit)
}

/// The unit as written.
fn unit_name(unit: &Sticky) -> String {
    match unit {
        Sticky::None => "request".to_owned(),
        Sticky::User => "user".to_owned(),
        Sticky::Consumer => "consumer".to_owned(),
        Sticky::Header(name) => format!("header:{name}"),
    }
}

/// Metric and plan of each check; those with problems are left out.
fn checks(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<&[raw::RolloutCheck]>,
) -> Vec<(Metric, Check)> {
    let path = path.field("checks");
    let Some(raw) = raw else {
        return vec![
            plan_check(Metric::Errors, 900, 2_000),
            plan_check(Metric::Latency, 900, 1_500),
        ];
    };
    if raw.is_empty() {
        diagnostics.report(&path, "an empty list", "at least one check, or no `checks`");
    }
    let mut read: Vec<(Metric, Check)> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = path.item(index);
        let Some(metric) = metric(diagnostics, &path.field("metric"), &raw.metric) else {
            continue;
        };
        if read.iter().any(|(other, _)| *other == metric) {
            diagnostics.report(&path.field("metric"), quoted(&raw.metric), "each metric once");
        }
        if raw.quantile.is_some() && !metric.is_measured() {
            let found = format!("`quantile` with {:?}", raw.metric);
            diagnostics.report(
                &path.field("quantile"),
                found,
                "no `quantile`: it is no measurement",
            );
        }
        let quantile =
            diagnostics.thousandths(&path.field("quantile"), raw.quantile, 0.5..=0.99, 900);
        let default = if metric.is_measured() { 1_500 } else { 2_000 };
        let max_ratio =
            diagnostics.thousandths(&path.field("max_ratio"), raw.max_ratio, 1.05..=60.0, default);
        read.push(plan_check(metric, quantile, max_ratio));
    }
    read
}

fn metric(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, name: &str) -> Option<Metric> {
    if name == WITHOUT_EVIDENCE {
        let expected =
            format!("one of {}: this version judges no answers", Metric::NAMES.join(", "));
        diagnostics.report(path, quoted(name), expected);
        return None;
    }
    diagnostics.choice(path, Some(name), &Metric::NAMES, Metric::ALL)
}

fn plan_check(metric: Metric, quantile: u16, max_ratio: u16) -> (Metric, Check) {
    let check = Check {
        name: metric.name().to_owned(),
        quantile: metric.is_measured().then_some(quantile),
        max_ratio_thousandths: u32::from(max_ratio),
    };
    (metric, check)
}

fn alpha(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: Option<f64>) -> u32 {
    let alpha = raw.unwrap_or(0.05);
    let millionths = (alpha * 1e6).round();
    if !(1.0..=500_000.0).contains(&millionths) {
        diagnostics.report(path, alpha.to_string(), "a probability above 0 and at most 0.5");
    }
    millionths as u32
}

fn max_time(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<&raw::Span>,
) -> Duration {
    let Some(span) = raw else { return DEFAULT_MAX_TIME };
    match span.duration() {
        Some(time) if !time.is_zero() && time <= LONGEST_MAX_TIME => return time,
        Some(_) => {
            diagnostics.report(path, quoted(&span.0), "a duration above zero, at most \"8760h\"");
        }
        None => diagnostics.report(path, quoted(&span.0), span.expected()),
    }
    DEFAULT_MAX_TIME
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
