//! Whether a second target is called while the first is late: when, and for how many requests.
//!
//! Whom to call is the plan's business.

use std::time::Duration;

use crate::config::Hedge;

/// However quick a target is, it has this long.
pub const LEAST_WAIT: Duration = Duration::from_millis(50);
/// The most hedges that are saved up.
const MOST: u64 = 10;
/// A hedge in the unit of the account.
const HEDGE: u64 = 1_000;

/// How long a target has before another is called beside it, which may be after what it has been seen
/// to take. `None`: nobody knows yet when it is late.
pub fn wait(hedge: Hedge, seen: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
    hedge.after.or_else(seen).map(|after| after.max(LEAST_WAIT))
}

/// One route's account of hedges, in thousandths of one.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    left: u64,
}

impl Allowance {
    /// Notes a request, which allows for a share of another hedge, in thousandths.
    pub fn note_request(&mut self, share: u32) {
        self.left = (self.left + u64::from(share)).min(MOST * HEDGE);
    }

    /// Takes a hedge, if one is left.
    pub fn take(&mut self) -> bool {
        let left = self.left.checked_sub(HEDGE);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::{Allowance, LEAST_WAIT, MOST, wait};
    use crate::config::Hedge;
    use crate::policy::pace::Pace;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[track_caller]
    fn check(after: Option<u64>, measured: &[u64], expected: Option<u64>) {
        let hedge = Hedge { share: 50, after: after.map(Duration::from_millis) };
        let mut pace = Pace::default();
        measured.iter().for_each(|millis| pace.took(Duration::from_millis(*millis), NOW));
        assert_eq!(wait(hedge, || pace.late_after(NOW)), expected.map(Duration::from_millis));
    }

    #[test]
    fn a_target_has_its_own_time_or_the_one_that_is_written() {
        check(Some(300), &[], Some(300));
        check(Some(300), &[900; 30], Some(300));
        check(Some(1), &[], Some(50));
        check(None, &[900; 19], None);
        check(None, &[900; 20], Some(959));
        check(None, &[3; 20], Some(LEAST_WAIT.as_millis() as u64));
    }

    #[test]
    fn a_quiet_night_saves_up_ten() {
        let mut allowance = Allowance::default();
        assert!(!allowance.take());
        (0..1_000).for_each(|_| allowance.note_request(50));
        assert_eq!((0..100).filter(|_| allowance.take()).count() as u64, MOST);
    }

    proptest! {
        #[test]
        fn never_more_than_the_share(steps in proptest::collection::vec(any::<bool>(), 1..400), share in 0u32..=1_000) {
            let mut allowance = Allowance::default();
            let (mut requests, mut hedges) = (0, 0);
            for is_request in steps {
                if is_request {
                    allowance.note_request(share);
                    requests += 1;
                } else if allowance.take() {
                    hedges += 1;
                }
                assert!(hedges * 1_000 <= requests * u64::from(share));
            }
        }

        #[test]
        fn who_hedges_at_once_gets_the_whole_share(share in 1u32..=1_000, requests in 1u64..2_000) {
            let mut allowance = Allowance::default();
            let hedges = (0..requests).filter(|_| {
                allowance.note_request(share);
                allowance.take()
            });
            assert_eq!(hedges.count() as u64, requests * u64::from(share) / 1_000);
        }
    }
}
