//! What to do after a failure: try again, go to the next target, or give up.

use std::time::Duration;

use crate::config::{FallbackOn, Retries};
use crate::time::Timestamp;

use super::backoff;
use super::classify::Failure;

/// What a second try needs at least to come to anything.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// The way through a plan's targets. Makes at most
/// `targets × (max(keys, 1) + retries)` calls, and none that begins after the deadline.
#[derive(Clone, Debug)]
pub struct Course {
    fallback_on: FallbackOn,
    retries: Retries,
    deadline: Timestamp,
    left: usize,
    retried: u32,
    keys_tried: usize,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The same target, after a wait.
    Again {
        /// How long to wait first.
        after: Duration,
    },
    /// The next target, at once.
    Next,
    /// Nothing is left to try.
    Stop,
}

/// What the provider's keys make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// It was not the key's.
    NotAtFault,
    /// The key rests now, and another is awake.
    AnotherAwake {
        /// How many keys the provider has.
        of: usize,
    },
    /// The key rests now, and so does every other.
    AllRest,
    /// It was not the key's, but the target itself rests now.
    TargetRests,
}

impl Course {
    /// A course through `targets` targets (at least one), bounded by a deadline.
    pub fn new(
        targets: usize,
        fallback_on: FallbackOn,
        retries: Retries,
        deadline: Timestamp,
    ) -> Self {
        Self {
            fallback_on,
            retries,
            deadline,
            left: targets.saturating_sub(1),
            retried: 0,
            keys_tried: 0,
        }
    }

    /// The step after a call that failed. `may_retry` takes a second try out of the provider's budget;
    /// it is asked last.
    pub fn after(
        &mut self,
        failure: Failure,
        keys: Keys,
        now: Timestamp,
        entropy: u64,
        may_retry: impl FnOnce() -> bool,
    ) -> Step {
        match keys {
            // Each key once: with many keys and short rests the first would be awake again.
            Keys::AnotherAwake { of } if self.keys_tried + 1 < of && now < self.deadline => {
                self.keys_tried += 1;
                return Step::Again { after: Duration::ZERO };
            }
            // The target cannot be tried again, whatever the retries say.
            Keys::AnotherAwake { .. } | Keys::AllRest | Keys::TargetRests
                if self.falls_back(failure) =>
            {
                return self.pass_over(now);
            }
            Keys::AnotherAwake { .. } | Keys::AllRest | Keys::TargetRests => return Step::Stop,
            Keys::NotAtFault => {}
        }
        if self.retried < self.retries.attempts
            && let Some(after) = self.wait(failure, entropy)
            && now + after + LEAST_TIME <= self.deadline
            && may_retry()
        {
            self.retried += 1;
            return Step::Again { after };
        }
        if self.falls_back(failure) { self.pass_over(now) } else { Step::Stop }
    }

    /// The step where a target cannot be called at all because all its keys rest.
    pub fn pass_over(&mut self, now: Timestamp) -> Step {
        if self.left == 0 || now >= self.deadline {
            return Step::Stop;
        }
        self.left -= 1;
        self.retried = 0;
        self.keys_tried = 0;
        Step::Next
    }

    /// The wait before another try at the same target; `None` where that makes no sense.
    fn wait(&self, failure: Failure, entropy: u64) -> Option<Duration> {
        let backoff = backoff::wait(self.retries.backoff, self.retried, entropy);
        match failure {
            Failure::TooManyRequests { retry_after } | Failure::ServerError { retry_after } => {
                match retry_after {
                    Some(wait) => (wait <= self.retries.honour_retry_after).then_some(wait),
                    None => Some(backoff),
                }
            }
            Failure::Connect | Failure::NotAnAnswer => Some(backoff),
            // A target that was too slow once is a bad bet while another one waits.
            Failure::Timeout => (self.left == 0 || !self.fallback_on.timeout).then_some(backoff),
            // It will do so again.
            Failure::Compressed | Failure::KeyRefused | Failure::Unpaid | Failure::ModelRefused => {
                None
            }
        }
    }

    fn falls_back(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.fallback_on.connect,
            Failure::Timeout => self.fallback_on.timeout,
            Failure::TooManyRequests { .. } => self.fallback_on.too_many_requests,
            Failure::ServerError { .. } | Failure::NotAnAnswer | Failure::Compressed => {
                self.fallback_on.server_error
            }
            Failure::KeyRefused | Failure::Unpaid | Failure::ModelRefused => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use proptest::strategy::Just;

    use super::{Course, Keys, Step};
    use crate::config::{FallbackOn, Retries};
    use crate::policy::classify::Failure;
    use crate::time::Timestamp;

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
            replay: None,
        }
    }

    fn course(targets: usize, fallback_on: FallbackOn, attempts: u32) -> Course {
        Course::new(targets, fallback_on, retries(attempts), NOW + Duration::from_secs(60))
    }

    #[track_caller]
    fn check(mut course: Course, failures: &[Failure], expected: &[Step]) {
        // The highest entropy takes the whole of a wait but for the last nanosecond.
        let steps: Vec<Step> = failures
            .iter()
            .map(|failure| match course.after(*failure, Keys::NotAtFault, NOW, u64::MAX, || true) {
                Step::Again { after } => Step::Again {
                    after: Duration::from_millis(after.as_micros().div_ceil(1000) as u64),
                },
                other => other,
            })
            .collect();
        assert_eq!(steps, expected, "{failures:?}");
    }

    fn again(millis: u64) -> Step {
        Step::Again { after: Duration::from_millis(millis) }
    }

    #[test]
    fn retries_come_before_the_next_target() {
        check(
            course(2, ALL, 2),
            &[ERROR; 6],
            &[again(100), again(200), Step::Next, again(100), again(200), Step::Stop],
        );
        check(
            course(3, ALL, 0),
            &[ERROR, Failure::Compressed, Failure::NotAnAnswer],
            &[Step::Next, Step::Next, Step::Stop],
        );
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        let busy =
            |seconds| Failure::TooManyRequests { retry_after: Some(Duration::from_secs(seconds)) };
        check(course(2, ALL, 1), &[busy(2), busy(2)], &[again(2000), Step::Next]);
        check(course(2, ALL, 1), &[busy(3)], &[Step::Next]);
        check(course(1, ALL, 1), &[busy(3)], &[Step::Stop]);
    }

    #[test]
    fn only_named_conditions_fall_back() {
        let connect = FallbackOn { connect: true, ..FallbackOn::default() };
        check(course(2, connect, 0), &[ERROR], &[Step::Stop]);
        check(course(2, connect, 0), &[Failure::Connect], &[Step::Next]);
        check(course(2, connect, 0), &[Failure::KeyRefused], &[Step::Next]);
        check(course(2, ALL, 1), &[Failure::Timeout, Failure::Timeout], &[Step::Next, again(100)]);
    }

    #[test]
    fn a_refused_key_makes_way_for_another() {
        let mut course = course(1, ALL, 0);
        let another = Keys::AnotherAwake { of: 2 };
        assert_eq!(
            course.after(Failure::KeyRefused, another, NOW, 0, || true),
            Step::Again { after: Duration::ZERO }
        );
        assert_eq!(course.after(Failure::KeyRefused, another, NOW, 0, || true), Step::Stop);
        assert_eq!(course.after(Failure::KeyRefused, Keys::AllRest, NOW, 0, || true), Step::Stop);
    }

    #[test]
    fn a_second_try_is_taken_out_of_the_budget() {
        let mut course = course(2, ALL, 3);
        assert_eq!(course.after(ERROR, Keys::NotAtFault, NOW, 0, || true), again(50));
        assert_eq!(course.after(ERROR, Keys::NotAtFault, NOW, 0, || false), Step::Next);
        let asked = |_| -> bool { panic!("nothing is taken where no second try comes") };
        assert_eq!(course.after(ERROR, Keys::TargetRests, NOW, 0, || asked(())), Step::Stop);
        assert_eq!(
            course.after(Failure::KeyRefused, Keys::NotAtFault, NOW, 0, || asked(())),
            Step::Stop
        );
    }

    #[test]
    fn a_target_that_rests_is_not_tried_again() {
        let mut course = course(2, ALL, 3);
        assert_eq!(course.after(ERROR, Keys::TargetRests, NOW, 0, || true), Step::Next);
        assert_eq!(course.after(ERROR, Keys::TargetRests, NOW, 0, || true), Step::Stop);
    }

    #[test]
    fn a_second_try_that_cannot_end_in_time_is_not_begun() {
        let after = Duration::from_millis(100);
        for (left, step) in [(199, Step::Next), (200, again(100))] {
            let busy = Failure::TooManyRequests { retry_after: Some(after) };
            let deadline = NOW + Duration::from_millis(left);
            let mut course = Course::new(2, ALL, retries(1), deadline);
            assert_eq!(course.after(busy, Keys::NotAtFault, NOW, 0, || true), step);
        }
    }

    #[test]
    fn nothing_begins_after_the_deadline() {
        let mut course = Course::new(2, ALL, retries(3), NOW + Duration::from_millis(60));
        assert_eq!(course.after(ERROR, Keys::NotAtFault, NOW, u64::MAX, || true), Step::Next);
        assert_eq!(
            course.after(ERROR, Keys::NotAtFault, NOW + Duration::from_millis(60), 0, || true),
            Step::Stop
        );
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
        fn calls_are_bounded(targets in 1usize..5, attempts in 0u32..4, failures in proptest::collection::vec(failure(), 64), entropy in any::<u64>()) {
            let mut course = course(targets, ALL, attempts);
            let mut calls = 1;
            for failure in failures {
                let keys = if failure == Failure::KeyRefused { Keys::AllRest } else { Keys::NotAtFault };
                if course.after(failure, keys, NOW, entropy, || true) == Step::Stop {
                    break;
                }
                calls += 1;
            }
            assert!(calls <= targets * (1 + attempts as usize));
        }
    }
}
