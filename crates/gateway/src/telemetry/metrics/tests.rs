//! Compares the dashboard, the alerts and the documentation with the catalogue of metrics.

use std::collections::BTreeSet;

use serde_json::Value;

use super::catalogue::{ALL, Metric, MetricKind};

const DASHBOARD: &str = include_str!("../../../../../observability/grafana/dashboard.json");
const ALERTS: &str = include_str!("../../../../../observability/alerts.yml");
const MANUAL: &str = include_str!("../../../../../docs/observability.md");

/// Collects the queries of all panels.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "expr" => found.push(text.clone()),
                    _ => queries(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The metric whose name begins a text, and the rest of the text.
fn metric(text: &str) -> (Option<Metric>, &str) {
    let end = text.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let found = ALL.into_iter().find(|metric| match metric.kind {
        MetricKind::Counter | MetricKind::Gauge => metric.name == name,
        MetricKind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name.strip_suffix(suffix) == Some(metric.name)),
    });
    (found, rest)
}

/// Problems of a query: names and labels that do not exist.
fn query_problems(query: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known = BTreeSet::from(["le", "job"]);
    for (at, _) in query.match_indices("serin_") {
        let (Some(metric), rest) = metric(&query[at..]) else {
            wrong.push(query[at..].to_owned());
            continue;
        };
        known.extend(metric.labels);
        let Some((matchers, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
        else {
            continue;
        };
        for matcher in matchers.split(',') {
            let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
            if !metric.labels.contains(&label) {
                wrong.push(format!("{}: {label}", metric.name));
            }
        }
    }
    for word in ["by (", "on (", "ignoring ("] {
        for (at, _) in query.match_indices(word) {
            let list = query[at + word.len()..].split(')').next().unwrap_or_default();
            let labels = list.split(',').map(str::trim);
            wrong.extend(labels.filter(|it| !known.contains(it)).map(str::to_owned));
        }
    }
    wrong
}

#[test]
fn query_check_finds_mistakes() {
    for (query, mistakes) in [
        ("sum by (le, route) (rate(serin_request_duration_seconds_bucket{route=\"x\"}[5m]))", 0),
        ("serin_request_duration_seconds", 1),
        ("serin_nothing_total", 1),
        ("rate(serin_cache_total{route=\"x\",model=~\"y\"}[5m])", 1),
        ("sum by (modle) (serin_requests_total)", 1),
    ] {
        assert_eq!(query_problems(query).len(), mistakes, "{query}: {:?}", query_problems(query));
    }
}

#[test]
fn dashboard_uses_existing_metrics() {
    let mut found = Vec::new();
    queries(&serde_json::from_str(DASHBOARD).expect("the dashboard is JSON"), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for query in &found {
        assert_eq!(query_problems(query), Vec::<String>::new(), "{query}");
    }
    for metric in ALL {
        let is_shown = found.iter().any(|query| query.contains(metric.name));
        assert!(is_shown, "{} has no panel", metric.name);
        assert!(MANUAL.contains(&format!("`{}`", metric.name)), "{}", metric.name);
        for label in metric.labels {
            assert!(MANUAL.contains(&format!("`{label}`")), "{label}");
        }
    }
}

#[test]
fn alerts_use_existing_metrics() {
    // Comments hold no metric, and no annotation does.
    assert_eq!(query_problems(ALERTS), Vec::<String>::new());
    assert!(ALERTS.matches("serin_").count() > 5);
}
