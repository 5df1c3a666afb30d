//! Readable plan of a configuration: the targets of each route, their shares, and the behavior on
//! failures.

pub(crate) mod access;
pub(crate) mod coverage;
pub(crate) mod guards_cache_observe;
mod rollout;
mod target_notes;

use std::fmt::{self, Write as _};
use std::time::Duration;

use config::{
    Balance, Config, Consumer, FallbackOn, Health, Hedge, ModelPattern, Provider, Retries, Route,
    RouteIndex, Sticky, Target, Targets,
};

pub(crate) fn render(config: &Config) -> String {
    let mut text = String::new();
    write(config, &mut text).expect("a string takes everything");
    text
}

fn write(config: &Config, out: &mut String) -> fmt::Result {
    writeln!(out, "Providers")?;
    let width = widest(config.providers.iter().map(|provider| provider.id.as_str()));
    for Provider { id, base_url, keys, .. } in &config.providers {
        writeln!(out, "  {id:width$}  {base_url}  {}", describe_keys(keys.len()))?;
    }
    for route in &config.routes {
        write_route(config, route, out)?;
    }
    writeln!(out, "\nConsumers")?;
    let anonymous = (!config.auth.required).then_some("anonymous");
    let ids = config.consumers.iter().map(|consumer| consumer.id.as_str());
    let width = widest(ids.chain(anonymous));
    for consumer in &config.consumers {
        writeln!(out, "  {:width$}  {}", consumer.id, describe_consumer(config, consumer))?;
        if let Some(bounds) = access::bounds(&consumer.permissions) {
            writeln!(out, "  {:width$}  {bounds}", "")?;
        }
    }
    if let Some(anonymous) = anonymous {
        writeln!(out, "  {anonymous:width$}  callers without a key")?;
    } else if config.consumers.is_empty() && config.auth.issuers.is_empty() {
        writeln!(out, "  none: every request is rejected")?;
    }
    if !config.storage.is_default() {
        writeln!(out, "\nStorage (Spin only: a Worker refuses it)")?;
        for (name, server) in [("ledger", &config.storage.ledger), ("store", &config.storage.store)]
        {
            if let Some(server) = server {
                let place = format!("Redis, keys {}:{name}:…", server.prefix);
                writeln!(out, "  {name:6}  {place}")?;
            }
        }
    }
    access::write(config, out)?;
    guards_cache_observe::write(config, out)
}

fn write_route(config: &Config, route: &Route, out: &mut String) -> fmt::Result {
    writeln!(out, "\nRoute {}", route.id)?;
    let models: Vec<String> = route.models.iter().map(format_pattern).collect();
    write_line(out, "models", &models.join(", "))?;
    for (index, share) in shares(&route.targets).iter().enumerate() {
        let target = describe_target(config, &route.targets.all()[index].target);
        write_line(out, if index == 0 { "targets" } else { "" }, &format!("{share:>7}  {target}"))?;
    }
    let sticky = match &route.sticky {
        Sticky::None => None,
        Sticky::Consumer => Some("consumer".to_owned()),
        Sticky::User => Some("the request's user".to_owned()),
        Sticky::Header(name) => Some(format!("header {name}")),
    };
    let balance = match route.balance {
        Balance::Weight => None,
        Balance::Latency => Some("the faster of two targets drawn by weight"),
        Balance::LeastBusy => Some("the less busy of two targets drawn by weight"),
        Balance::Cost => Some("the cheapest"),
    };
    if let Some(balance) = balance {
        write_line(out, "balance", balance)?;
    }
    if let Some(sticky) = sticky {
        write_line(out, "sticky by", &sticky)?;
    }
    if let Some(rules) = &route.rollout {
        for (index, line) in rollout::describe(route, rules).iter().enumerate() {
            write_line(out, if index == 0 { "rollout" } else { "" }, line)?;
        }
    }
    for (index, target) in route.fallback.iter().enumerate() {
        let name = if index == 0 { "fallback" } else { "" };
        write_line(out, name, &format!("{}. {}", index + 1, describe_target(config, target)))?;
    }
    if !route.fallback.is_empty() || route.targets.all().len() > 1 {
        write_line(out, "falls back on", &describe_conditions(route.fallback_on))?;
    }
    write_line(out, "retries", &describe_retries(route.retries))?;
    write_line(out, "health", &describe_health(route.health))?;
    if let Some(hedge) = &route.hedge {
        write_line(out, "hedge", &describe_hedge(hedge))?;
    }
    if route.continues_streams {
        write_line(out, "continue", "interrupted streams continue on a fallback")?;
    }
    let timeouts = route.timeouts;
    let [first_byte, answer, idle, total] =
        [timeouts.first_byte, timeouts.answer, timeouts.idle, timeouts.total].map(format_duration);
    let text = format!("first byte {first_byte}, answer {answer}, idle {idle}, total {total}");
    write_line(out, "timeouts", &text)
}

fn write_line(out: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "  {name:13}  {value}")
}

/// Length of the longest name, in bytes.
pub(crate) fn widest<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(str::len).max().unwrap_or_default()
}

/// Formats a pattern as in the configuration.
pub(crate) fn format_pattern(pattern: &ModelPattern) -> String {
    match pattern {
        ModelPattern::Exact(name) => name.clone(),
        ModelPattern::Prefix(prefix) => format!("{prefix}*"),
        ModelPattern::Regex(regex) => format!("~{regex}"),
    }
}

/// Share of each target in percent, with at most two decimals and no trailing zeros.
fn shares(targets: &Targets) -> Vec<String> {
    let total = targets.total().get();
    let share = |weight: u32| {
        let hundredths = (u64::from(weight) * 10_000 + total / 2) / total;
        let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
    };
    targets.all().iter().map(|weighted| share(weighted.weight)).collect()
}

fn describe_target(config: &Config, target: &Target) -> String {
    let provider = &config.provider(target.provider).id;
    match &target.model {
        Some(model) => format!("{provider}, as {model}"),
        None => provider.clone(),
    }
}

fn describe_conditions(on: FallbackOn) -> String {
    let FallbackOn { connect, timeout, too_many_requests, server_error, limited } = on;
    let all = [
        (connect, "connect"),
        (timeout, "timeout"),
        (too_many_requests, "429"),
        (server_error, "5xx"),
        (limited, "limited"),
    ];
    let chosen: Vec<&str> =
        all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name).collect();
    if chosen.is_empty() { "nothing".to_owned() } else { chosen.join(", ") }
}

fn describe_retries(retries: Retries) -> String {
    let Retries { attempts, backoff, honour_retry_after, budget, max_replay_bytes: replay } =
        retries;
    let replayed = match replay {
        Some(max) => format!("; bodies above {max} bytes are sent once"),
        None => String::new(),
    };
    if attempts == 0 {
        return format!("none{replayed}");
    }
    let (backoff, longest) = (format_duration(backoff), format_duration(honour_retry_after));
    let budget = f64::from(budget) / 10.0;
    format!(
        "{attempts} at each target, the first after {backoff}; waits for a Retry-After of up to {longest}; {budget} % of the requests at most{replayed}"
    )
}

fn describe_hedge(hedge: &Hedge) -> String {
    let after = hedge.after.map_or_else(|| "the target's own p95".to_owned(), format_duration);
    let share = f64::from(hedge.share) / 10.0;
    format!("a second call after {after}, for {share} % of the requests at most")
}

fn describe_health(health: Health) -> String {
    let Health { failures, window, cool_down } = health;
    if failures == 0 {
        return "targets never cool down".to_owned();
    }
    let (window, cool_down) = (format_duration(window), format_duration(cool_down));
    format!("{failures} failures in a row within {window} start a cool-down, first for {cool_down}")
}

fn describe_consumer(config: &Config, consumer: &Consumer) -> String {
    let mut words = describe_keys(consumer.keys.len());
    if consumer.disabled {
        words.push_str(", disabled");
    }
    if let Some(group) = &consumer.group {
        write!(words, ", group {group}").ok();
    }
    write!(words, ", {}", describe_routes(config, consumer.permissions.routes.as_deref())).ok();
    words
}

/// Lists routes by id. `None` stands for every route.
pub(crate) fn describe_routes(config: &Config, routes: Option<&[RouteIndex]>) -> String {
    let Some(routes) = routes else { return "every route".to_owned() };
    let ids: Vec<&str> = routes.iter().map(|route| config.route(*route).id.as_str()).collect();
    format!("routes {}", ids.join(", "))
}

fn describe_keys(count: usize) -> String {
    match count {
        0 => "no key".to_owned(),
        1 => "1 key".to_owned(),
        more => format!("{more} keys"),
    }
}

/// Formats a duration as in the configuration.
pub(crate) fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit =
        units.into_iter().find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size));
    let (size, unit) = unit.unwrap_or((1, "ms"));
    format!("{}{unit}", milliseconds / size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::author;
    use secret::Secret;

    use super::{format_duration, render};

    #[test]
    fn plan_lists_routes_and_consumers() {
        let text = r#"
[[providers]]
id   = "openai"
keys = ["secret:A", "secret:B"]

[[providers]]
id       = "local"
kind     = "openai-compatible"
base_url = "http://127.0.0.1:9100/v1"

[[routes]]
id          = "chat"
models      = ["gpt-4o", "gpt-4o-*", "~^o[13]$"]
targets     = [{ provider = "openai", weight = 2 }, { provider = "local", weight = 1, model = "qwq" }]
sticky      = "header:x-team"
fallback    = [{ provider = "local" }]
fallback_on = ["connect", "5xx"]
retries     = { attempts = 1, backoff = "250ms", honour_retry_after = "2s" }
timeouts    = { first_byte = "15s", idle = "90s", total = "5m" }

[[routes]]
id      = "plain"
models  = ["qwq"]
targets = [{ provider = "local" }]
balance = "cost"

[[consumers]]
id     = "design"
group  = "design"
keys   = ["secret:C"]
routes = ["chat"]
"#;
        let config = author::from_toml(text, &|name| Some(Secret::new(name)))
            .expect("the document is valid");
        let expected = "\
Providers
  openai  https://api.openai.com/v1  2 keys
  local   http://127.0.0.1:9100/v1  no key

Route chat
  models         gpt-4o, gpt-4o-*, ~^o[13]$
  targets        66.67 %  openai
                 33.33 %  local, as qwq
  sticky by      header x-team
  fallback       1. local
  falls back on  connect, 5xx
  retries        1 at each target, the first after 250ms; waits for a Retry-After of up to 2s; 20 % of the requests at most
  health         5 failures in a row within 30s start a cool-down, first for 10s
  timeouts       first byte 15s, answer 15s, idle 90s, total 5m

Route plain
  models         qwq
  targets          100 %  local
  balance        the cheapest
  retries        none
  health         5 failures in a row within 30s start a cool-down, first for 10s
  timeouts       first byte 1m, answer 10m, idle 1m, total 10m

Consumers
  design  1 key, group design, routes chat
";
        assert_eq!(render(&config), expected);
    }

    #[test]
    fn duration_has_the_largest_exact_unit() {
        let written = [0, 1, 1000, 1500, 90_000, 3_600_000]
            .map(|ms| format_duration(Duration::from_millis(ms)));
        assert_eq!(written, ["0ms", "1ms", "1s", "1500ms", "90s", "1h"]);
    }
}
