//! Decision after a failure: retry, next target, or give up.

use std::time::Duration;

use civil_time::Timestamp;
use config::{FallbackOn, Retries};

use super::backoff;
use super::classify::Failure;

/// The shortest time before the deadline in which a retry can succeed.
const MIN_RETRY_TIME: Duration = Duration::from_millis(100);

/// Additions of the gateway that one request takes back at a target: each of them once.
const MAX_TAKEN_BACK: u32 = 2;

/// Course of a request through a plan's targets. It allows at most `targets × (max(keys, 1) +
/// retries)` calls, and none that begins after the deadline. Two cases add calls: a broken connection
/// to the last target, and a target that refuses what the gateway added.
#[derive(Clone, Debug)]
pub(crate) struct RetryPolicy {
    fallback_on: FallbackOn,
    retries: Retries,
    deadline: Timestamp,
    targets_left: usize,
    retries_used: u32,
    keys_tried: usize,
    /// Whether a broken connection was replaced by another, once for each target.
    has_reconnected: bool,
    /// Additions of the gateway without which the request was sent again to this target.
    taken_back: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Retry at the same target after a wait.
    Retry { after: Duration },
    /// The next target, at once.
    NextTarget,
    /// No attempt is left.
    GiveUp,
}

/// State of a provider's keys after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOutcome {
    /// The failure was not the key's.
    NotAtFault,
    /// The key cools down, and another is available.
    AnotherAvailable {
        /// Number of the provider's keys.
        of: usize,
    },
    /// The key cools down, and so does every other.
    AllCoolingDown,
    /// The failure was not the key's, but the target cools down.
    TargetCoolingDown,
}

impl RetryPolicy {
    /// A course through `targets` targets (at least one), bounded by a deadline.
    pub(crate) fn new(
        targets: usize,
        fallback_on: FallbackOn,
        retries: Retries,
        deadline: Timestamp,
    ) -> Self {
        Self {
            fallback_on,
            retries,
            deadline,
            targets_left: targets.saturating_sub(1),
            retries_used: 0,
            keys_tried: 0,
            has_reconnected: false,
            taken_back: 0,
        }
    }

    /// The decision after a failed call. `may_retry` spends a retry of the provider's budget; it is
    /// called last.
    pub(crate) fn decide(
        &mut self,
        failure: Failure,
        key_outcome: KeyOutcome,
        now: Timestamp,
        entropy: u64,
        may_retry: impl FnOnce() -> bool,
    ) -> Decision {
        let has_time = now + MIN_RETRY_TIME <= self.deadline;
        if matches!(failure, Failure::AdditionRefused(_))
            && self.taken_back < MAX_TAKEN_BACK
            && has_time
        {
            self.taken_back += 1;
            return Decision::Retry { after: Duration::ZERO };
        }
        match key_outcome {
            // Each key is tried once: with many keys and short cool-downs the first would be
            // available again.
            KeyOutcome::AnotherAvailable { of }
                if self.keys_tried + 1 < of && now < self.deadline =>
            {
                self.keys_tried += 1;
                return Decision::Retry { after: Duration::ZERO };
            }
            // The target cannot be tried again, regardless of the retries left.
            KeyOutcome::AnotherAvailable { .. }
            | KeyOutcome::AllCoolingDown
            | KeyOutcome::TargetCoolingDown
                if self.falls_back(failure) =>
            {
                return self.skip_target(now);
            }
            KeyOutcome::AnotherAvailable { .. }
            | KeyOutcome::AllCoolingDown
            | KeyOutcome::TargetCoolingDown => return Decision::GiveUp,
            KeyOutcome::NotAtFault => {}
        }
        if let Some(after) = self.next_wait(failure, now, entropy).filter(|_| may_retry()) {
            // A broken connection is replaced at once, retries wait.
            match self.retries_used < self.retries.attempts {
                true => self.retries_used += 1,
                false => self.has_reconnected = true,
            }
            return Decision::Retry { after };
        }
        if self.falls_back(failure) { self.skip_target(now) } else { Decision::GiveUp }
    }

    /// Wait before another try at the same target; `None` if there is none.
    fn next_wait(&self, failure: Failure, now: Timestamp, entropy: u64) -> Option<Duration> {
        let has_time = |after: &Duration| now + *after + MIN_RETRY_TIME <= self.deadline;
        if self.retries_used < self.retries.attempts {
            return self.retry_delay(failure, entropy).filter(has_time);
        }
        // An upstream may close an idle connection just as a request arrives. Where nothing else
        // could answer, the request gets another connection, even without configured retries.
        let is_last = self.targets_left == 0 || !self.falls_back(failure);
        let may_reconnect = failure == Failure::NoResponse
            && is_last
            && self.retries_used == 0
            && !self.has_reconnected;
        may_reconnect.then_some(Duration::ZERO).filter(has_time)
    }

    /// The decision for a target that cannot be called because all its keys cool down.
    pub(crate) fn skip_target(&mut self, now: Timestamp) -> Decision {
        if self.targets_left == 0 || now >= self.deadline {
            return Decision::GiveUp;
        }
        self.targets_left -= 1;
        self.retries_used = 0;
        self.keys_tried = 0;
        self.has_reconnected = false;
        self.taken_back = 0;
        Decision::NextTarget
    }

    /// Wait before a retry at the same target; `None` if a retry makes no sense.
    fn retry_delay(&self, failure: Failure, entropy: u64) -> Option<Duration> {
        let backoff = backoff::delay(self.retries.backoff, self.retries_used, entropy);
        match failure {
            Failure::TooManyRequests { retry_after }
            | Failure::ServerError { retry_after }
            | Failure::Unrelated { retry_after } => match retry_after {
                Some(wait) => (wait <= self.retries.honour_retry_after).then_some(wait),
                None => Some(backoff),
            },
            Failure::NoResponse | Failure::Connect | Failure::NotAnAnswer => Some(backoff),
            // A target that timed out once is not retried while another one is left.
            Failure::Timeout => {
                (self.targets_left == 0 || !self.fallback_on.timeout).then_some(backoff)
            }
            // The same request would fail again.
            Failure::Compressed
            | Failure::Declined
            | Failure::KeyRefused
            | Failure::Unpaid
            | Failure::ModelRefused
            | Failure::QuotaExhausted { .. }
            | Failure::Unavailable
            | Failure::AdditionRefused(_) => None,
        }
    }

    fn falls_back(&self, failure: Failure) -> bool {
        match failure {
            Failure::NoResponse | Failure::Connect => self.fallback_on.connect,
            Failure::Timeout => self.fallback_on.timeout,
            Failure::TooManyRequests { .. } => self.fallback_on.too_many_requests,
            Failure::ServerError { .. }
            | Failure::Unrelated { .. }
            | Failure::NotAnAnswer
            | Failure::Declined
            | Failure::Compressed => self.fallback_on.server_error,
            Failure::KeyRefused
            | Failure::Unpaid
            | Failure::ModelRefused
            | Failure::QuotaExhausted { .. }
            | Failure::Unavailable
            | Failure::AdditionRefused(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::{FallbackOn, Retries};
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use proptest::strategy::Just;

    use crate::upstream::additions::Addition;
    use crate::upstream::classify::Failure;

    use super::{Decision, KeyOutcome, RetryPolicy};

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const ALL: FallbackOn = FallbackOn {
        connect: true,
        timeout: true,
        too_many_requests: true,
        server_error: true,
        limited: false,
    };
    const ERROR: Failure = Failure::ServerError { retry_after: None };

    fn retries(attempts: u32) -> Retries {
        Retries {
            attempts,
            backoff: Duration::from_millis(100),
            honour_retry_after: Duration::from_secs(2),
            budget: 200,
            max_replay_bytes: None,
        }
    }

    fn course(targets: usize, fallback_on: FallbackOn, attempts: u32) -> RetryPolicy {
        RetryPolicy::new(targets, fallback_on, retries(attempts), NOW + Duration::from_secs(60))
    }

    #[track_caller]
    fn assert_decisions(mut policy: RetryPolicy, failures: &[Failure], expected: &[Decision]) {
        // The highest entropy gives the whole wait, minus one nanosecond.
        let steps: Vec<Decision> = failures
            .iter()
            .map(|failure| {
                match policy.decide(*failure, KeyOutcome::NotAtFault, NOW, u64::MAX, || true) {
                    Decision::Retry { after } => Decision::Retry {
                        after: Duration::from_millis(after.as_micros().div_ceil(1000) as u64),
                    },
                    other => other,
                }
            })
            .collect();
        assert_eq!(steps, expected, "{failures:?}");
    }

    fn retry_after(millis: u64) -> Decision {
        Decision::Retry { after: Duration::from_millis(millis) }
    }

    #[test]
    fn retries_precede_the_next_target() {
        assert_decisions(
            course(2, ALL, 2),
            &[ERROR; 6],
            &[
                retry_after(100),
                retry_after(200),
                Decision::NextTarget,
                retry_after(100),
                retry_after(200),
                Decision::GiveUp,
            ],
        );
        assert_decisions(
            course(3, ALL, 0),
            &[ERROR, Failure::Compressed, Failure::NotAnAnswer],
            &[Decision::NextTarget, Decision::NextTarget, Decision::GiveUp],
        );
    }

    #[test]
    fn retry_after_is_honored_within_bounds() {
        let busy =
            |seconds| Failure::TooManyRequests { retry_after: Some(Duration::from_secs(seconds)) };
        assert_decisions(
            course(2, ALL, 1),
            &[busy(2), busy(2)],
            &[retry_after(2000), Decision::NextTarget],
        );
        assert_decisions(course(2, ALL, 1), &[busy(3)], &[Decision::NextTarget]);
        assert_decisions(course(1, ALL, 1), &[busy(3)], &[Decision::GiveUp]);
    }

    #[test]
    fn only_configured_conditions_fall_back() {
        let connect = FallbackOn { connect: true, ..FallbackOn::default() };
        assert_decisions(course(2, connect, 0), &[ERROR], &[Decision::GiveUp]);
        assert_decisions(course(2, connect, 0), &[Failure::Connect], &[Decision::NextTarget]);
        assert_decisions(course(2, connect, 0), &[Failure::KeyRefused], &[Decision::NextTarget]);
        assert_decisions(
            course(2, ALL, 1),
            &[Failure::Timeout, Failure::Timeout],
            &[Decision::NextTarget, retry_after(100)],
        );
    }

    #[test]
    fn refused_key_is_followed_by_another() {
        let mut policy = course(1, ALL, 0);
        let another = KeyOutcome::AnotherAvailable { of: 2 };
        assert_eq!(
            policy.decide(Failure::KeyRefused, another, NOW, 0, || true),
            Decision::Retry { after: Duration::ZERO }
        );
        assert_eq!(policy.decide(Failure::KeyRefused, another, NOW, 0, || true), Decision::GiveUp);
        assert_eq!(
            policy.decide(Failure::KeyRefused, KeyOutcome::AllCoolingDown, NOW, 0, || true),
            Decision::GiveUp
        );
    }

    #[test]
    fn retry_spends_the_budget() {
        let mut policy = course(2, ALL, 3);
        assert_eq!(policy.decide(ERROR, KeyOutcome::NotAtFault, NOW, 0, || true), retry_after(50));
        assert_eq!(
            policy.decide(ERROR, KeyOutcome::NotAtFault, NOW, 0, || false),
            Decision::NextTarget
        );
        let asked = |_| -> bool { panic!("nothing is taken where no second try comes") };
        assert_eq!(
            policy.decide(ERROR, KeyOutcome::TargetCoolingDown, NOW, 0, || asked(())),
            Decision::GiveUp
        );
        assert_eq!(
            policy.decide(Failure::KeyRefused, KeyOutcome::NotAtFault, NOW, 0, || asked(())),
            Decision::GiveUp
        );
    }

    #[test]
    fn target_in_cool_down_is_not_retried() {
        let mut policy = course(2, ALL, 3);
        assert_eq!(
            policy.decide(ERROR, KeyOutcome::TargetCoolingDown, NOW, 0, || true),
            Decision::NextTarget
        );
        assert_eq!(
            policy.decide(ERROR, KeyOutcome::TargetCoolingDown, NOW, 0, || true),
            Decision::GiveUp
        );
    }

    #[test]
    fn retry_without_enough_time_is_not_started() {
        let after = Duration::from_millis(100);
        for (left, decision) in [(199, Decision::NextTarget), (200, retry_after(100))] {
            let busy = Failure::TooManyRequests { retry_after: Some(after) };
            let deadline = NOW + Duration::from_millis(left);
            let mut policy = RetryPolicy::new(2, ALL, retries(1), deadline);
            assert_eq!(policy.decide(busy, KeyOutcome::NotAtFault, NOW, 0, || true), decision);
        }
    }

    #[test]
    fn no_attempt_starts_after_the_deadline() {
        let mut policy = RetryPolicy::new(2, ALL, retries(3), NOW + Duration::from_millis(60));
        assert_eq!(
            policy.decide(ERROR, KeyOutcome::NotAtFault, NOW, u64::MAX, || true),
            Decision::NextTarget
        );
        assert_eq!(
            policy.decide(
                ERROR,
                KeyOutcome::NotAtFault,
                NOW + Duration::from_millis(60),
                0,
                || true
            ),
            Decision::GiveUp
        );
    }

    #[test]
    fn broken_connection_to_the_last_target_is_replaced_once() {
        let zero = Decision::Retry { after: Duration::ZERO };
        let broken = Failure::NoResponse;
        assert_decisions(course(1, ALL, 0), &[broken, broken], &[zero, Decision::GiveUp]);
        assert_decisions(
            course(2, ALL, 0),
            &[broken, broken, broken],
            &[Decision::NextTarget, zero, Decision::GiveUp],
        );
        assert_decisions(course(2, FallbackOn::default(), 0), &[broken], &[zero]);
        assert_decisions(
            course(1, ALL, 1),
            &[broken, broken],
            &[retry_after(100), Decision::GiveUp],
        );
        assert_decisions(course(1, ALL, 0), &[Failure::Connect], &[Decision::GiveUp]);
        let mut policy = course(1, ALL, 0);
        let refused = policy.decide(broken, KeyOutcome::NotAtFault, NOW, 0, || false);
        assert_eq!(refused, Decision::GiveUp, "the retry budget is spent");
    }

    #[test]
    fn additions_are_taken_back_without_retries() {
        let zero = Decision::Retry { after: Duration::ZERO };
        let refused = Failure::AdditionRefused(Addition::Usage);
        assert_decisions(course(1, ALL, 0), &[refused; 3], &[zero, zero, Decision::GiveUp]);
        let mut policy = course(1, ALL, 0);
        let probe = policy.decide(refused, KeyOutcome::TargetCoolingDown, NOW, 0, || false);
        assert_eq!(probe, zero);
    }

    fn failure() -> impl Strategy<Value = Failure> {
        let wait = proptest::option::of((0u64..5_000).prop_map(Duration::from_millis));
        prop_oneof![
            Just(Failure::Connect),
            Just(Failure::Timeout),
            Just(Failure::KeyRefused),
            Just(Failure::Unpaid),
            Just(Failure::NotAnAnswer),
            Just(Failure::Compressed),
            wait.clone().prop_map(|retry_after| Failure::TooManyRequests { retry_after }),
            wait.prop_map(|retry_after| Failure::ServerError { retry_after }),
        ]
    }

    proptest! {
        #[test]
        fn number_of_calls_is_bounded(targets in 1usize..5, attempts in 0u32..4, failures in proptest::collection::vec(failure(), 64), entropy in any::<u64>()) {
            let mut policy = course(targets, ALL, attempts);
            let mut calls = 1;
            for failure in failures {
                let keys = if failure == Failure::KeyRefused { KeyOutcome::AllCoolingDown } else { KeyOutcome::NotAtFault };
                if policy.decide(failure, keys, NOW, entropy, || true) == Decision::GiveUp {
                    break;
                }
                calls += 1;
            }
            assert!(calls <= targets * (1 + attempts as usize));
        }
    }
}
