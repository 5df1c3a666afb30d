//! Retry budget of a provider: a share of its requests, so that retries do not multiply an outage.
//!
//! Fallbacks are not counted: they go to another provider.

use civil_time::Timestamp;

use super::caller_tag::CallerTag;
use super::token_bucket::TokenBucket;

/// Retries per second that are always allowed.
const RETRIES_PER_SECOND: u64 = 3;
/// The most retries that accumulate.
const MAX_SAVED_RETRIES: u64 = 30;
/// Retries that one caller alone leaves for others.
const RETRIES_FOR_OTHERS: u64 = 10;

/// Retry budget of one provider.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    bucket: TokenBucket,
    last_credit: Timestamp,
    /// Caller of the last retry.
    last_spender: CallerTag,
}

impl Default for RetryBudget {
    fn default() -> Self {
        let bucket = TokenBucket::full(MAX_SAVED_RETRIES);
        Self { bucket, last_credit: Timestamp::default(), last_spender: CallerTag::ANYONE }
    }
}

impl RetryBudget {
    /// Adds a request's share of a retry, in thousandths.
    pub(crate) fn record_request(&mut self, share: u32, now: Timestamp) {
        self.credit_time(now);
        self.bucket.credit(u64::from(share));
    }

    /// Spends a retry; `false` if none is left. Who has spent the last one, too, leaves some for others.
    pub(crate) fn spend_retry(&mut self, caller: CallerTag, now: Timestamp) -> bool {
        self.credit_time(now);
        let is_repeated = caller.is_known() && caller == self.last_spender;
        let kept = if is_repeated { RETRIES_FOR_OTHERS } else { 0 };
        let is_spent = self.bucket.spend_above(kept);
        if is_spent {
            self.last_spender = caller;
        }
        is_spent
    }

    /// Adds the retries of the time since the last call: a retry per second is a thousandth of one
    /// per millisecond.
    fn credit_time(&mut self, now: Timestamp) {
        let millis = u64::try_from(now.since(self.last_credit).as_millis()).unwrap_or(u64::MAX);
        self.bucket.credit(millis.saturating_mul(RETRIES_PER_SECOND));
        self.last_credit = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use proptest::prelude::{any, proptest};

    use super::super::caller_tag::CallerTag;
    use super::{MAX_SAVED_RETRIES, RETRIES_FOR_OTHERS, RETRIES_PER_SECOND, RetryBudget};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// Asserts how many of `asked` retries are allowed after this many requests at one moment.
    #[track_caller]
    fn assert_allowed(requests: usize, share: u32, asked: usize, allowed: usize) {
        let mut budget = RetryBudget::default();
        while budget.spend_retry(CallerTag::ANYONE, NOW) {}
        for _ in 0..requests {
            budget.record_request(share, NOW);
        }
        assert_eq!(
            (0..asked).filter(|_| budget.spend_retry(CallerTag::ANYONE, NOW)).count(),
            allowed
        );
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        assert_allowed(50, 200, 50, 10);
        assert_allowed(50, 0, 50, 0);
        assert_allowed(7, 1_000, 50, 7);
        assert_allowed(1_000, 200, 1_000, 30);
        assert_allowed(4, 200, 50, 0);
    }

    #[test]
    fn retries_per_second_are_always_allowed() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.spend_retry(CallerTag::ANYONE, NOW)).count(), 30);
        let later = NOW + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| budget.spend_retry(CallerTag::ANYONE, later)).count(), 3);
        assert!(
            !budget.spend_retry(CallerTag::ANYONE, NOW),
            "a clock that goes backwards earns nothing"
        );
    }

    #[test]
    fn one_caller_leaves_retries_for_others() {
        let mut budget = RetryBudget::default();
        let [one, two] = ["one", "two"].map(|name| CallerTag::new(Some(name)));
        let spent = (0..100).filter(|_| budget.spend_retry(one, NOW)).count();
        assert_eq!(spent as u64, MAX_SAVED_RETRIES - RETRIES_FOR_OTHERS);
        assert!(budget.spend_retry(two, NOW));
        assert!(!budget.spend_retry(two, NOW), "nor does the other one take the rest");
        assert!(budget.spend_retry(one, NOW) && budget.spend_retry(CallerTag::ANYONE, NOW));
    }

    proptest! {
        #[test]
        fn retries_never_exceed_share_and_minimum(steps in proptest::collection::vec((0u64..500, any::<bool>()), 1..400), share in 0u32..=1_000) {
            let mut budget = RetryBudget::default();
            let (mut now, mut requests, mut tries) = (NOW, 0, 0);
            for (pause, is_request) in steps {
                now = now + Duration::from_millis(pause);
                if is_request {
                    budget.record_request(share, now);
                    requests += 1;
                } else if budget.spend_retry(CallerTag::ANYONE, now) {
                    tries += 1;
                }
            }
            let earned = now.since(NOW).as_millis() as u64 * RETRIES_PER_SECOND + requests * u64::from(share);
            assert!(tries * 1_000 <= MAX_SAVED_RETRIES * 1_000 + earned);
        }

        #[test]
        fn infrequent_retries_are_never_refused(pauses in proptest::collection::vec(334u64..5_000, 1..100)) {
            let mut budget = RetryBudget::default();
            let mut now = NOW;
            for pause in pauses {
                now = now + Duration::from_millis(pause);
                assert!(budget.spend_retry(CallerTag::ANYONE, now));
            }
        }
    }
}
