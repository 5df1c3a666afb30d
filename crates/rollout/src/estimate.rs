//! Estimate of the time that a rollout takes.

use std::time::Duration;

use super::event_share::gain_per_event;
use super::plan::Plan;

/// Rate of errors and truncated answers that the estimate assumes.
const ASSUMED_EVENT_RATE: f64 = 0.01;

/// Duration of a rollout between equal sides at a steady rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Duration of each step before the promotion.
    pub steps: Vec<Duration>,
    /// Whether the rollout is undecided before it can be promoted.
    pub is_undecided: bool,
}

impl Estimate {
    /// Duration of the whole rollout.
    pub fn total(&self) -> Duration {
        self.steps.iter().sum()
    }
}

/// Estimates a rollout at this many requests per second. Errors and truncated answers are assumed at 1 %.
pub fn estimate(plan: &Plan, requests_per_second: f64) -> Estimate {
    let rate = requests_per_second.max(f64::MIN_POSITIVE);
    let event_rate = |quantile: Option<u16>| match quantile {
        Some(permille) => 1.0 - f64::from(permille) / 1_000.0,
        None => ASSUMED_EVENT_RATE,
    };
    let shares: Vec<f64> = (0..plan.last_step().max(1)).map(|at| percent(plan.share(at))).collect();
    let hold = |share: &f64| {
        let requests = plan.hold_requests as f64 / (rate * share.max(f64::MIN_POSITIVE));
        requests.max(plan.hold_ms as f64 / 1_000.0)
    };
    let mut seconds: Vec<f64> = shares.iter().map(hold).collect();
    let wait = |check: &super::plan::Check| {
        let per_second = |share: f64| {
            rate * event_rate(check.quantile) * gain_per_event(share, check.max_ratio())
        };
        let gained: f64 =
            shares.iter().zip(&seconds).map(|(share, time)| per_second(*share) * time).sum();
        let missing = (plan.promotion_evidence().ln() - gained).max(0.0);
        missing / per_second(shares.last().copied().unwrap_or(0.0)).max(f64::MIN_POSITIVE)
    };
    let longest = plan.checks.iter().map(wait).fold(0.0, f64::max);
    if let Some(last) = seconds.last_mut() {
        *last += longest;
    }
    let total: f64 = seconds.iter().sum();
    let to_duration = |seconds: &f64| Duration::from_secs_f64(seconds.min(1e9));
    Estimate {
        steps: seconds.iter().map(to_duration).collect(),
        is_undecided: total * 1_000.0 > plan.max_ms as f64,
    }
}

fn percent(share: u8) -> f64 {
    f64::from(share) / 100.0
}
