//! The keys of one provider: used in turn, and left alone for a while when the provider refuses one.

use std::time::Duration;

use crate::time::Timestamp;

use super::classify::Failure;

/// How long a key rests that was answered with 401 or 403.
pub const REFUSED_REST: Duration = Duration::from_secs(60);
/// The longest rest that a `Retry-After` can ask for.
pub const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Which keys rest until when, and whose turn it is. Knows positions, never keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    rests_until: Vec<Timestamp>,
    turn: usize,
}

/// Every key rests until this moment at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllRest(pub Timestamp);

impl Keyring {
    /// A ring of `count` keys, all awake.
    pub fn new(count: usize) -> Self {
        Self { rests_until: vec![Timestamp::default(); count], turn: 0 }
    }

    /// The next key in turn that is awake; `Ok(None)` for a provider that needs none.
    pub fn take(&mut self, now: Timestamp) -> Result<Option<usize>, AllRest> {
        let count = self.rests_until.len();
        if count == 0 {
            return Ok(None);
        }
        let awake = (0..count)
            .map(|step| (self.turn + step) % count)
            .find(|key| self.rests_until[*key] <= now);
        match awake {
            Some(key) => {
                self.turn = (key + 1) % count;
                Ok(Some(key))
            }
            None => Err(AllRest(self.rests_until.iter().copied().min().unwrap_or(now))),
        }
    }

    /// Whether a key is awake.
    pub fn has_awake(&self, now: Timestamp) -> bool {
        self.rests_until.iter().any(|until| *until <= now)
    }

    /// Puts a key to rest if the failure says that it is the key's. Tells whether it did.
    ///
    /// A 429 rests the key where the wait is longer than `worth_waiting`; a shorter one is waited for.
    pub fn note(
        &mut self,
        key: usize,
        failure: Failure,
        now: Timestamp,
        worth_waiting: Duration,
    ) -> bool {
        let rest = match failure {
            Failure::KeyRefused => REFUSED_REST,
            Failure::TooManyRequests { retry_after: Some(wait) } if wait > worth_waiting => {
                wait.min(LONGEST_REST)
            }
            Failure::TooManyRequests { .. }
            | Failure::ServerError { .. }
            | Failure::Connect
            | Failure::Timeout
            | Failure::NotAnAnswer => return false,
        };
        self.rests_until[key] = self.rests_until[key].max(now + rest);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::{AllRest, Keyring, REFUSED_REST};
    use crate::policy::classify::Failure;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const WORTH: Duration = Duration::from_secs(2);

    #[test]
    fn keys_are_used_in_turn() {
        let mut ring = Keyring::new(3);
        let taken: Vec<_> = (0..5).map(|_| ring.take(NOW)).collect();
        assert_eq!(taken, [Ok(Some(0)), Ok(Some(1)), Ok(Some(2)), Ok(Some(0)), Ok(Some(1))]);
        assert_eq!(Keyring::new(0).take(NOW), Ok(None));
    }

    #[test]
    fn a_refused_key_rests_and_comes_back() {
        let mut ring = Keyring::new(2);
        assert!(ring.note(0, Failure::KeyRefused, NOW, WORTH));
        assert_eq!(ring.take(NOW), Ok(Some(1)));
        assert_eq!(ring.take(NOW), Ok(Some(1)));
        let long = Failure::TooManyRequests { retry_after: Some(Duration::from_secs(10)) };
        assert!(ring.note(1, long, NOW, WORTH));
        assert_eq!(ring.take(NOW), Err(AllRest(NOW + Duration::from_secs(10))));
        assert_eq!(ring.take(NOW + Duration::from_secs(10)), Ok(Some(1)));
        assert_eq!(ring.take(NOW + REFUSED_REST), Ok(Some(0)));
    }

    #[test]
    fn what_is_not_the_keys_fault_leaves_it_awake() {
        let mut ring = Keyring::new(1);
        let short = Failure::TooManyRequests { retry_after: Some(WORTH) };
        for failure in [
            short,
            Failure::Connect,
            Failure::Timeout,
            Failure::NotAnAnswer,
            Failure::ServerError { retry_after: None },
        ] {
            assert!(!ring.note(0, failure, NOW, WORTH));
        }
        assert_eq!(ring.take(NOW), Ok(Some(0)));
    }

    proptest! {
        #[test]
        fn a_key_that_rests_is_never_taken(rests in proptest::collection::vec(any::<bool>(), 1..6), turns in 1usize..20) {
            let mut ring = Keyring::new(rests.len());
            for (key, _) in rests.iter().enumerate().filter(|(_, rests)| **rests) {
                ring.note(key, Failure::KeyRefused, NOW, WORTH);
            }
            for _ in 0..turns {
                match ring.take(NOW) {
                    Ok(key) => assert!(!rests[key.expect("the ring has keys")]),
                    Err(AllRest(until)) => {
                        assert!(rests.iter().all(|rests| *rests));
                        assert_eq!(until, NOW + REFUSED_REST);
                    }
                }
            }
        }
    }
}
