//! The rollout of a route: its steps, its checks, and the time that it takes.

use std::time::Duration;

use config::{RolloutRules, Route, Sticky};
use rollout::{Check, Estimate, Plan, estimate};

use super::format_duration;

/// Requests per second of the estimates.
const RATES: [f64; 3] = [10.0, 1.0, 0.1];
/// Names at the canary that a sticky step needs for a comparison.
const MIN_NAMES: u64 = 20;

/// The lines of the plan.
pub(super) fn describe(route: &Route, rules: &RolloutRules) -> Vec<String> {
    let plan = &rules.plan;
    let steps: Vec<String> = plan.steps.iter().map(u8::to_string).collect();
    let hold = format_duration(Duration::from_millis(plan.hold_ms));
    let checks: Vec<String> = plan.checks.iter().map(describe_check).collect();
    let mut lines = vec![
        format!("{} % of requests to {}", steps.join(", "), plan.target),
        format!("each step at least {hold} and {} requests of the canary", plan.hold_requests),
        format!("compares {}, by {}", checks.join(", "), plan.unit),
    ];
    let estimates = RATES.map(|rate| describe_estimate(plan, rate)).join(", ");
    lines
        .push(format!("takes about {estimates}, if both sides are equal and 1 % of requests fail"));
    if let (true, Some(first)) = (route.sticky != Sticky::None, plan.steps.first()) {
        let names = (MIN_NAMES * 100).div_ceil(u64::from(*first).max(1));
        let text = "the first step compares nothing with fewer than";
        lines.push(format!("{text} {names} different names a day"));
    }
    lines
}

fn describe_check(check: &Check) -> String {
    let ratio = check.max_ratio();
    match check.quantile {
        Some(quantile) => {
            format!("{} above p{} (×{ratio})", check.name, f64::from(quantile) / 10.0)
        }
        None => format!("{} (×{ratio})", check.name),
    }
}

fn describe_estimate(plan: &Plan, rate: f64) -> String {
    let estimate = estimate(plan, rate);
    let max = format_duration(Duration::from_millis(plan.max_ms));
    let unit = if rate <= 1.0 { "request/s" } else { "requests/s" };
    match estimate {
        Estimate { is_undecided: true, .. } => {
            format!("{max} (undecided) at {rate} {unit}")
        }
        Estimate { is_undecided: false, .. } => {
            format!("{} at {rate} {unit}", format_minutes(estimate.total()))
        }
    }
}

/// A duration in whole minutes or, from ten hours on, hours.
fn format_minutes(duration: Duration) -> String {
    let minutes = duration.as_secs().div_ceil(60);
    if minutes < 600 { format!("{minutes} min") } else { format!("{} h", minutes.div_ceil(60)) }
}

#[cfg(test)]
mod tests {
    use config::author;

    use super::super::render;

    #[test]
    fn plan_estimates_the_time_of_a_rollout() {
        let text = r#"
            [[providers]]
            id = "openai"
            keys = ["secret:KEY"]
            [[providers]]
            id = "deepseek"
            keys = ["secret:KEY"]
            [[routes]]
            id = "chat"
            models = ["*"]
            sticky = "user"
            targets = [{ provider = "openai" }, { provider = "deepseek", model = "v3", weight = 0 }]
            rollout = { target = "deepseek/v3", checks = [{ metric = "errors" }, { metric = "latency" }] }
        "#;
        let config = author::from_toml(text, &|name| Some(author::placeholder_secret(name)));
        let plan = render(&config.expect("the document is right"));
        for line in [
            "  rollout        1, 5, 20, 50, 100 % of requests to deepseek/v3\n",
            "each step at least 10m and 200 requests of the canary\n",
            "compares errors (×2), latency above p90 (×1.5), by user\n",
            "takes about 64 min at 10 requests/s, 456 min at 1 request/s, 76 h at 0.1 request/s, if",
            "fewer than 2000 different names a day\n",
        ] {
            assert!(plan.contains(line), "{line}\n{plan}");
        }
    }
}
