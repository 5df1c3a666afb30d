//! Event-share test: log-likelihood ratios of the canary's share of events.
//!
//! Given the number of events, each falls on the canary with probability w if both sides are equal,
//! and with probability rw/(rw+1−w) if events are r times as frequent there. Sums are kept in
//! fixed-point numbers, so they are the same in any order of addition.

use super::counts::Sides;

/// Ratios of event rates that the test mixes over.
pub(crate) const RATIOS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0];

/// Ratios of the test of observed requests against the weights: in both directions.
pub(crate) const UNEVEN_RATIOS: [f64; 6] = [0.25, 0.5, 0.8, 1.25, 2.0, 4.0];

/// Units of a fixed-point logarithm in one nat.
const UNITS_PER_NAT: f64 = 1e9;

/// A sum of natural logarithms in billionths.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub(crate) struct LogSum(i64);

impl LogSum {
    /// Rounds a logarithm. One that is not finite becomes the nearest bound.
    pub(crate) fn from_nats(nats: f64) -> Self {
        // Saturates, and a number that is none becomes zero.
        Self((nats * UNITS_PER_NAT).round() as i64)
    }

    pub(crate) fn nats(self) -> f64 {
        self.0 as f64 / UNITS_PER_NAT
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The canary's share of events if they are `ratio` times as frequent there.
pub(crate) fn share_at_ratio(share: f64, ratio: f64) -> f64 {
    ratio * share / (ratio * share + 1.0 - share)
}

/// Log-likelihood ratio of events: `ratio` times as frequent at the canary, against equally frequent.
/// Zero if one of the sides has no units, since such a batch says nothing.
pub(crate) fn log_likelihood(units: Sides, events: Sides, ratio: f64) -> LogSum {
    if units.control == 0 || units.canary == 0 {
        return LogSum::default();
    }
    let share = units.canary as f64 / units.total() as f64;
    log_likelihood_at(share, events, ratio)
}

/// The same for a known share, which is neither 0 nor 1.
pub(crate) fn log_likelihood_at(share: f64, events: Sides, ratio: f64) -> LogSum {
    let shifted = share_at_ratio(share, ratio);
    let canary = (shifted / share).ln();
    let control = ((1.0 - shifted) / (1.0 - share)).ln();
    LogSum::from_nats(events.canary as f64 * canary + events.control as f64 * control)
}

/// Expected gain of non-inferiority from one event, in nats, if both sides are equal.
pub(crate) fn gain_per_event(share: f64, max_ratio: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let shifted = share_at_ratio(share, max_ratio);
    share * (share / shifted).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - shifted)).ln()
}

/// ln(exp(a) + exp(b)).
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}
