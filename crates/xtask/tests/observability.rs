//! Shipped configuration of Prometheus and Grafana.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observability")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Value of the first line with this key.
fn value(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
}

#[test]
fn finding_46_alerts_cover_what_operators_must_notice() {
    let alerts = read("alerts.yml");
    for metric in [
        r#"serin_guard_total{result="error"}"#,
        "serin_ledger_unavailable_total",
        r#"serin_config_version{state="served"}"#,
        "key_refused",
        "serin_time_to_first_token_seconds_bucket",
        "serin_request_duration_seconds_bucket",
        "serin_limited_total",
        "serin_limit_near_total",
    ] {
        assert!(alerts.contains(metric), "{metric}");
    }
}

#[test]
fn finding_47_prometheus_has_a_token_that_only_reads() {
    for name in ["prometheus.yml", "docker-compose.yml"] {
        assert!(!read(name).contains("ADMIN_TOKEN"), "{name}");
    }
    assert!(read("docker-compose.yml").contains("environment: PROMETHEUS_TOKEN"));
}

#[test]
fn finding_48_and_49_named_files_exist_as_they_are() {
    let prometheus = read("prometheus.yml");
    // `promtool check config` looks for them.
    assert!(!read(&value(&prometheus, "credentials_file:")).is_empty());
    let targets: Value = serde_json::from_str(&read("targets.json")).expect("JSON");
    assert_eq!(targets[0]["targets"][0], "127.0.0.1:8787");
    assert!(prometheus.contains("targets.json") && !prometheus.contains("8787"));
    assert!(read("docker-compose.yml").contains("${SERIN_PORT:-8787}"));
}

#[test]
fn finding_49_panels_of_costs_say_what_they_need() {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let title = |panel: &Value| panel["title"].as_str().unwrap_or_default().to_owned();
    let costs: Vec<&Value> = panels.filter(|panel| title(panel).starts_with("Cost")).collect();
    assert!(costs.len() >= 3);
    for panel in costs {
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.contains("[[prices]]"), "{}", title(panel));
    }
}
