//! Evidence of one check: for a rollback, and for non-inferiority.

use serde::{Deserialize, Serialize};

use super::counts::CheckCounts;
use super::event_share::{LogSum, RATIOS, gain_per_event, log_add, log_likelihood};
use super::plan::{Check, Plan};

/// Events of both sides below which a check is silent: it can neither pass nor fail.
const MIN_EVENTS: u64 = 10;
/// The largest evidence. With thousandths it is exact in JSON, whichever reader.
const MAX_EVIDENCE: f64 = 1e9;

/// Evidence of one check over closed windows.
///
/// The canary may turn bad at any time. So the test of each ratio starts anew with every window that
/// has events, and a start at window n has the prior 1/(n(n+1)): a long good history costs a logarithm,
/// instead of having to be outweighed. The mixture is a nonnegative supermartingale with mean 1 if
/// the canary is no worse, so it reaches k/α with probability α/k at most (Ville).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Windows with events.
    starts: u64,
    /// Logarithms of the mixture over starts, for each ratio.
    ratios: [LogSum; RATIOS.len()],
    /// Logarithm of the evidence that the ratio is below the check's maximum.
    margin: LogSum,
    /// Counts of the current step.
    step: CheckCounts,
    /// Counts of the whole rollout.
    all: CheckCounts,
}

impl Evidence {
    /// Adds the counts of a window.
    pub(crate) fn fold(&mut self, check: &Check, counts: CheckCounts) {
        self.step += counts;
        self.all += counts;
        let CheckCounts { units, events } = counts;
        if units.control == 0 || units.canary == 0 || events.total() == 0 {
            return;
        }
        self.starts += 1;
        let start = self.starts as f64;
        let prior = -(start.ln() + start.ln_1p());
        for (sum, ratio) in self.ratios.iter_mut().zip(RATIOS) {
            let begun = if self.starts == 1 { prior } else { log_add(sum.nats(), prior) };
            *sum = LogSum::from_nats(begun).plus(log_likelihood(units, events, ratio));
        }
        let against = log_likelihood(units, events, check.max_ratio());
        self.margin = LogSum::from_nats(self.margin.nats() - against.nats());
    }

    /// The evidence with a window that is still open.
    pub(crate) fn with_window(&self, check: &Check, counts: CheckCounts) -> Self {
        let mut folded = self.clone();
        folded.fold(check, counts);
        folded
    }

    pub(crate) fn begin_step(&mut self) {
        self.step = CheckCounts::default();
    }

    /// Evidence that events are more frequent at the canary: 1 at the beginning.
    pub fn against(&self) -> f64 {
        if self.starts == 0 {
            return 1.0;
        }
        let mixture: f64 = self.ratios.iter().map(|sum| sum.nats().exp()).sum();
        // The prior of all later starts.
        let unborn = 1.0 / (self.starts as f64 + 1.0);
        rounded(mixture / RATIOS.len() as f64 + unborn)
    }

    /// Evidence that the ratio of event rates is below the check's maximum: 1 at the beginning.
    pub fn non_inferiority(&self) -> f64 {
        rounded(self.margin.nats().exp())
    }

    /// Counts of the current step.
    pub fn step(&self) -> CheckCounts {
        self.step
    }

    /// Counts of the whole rollout.
    pub fn all(&self) -> CheckCounts {
        self.all
    }

    /// The check for operators.
    pub(crate) fn status(&self, plan: &Plan, check: &Check, share: u8) -> CheckStatus {
        let events = self.all.events;
        CheckStatus {
            metric: check.name.clone(),
            counts: self.all,
            share_expected: self.all.units.canary_share(),
            share_seen: events.canary_share(),
            evidence: self.against(),
            rolls_back_at: plan.rollback_evidence(),
            non_inferiority: self.non_inferiority(),
            promotes_at: plan.promotion_evidence(),
            silent: events.total() < MIN_EVENTS,
            needs: self.needs(plan, check, f64::from(share) / 100.0),
        }
    }

    /// Events and units that non-inferiority still needs if both sides are equal and the canary's share
    /// stays. `None` if it is shown.
    fn needs(&self, plan: &Plan, check: &Check, share: f64) -> Option<Needs> {
        let missing = plan.promotion_evidence().ln() - self.margin.nats();
        if missing <= 0.0 {
            return None;
        }
        let gain = gain_per_event(share, check.max_ratio());
        let events = (gain > 0.0).then(|| (missing / gain).ceil() as u64);
        let (seen, units) = (self.all.events.total(), self.all.units.total());
        let units = events.filter(|_| seen > 0).map(|events| {
            let units = u128::from(events) * u128::from(units) / u128::from(seen);
            u64::try_from(units).unwrap_or(u64::MAX)
        });
        Some(Needs { events, units })
    }
}

/// Evidence in thousandths.
pub(crate) fn rounded(evidence: f64) -> f64 {
    (evidence.min(MAX_EVIDENCE) * 1_000.0).round() / 1_000.0
}

/// A check as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckStatus {
    /// Name of the metric.
    pub metric: String,
    /// Counts of the whole rollout.
    pub counts: CheckCounts,
    /// The canary's share of units. `None` without units.
    pub share_expected: Option<f64>,
    /// The canary's share of events. `None` without events.
    pub share_seen: Option<f64>,
    /// Evidence that events are more frequent at the canary.
    pub evidence: f64,
    /// Evidence at which the canary is rolled back.
    pub rolls_back_at: f64,
    /// Evidence that the ratio is below the maximum.
    pub non_inferiority: f64,
    /// Evidence of non-inferiority that promotion needs.
    pub promotes_at: f64,
    /// Whether there are too few events to say anything.
    pub silent: bool,
    /// Events that promotion still needs. `None` if non-inferiority is shown.
    pub needs: Option<Needs>,
}

/// The rest that a check needs before promotion, if both sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Events of both sides. `None` at a share without comparison.
    pub events: Option<u64>,
    /// Units of both sides, at the rate of events so far. `None` without events.
    pub units: Option<u64>,
}
