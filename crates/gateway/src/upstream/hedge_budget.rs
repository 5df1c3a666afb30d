//! Hedge budget of a route: the delay before a hedge, and the share of requests that may be hedged.

use std::time::Duration;

use config::Hedge;

use super::token_bucket::TokenBucket;

/// Every target has at least this time.
pub(crate) const MIN_HEDGE_DELAY: Duration = Duration::from_millis(50);
/// The most hedges that accumulate.
const MAX_SAVED_HEDGES: u64 = 10;

/// Delay before a hedge, either fixed or from the measured latency. `None` if too little was
/// measured.
pub(crate) fn hedge_delay(
    hedge: Hedge,
    measured: impl FnOnce() -> Option<Duration>,
) -> Option<Duration> {
    hedge.after.or_else(measured).map(|after| after.max(MIN_HEDGE_DELAY))
}

/// Hedge budget of one route.
#[derive(Clone, Debug)]
pub(crate) struct HedgeBudget {
    bucket: TokenBucket,
}

impl Default for HedgeBudget {
    fn default() -> Self {
        Self { bucket: TokenBucket::empty(MAX_SAVED_HEDGES) }
    }
}

impl HedgeBudget {
    /// Adds a request's share of a hedge, in thousandths.
    pub(crate) fn record_request(&mut self, share: u32) {
        self.bucket.credit(u64::from(share));
    }

    /// Spends a hedge; `false` if none is left.
    pub(crate) fn spend_hedge(&mut self) -> bool {
        self.bucket.spend()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::Hedge;
    use proptest::prelude::{any, proptest};

    use crate::upstream::latency_histogram::LatencyHistogram;

    use super::{HedgeBudget, MAX_SAVED_HEDGES, MIN_HEDGE_DELAY, hedge_delay};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[track_caller]
    fn assert_delay(after: Option<u64>, measured: &[u64], expected: Option<u64>) {
        let hedge = Hedge { share: 50, after: after.map(Duration::from_millis) };
        let mut histogram = LatencyHistogram::default();
        measured.iter().for_each(|millis| histogram.record(Duration::from_millis(*millis), NOW));
        assert_eq!(hedge_delay(hedge, || histogram.p95(NOW)), expected.map(Duration::from_millis));
    }

    #[test]
    fn hedge_delay_is_configured_or_measured() {
        assert_delay(Some(300), &[], Some(300));
        assert_delay(Some(300), &[900; 30], Some(300));
        assert_delay(Some(1), &[], Some(50));
        assert_delay(None, &[900; 19], None);
        assert_delay(None, &[900; 20], Some(959));
        assert_delay(None, &[3; 20], Some(MIN_HEDGE_DELAY.as_millis() as u64));
    }

    #[test]
    fn hedge_budget_accumulates_at_most_ten() {
        let mut budget = HedgeBudget::default();
        assert!(!budget.spend_hedge());
        (0..1_000).for_each(|_| budget.record_request(50));
        assert_eq!((0..100).filter(|_| budget.spend_hedge()).count() as u64, MAX_SAVED_HEDGES);
    }

    proptest! {
        #[test]
        fn hedges_never_exceed_the_share(steps in proptest::collection::vec(any::<bool>(), 1..400), share in 0u32..=1_000) {
            let mut budget = HedgeBudget::default();
            let (mut requests, mut hedges) = (0, 0);
            for is_request in steps {
                if is_request {
                    budget.record_request(share);
                    requests += 1;
                } else if budget.spend_hedge() {
                    hedges += 1;
                }
                assert!(hedges * 1_000 <= requests * u64::from(share));
            }
        }

        #[test]
        fn hedges_spent_at_once_use_the_whole_share(share in 1u32..=1_000, requests in 1u64..2_000) {
            let mut budget = HedgeBudget::default();
            let hedges = (0..requests).filter(|_| {
                budget.record_request(share);
                budget.spend_hedge()
            });
            assert_eq!(hedges.count() as u64, requests * u64::from(share) / 1_000);
        }
    }
}
