//! Plan sections of groups, token issuers, limits, prices and operators.

use std::fmt::{self, Write as _};

use config::{
    By, Config, IssuerKeys, Limit, Measure, OnError, ParameterRule, Period, Permissions, Price,
    PriceTier, Quota, Role, UnknownSubjects,
};

use crate::plan::{describe_routes, format_duration, format_pattern, widest};

/// Writes each section that has entries.
pub(crate) fn write(config: &Config, out: &mut String) -> fmt::Result {
    let groups = config.groups.iter().map(|group| {
        let mut words = describe_routes(config, group.permissions.routes.as_deref());
        if let Some(bounds) = bounds(&group.permissions) {
            write!(words, "; {bounds}").ok();
        }
        (group.id.clone(), vec![words])
    });
    section(out, "Groups", groups)?;
    let issuers = config.auth.issuers.iter().map(|issuer| {
        let keys = match &issuer.keys {
            IssuerKeys::Missing => "no keys".to_owned(),
            IssuerKeys::Inline(_) => "inline keys".to_owned(),
            IssuerKeys::Url { url, keep } => {
                format!("keys from {url}, kept for {}", format_duration(*keep))
            }
        };
        let prefix = issuer.namespace.as_ref().map_or_else(String::new, |it| format!("{it}."));
        let mut words = format!("{keys}; the consumer is {prefix}{}", issuer.consumer_claim);
        if issuer.unknown == UnknownSubjects::Refuse {
            words.push_str("; unknown subjects are refused");
        }
        (issuer.issuer.clone(), vec![words])
    });
    section(out, "Token issuers", issuers)?;
    let limits =
        config.limits.iter().map(|limit| (limit.id.clone(), describe_limit(config, limit)));
    section(out, "Limits", limits)?;
    let prices = config.prices.rows().map(|(provider, models, price)| {
        let provider = provider.map(|index| format!(" at {}", config.provider(index).id));
        // The configuration holds billionths of a dollar per thousand tokens.
        let words = |price: Price| {
            let [input, cached, written, output] =
                [price.input, price.cached, price.cache_write, price.output]
                    .map(|amount| decimal(amount, 6));
            let mut words = format!("input {input}, cached input {cached}, output {output}");
            if price.cache_write != price.input {
                write!(words, ", cache writes {written}").ok();
            }
            words
        };
        let tier =
            |tier: PriceTier| format!("above {} prompt tokens: {}", tier.above, words(tier.price));
        let lines = [words(price.at(0))].into_iter().chain(price.tiers().map(tier)).collect();
        (format!("{}{}", format_pattern(models), provider.unwrap_or_default()), lines)
    });
    section(out, "Prices, in USD for a million tokens", prices)?;
    let operators = config.operators.iter().map(|operator| {
        let role = match operator.role {
            Role::Owner => "owner",
            Role::Editor => "editor",
            Role::Viewer => "viewer",
        };
        (operator.name.clone(), vec![role.to_owned()])
    });
    section(out, "Operators", operators)
}

/// Parameter rules and IP access on one line. `None` if nothing is restricted.
pub(crate) fn bounds(permissions: &Permissions) -> Option<String> {
    let rule = |path: &str, rule: &ParameterRule| match rule {
        ParameterRule::Range { min: Some(min), max: Some(max) } => {
            format!("{path} from {min} to {max}")
        }
        ParameterRule::Range { min: Some(min), max: None } => format!("{path} from {min}"),
        ParameterRule::Range { min: None, max: Some(max) } => format!("{path} up to {max}"),
        ParameterRule::Range { min: None, max: None } => format!("{path} of any size"),
        ParameterRule::Allow(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("{path} {}", values.join(" or "))
        }
        ParameterRule::Forbid => format!("no {path}"),
    };
    let mut words: Vec<String> =
        permissions.parameters.iter().map(|one| rule(&one.path, &one.rule)).collect();
    let (allowed, denied) = (permissions.ip_access.allow.len(), permissions.ip_access.deny.len());
    if allowed > 0 {
        words.push(format!("from {allowed} {} of addresses", plural(allowed, "block")));
    }
    if denied > 0 {
        words.push(format!("not from {denied} {} of addresses", plural(denied, "block")));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Writes a heading and the lines of each name. Writes nothing if there are no entries.
pub(crate) fn section(
    out: &mut String,
    heading: &str,
    entries: impl Iterator<Item = (String, Vec<String>)>,
) -> fmt::Result {
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{heading}")?;
    let width = widest(entries.iter().map(|(name, _)| name.as_str()));
    for (name, lines) in &entries {
        for (index, line) in lines.iter().enumerate() {
            writeln!(out, "  {:width$}  {line}", if index == 0 { name } else { "" })?;
        }
    }
    Ok(())
}

/// Quotas and subjects of a limit on the first line, its storage on the second, then an advice.
fn describe_limit(config: &Config, limit: &Limit) -> Vec<String> {
    let quotas: Vec<String> = limit.quotas.iter().map(describe_quota).collect();
    let by = match &limit.by {
        By::All => "all callers together".to_owned(),
        By::Consumer => "each consumer".to_owned(),
        By::Group => "each group".to_owned(),
        By::Address => "each address".to_owned(),
        By::Header(name) => format!("each value of the header {name}"),
        By::Parameter(name) => format!("each value of the query parameter {name}"),
        By::Cookie(name) => format!("each value of the cookie {name}"),
    };
    let mut what = format!("{} for {by}", quotas.join(" and "));
    if !limit.keys.is_empty() {
        write!(what, " ({} {})", limit.keys.len(), plural(limit.keys.len(), "pattern")).ok();
    }
    write!(what, ", {}", describe_routes(config, limit.routes.as_deref())).ok();
    if let Some(groups) = &limit.groups {
        write!(what, ", groups {}", groups.join(", ")).ok();
    }
    let mut advice = None;
    let mut how = match &limit.colocation_group {
        Some(home) => format!("kept in {home}"),
        None => "kept in a book for each value".to_owned(),
    };
    if limit.quotas.iter().any(|quota| quota.measure != Measure::Requests) {
        write!(how, ", {} tokens reserved if no maximum is set", limit.default_output).ok();
    }
    if limit.hard {
        how.push_str(", answers cut to the remaining quota");
    }
    if limit.lease {
        how.push_str(", leased");
    }
    let has_length = limit.quotas.iter().any(|quota| quota.measure != Measure::Requests);
    if has_length && !limit.hard && limit.by == By::Consumer {
        advice = Some("set hard = true to bound what concurrent requests can take beyond it");
    }
    how.push_str(match limit.on_error {
        OnError::Open => ", fails open without the ledger",
        OnError::Closed => ", fails closed without the ledger",
    });
    [Some(what), Some(how), advice.map(|advice| format!("advice: {advice}"))]
        .into_iter()
        .flatten()
        .collect()
}

fn describe_quota(quota: &Quota) -> String {
    let much = match quota.measure {
        Measure::Tokens => format!("{} tokens", quota.max),
        Measure::Requests => format!("{} requests", quota.max),
        Measure::Cost => format!("{} USD", decimal(quota.max, 9)),
    };
    let per = match quota.per {
        Period::Second => "a second".to_owned(),
        Period::Minute => "a minute".to_owned(),
        Period::Hour => "an hour".to_owned(),
        Period::Day(zone) => format!("a day ({})", zone.name()),
        Period::Month(zone) => format!("a month ({})", zone.name()),
        Period::Total => "in total".to_owned(),
    };
    format!("{much} {per}")
}

/// Formats a fixed-point number with `places` decimals, without trailing zeros.
fn decimal(amount: u64, places: usize) -> String {
    let text = format!("{amount:0>width$}", width = places + 1);
    let (whole, decimals) = text.split_at(text.len() - places);
    format!("{whole}.{decimals}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

#[cfg(test)]
mod tests {
    use config::author;

    use crate::plan::render;

    use super::decimal;

    #[test]
    fn plan_lists_permissions_and_limits() {
        let text = include_str!("../../../config/tests/fixtures/full-example.toml");
        let config = author::from_toml(text, &|name| Some(author::placeholder_secret(name)))
            .expect("the document is valid");
        let plan = render(&config);
        let (_, plan) = plan.split_once("Consumers\n").expect("there are consumers");
        let expected = "  \
  app  1 key, group design, routes chat
       no logit_bias, max_completion_tokens up to 4096, max_tokens up to 4096, no messages, \
model \"gpt-4o\" or \"gpt-4o-mini\", response_format.type \"text\" or \"json_object\", \
seed 1 or -2 or 0.5, stream false, temperature from 0 to 1.2, from 1 block of addresses

Groups
  design  routes chat, deepseek; no logit_bias, n up to 1, no tools, not from 1 block of addresses

Token issuers
  https://id.example.com/  keys from https://id.example.com/.well-known/jwks.json, kept for 1h; \
the consumer is azp; unknown subjects are refused
  tests                    inline keys; the consumer is tests.sub
  inline                   inline keys; the consumer is sub

Limits
  everybody  100 requests a second and 12.5 USD a month (Asia/Shanghai) for \
all callers together, every route
             kept in all:everybody, 1024 tokens reserved if no maximum is set, \
fails closed without the ledger
  each       100000 tokens a minute and 20 requests a day (UTC) for each consumer (3 patterns), \
routes chat, groups design
             kept in all:everybody, 256 tokens reserved if no maximum is set, \
answers cut to the remaining quota, leased, fails open without the ledger
  addresses  9007199254740992 tokens in total for each address (3 patterns), every route
             kept in a book for each value, 1024 tokens reserved if no maximum is set, \
fails open without the ledger

Prices, in USD for a million tokens
  gpt-4o at openai  input 2.5, cached input 1.25, output 10
  gpt-4o-*          input 0.15, cached input 0.15, output 0.6
  *                 input 0.000001, cached input 0.000001, output 0

Operators
  ana   owner
  ben   editor
  cleo  viewer
";
        assert_eq!(plan, expected);
    }

    #[test]
    fn budgets_of_consumers_without_hard_have_advice() {
        let advises = |members: &str| {
            let text = format!(
                "[[providers]]\nid = 'a'\nkind = 'openai-compatible'\nbase_url = 'https://a.example/v1'\n\
                 [[routes]]\nid = 'r'\nmodels = ['m']\ntargets = [{{ provider = 'a' }}]\n\
                 [[limits]]\nid = 'l'\n{members}\n"
            );
            let config = author::from_toml(&text, &|_| None).expect("the document is valid");
            render(&config).contains("advice: set hard = true")
        };
        let tokens = "tokens = { per = 'day', max = 9000 }";
        assert!(advises(&format!("by = 'consumer'\n{tokens}")));
        assert!(!advises(&format!("by = 'consumer'\nhard = true\n{tokens}")));
        assert!(!advises(&format!("by = 'all'\n{tokens}")));
        assert!(!advises("by = 'consumer'\nrequests = { per = 'day', max = 9 }"));
    }

    #[test]
    fn amount_has_no_trailing_zeros() {
        let written = [(0, 9), (1, 9), (12_500_000_000, 9), (2_500_000, 6), (7, 0)]
            .map(|(amount, places)| decimal(amount, places));
        assert_eq!(written, ["0", "0.000000001", "12.5", "2.5", "7"]);
    }
}
