//! Parsed values of valid rollouts.

use rollout::{Check, Plan};

use crate::{Metric, RolloutRules, Sticky};

use super::load;

/// The rules of a route with these fields, whose last target is `deepseek/deepseek-chat`.
fn rules(fields: &str) -> RolloutRules {
    let text = format!(
        r#"
        providers = [{{ id = "openai", keys = ["secret:A"] }}, {{ id = "deepseek", keys = ["secret:B"] }}]
        prices = [{{ model = "*", input = 1.0, output = 2.0 }}]
        [[routes]]
        id = "chat"
        models = ["*"]
        targets = [{{ provider = "openai", model = "gpt" }}, {{ provider = "deepseek", model = "deepseek-chat", weight = 0 }}]
        {fields}
        "#
    );
    let mut config = load(&text).expect("the document is right");
    config.routes.remove(0).rollout.expect("the route has a rollout")
}

#[test]
fn sticky_rollout_with_few_consumers_is_a_warning() {
    let text = |consumers: usize, step: u8| {
        let consumers: Vec<String> = (0..consumers)
            .map(|n| format!("{{ id = \"c{n}\", keys = [\"secret:C{n}\"] }}"))
            .collect();
        format!(
            r#"
            providers = [{{ id = "a", keys = ["secret:A"] }}, {{ id = "b", kind = "ollama" }}]
            consumers = [{}]
            [[routes]]
            id = "chat"
            models = ["*"]
            targets = [{{ provider = "a" }}, {{ provider = "b" }}]
            sticky = "consumer"
            rollout = {{ target = "b", steps = [{step}, 100] }}
            "#,
            consumers.join(",")
        )
        .replace("id = \"a\"", "id = \"a\", kind = \"openai\"")
    };
    let warnings = |consumers, step| {
        let config = load(&text(consumers, step)).expect("the document is right");
        let paths = config.warnings.iter().map(|warning| warning.path.clone());
        paths.filter(|path| path == "routes[0].rollout.steps").count()
    };
    assert_eq!((warnings(3, 1), warnings(39, 50), warnings(40, 50)), (1, 1, 0));
}

fn check(name: &str, quantile: Option<u16>, max_ratio_thousandths: u32) -> Check {
    Check { name: name.to_owned(), quantile, max_ratio_thousandths }
}

#[test]
fn rollout_with_only_a_target_has_defaults() {
    let expected = RolloutRules {
        plan: Plan {
            target: "deepseek/deepseek-chat".to_owned(),
            steps: vec![1, 5, 20, 50, 100],
            hold_ms: 600_000,
            hold_requests: 200,
            unit: "user".to_owned(),
            draws_requests: true,
            alpha_millionths: 50_000,
            checks: vec![check("errors", None, 2_000), check("latency", Some(900), 1_500)],
            promotes_undecided: false,
            max_ms: 168 * 3_600_000,
        },
        metrics: vec![Metric::Errors, Metric::Latency],
        unit: Sticky::User,
    };
    assert_eq!(rules("rollout = { target = \"deepseek/deepseek-chat\" }"), expected);
}

#[test]
fn rollout_with_every_field_is_parsed() {
    let rules = rules(
        r#"
        sticky = "header:x-session"
        [routes.rollout]
        target = "deepseek/deepseek-chat"
        steps = [2, 50]
        hold = { time = "1m", requests = 20 }
        alpha = 0.1
        checks = [{ metric = "cost", quantile = 0.75, max_ratio = 1.25 }, { metric = "truncated" },
                  { metric = "first_token" }]
        on_undecided = "promote"
        max_time = "240h"
        "#,
    );
    let Plan { steps, hold_ms, hold_requests, unit, draws_requests, .. } = &rules.plan;
    assert_eq!((steps.as_slice(), *hold_ms, *hold_requests), ([2, 50].as_slice(), 60_000, 20));
    assert_eq!((unit.as_str(), *draws_requests), ("header:x-session", false));
    assert_eq!(rules.unit, Sticky::Header("x-session".parse().expect("a header's name")));
    assert_eq!(rules.plan.alpha_millionths, 100_000);
    let expected = [
        check("cost", Some(750), 1_250),
        check("truncated", None, 2_000),
        check("first_token", Some(900), 1_500),
    ];
    assert_eq!(rules.plan.checks, expected);
    assert_eq!(rules.metrics, [Metric::Cost, Metric::Truncated, Metric::FirstToken]);
    assert!(rules.plan.promotes_undecided);
    assert_eq!(rules.plan.max_ms, 240 * 3_600_000);
}
