//! The keys of one provider: used in turn, and left alone for a while when the provider refuses one.

use std::time::Duration;

use civil_time::Timestamp;

use super::classify::Failure;

/// How long a key rests that was refused.
pub const REJECTED_KEY_COOL_DOWN: Duration = Duration::from_secs(60);
/// The longest rest that a `Retry-After` can ask for.
pub const MAX_COOL_DOWN: Duration = Duration::from_secs(3600);

/// How many rests for single models are kept; beyond it the one that ends first is forgotten.
const MAX_MODEL_COOL_DOWNS: usize = 64;
/// How many doubts are kept; beyond it the oldest is forgotten.
const MAX_SUSPICIONS: usize = 64;
/// So many doubtful refusals in a row say that it is the key's.
const SUSPICIONS_TO_REJECT: u32 = 3;
/// How long a key rests after a doubtful refusal, where another one can be tried.
const SUSPECTED_KEY_COOL_DOWN: Duration = Duration::from_secs(1);

/// Which keys rest until when, and whose turn it is. Knows positions, never keys.
///
/// A key that is not known (401) rests for every model. One that may not use a model (403), or cannot
/// pay for it (402), or has used it up (429), rests for that model alone: else a caller who names a
/// model that the provider denies would take away everybody's others.
///
/// A 402 or 403 may be about this one request: its `max_tokens` cost more than is left, its prompt was
/// flagged. So it is believed only when it comes again and again.
#[derive(Clone, Debug)]
pub struct KeyPool {
    cool_down_until: Vec<Timestamp>,
    model_cool_downs: Vec<ModelCoolDown>,
    suspicions: Vec<Suspicion>,
    next_position: usize,
}

/// Refusals in a row that may have been the requests' own fault.
#[derive(Clone, Debug)]
struct Suspicion {
    key: usize,
    model: Box<str>,
    count: u32,
}

#[derive(Clone, Debug)]
struct ModelCoolDown {
    key: usize,
    model: Box<str>,
    until: Timestamp,
}

/// Every key rests until this moment at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllKeysCoolingDown(pub Timestamp);

impl KeyPool {
    /// A ring of `count` keys, all awake.
    pub fn new(count: usize) -> Self {
        Self {
            cool_down_until: vec![Timestamp::default(); count],
            model_cool_downs: Vec::new(),
            suspicions: Vec::new(),
            next_position: 0,
        }
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.cool_down_until.len()
    }

    /// Whether the provider needs no key.
    pub fn is_empty(&self) -> bool {
        self.cool_down_until.is_empty()
    }

    /// The next key in turn that is awake; `Ok(None)` for a provider that needs none.
    pub fn next_key(
        &mut self,
        model: &str,
        now: Timestamp,
    ) -> Result<Option<usize>, AllKeysCoolingDown> {
        let count = self.cool_down_until.len();
        if count == 0 {
            return Ok(None);
        }
        let in_turn = (0..count).map(|step| (self.next_position + step) % count);
        match in_turn.into_iter().find(|key| self.cool_down_until(*key, model) <= now) {
            Some(key) => {
                self.next_position = (key + 1) % count;
                Ok(Some(key))
            }
            None => {
                let first = (0..count).map(|key| self.cool_down_until(key, model)).min();
                Err(AllKeysCoolingDown(first.unwrap_or(now)))
            }
        }
    }

    /// Whether a key is awake, or none is needed.
    pub fn has_available(&self, model: &str, now: Timestamp) -> bool {
        self.is_empty()
            || (0..self.cool_down_until.len()).any(|key| self.cool_down_until(key, model) <= now)
    }

    /// Puts a key to rest if the failure says that it is the key's. Tells whether it did.
    ///
    /// A 429 rests the key where the wait is longer than `worth_waiting`; a shorter one is waited for.
    pub fn record_failure(
        &mut self,
        key: usize,
        model: &str,
        failure: Failure,
        now: Timestamp,
        worth_waiting: Duration,
    ) -> bool {
        match failure {
            Failure::KeyRefused => {
                self.cool_down_until[key] =
                    self.cool_down_until[key].max(now + REJECTED_KEY_COOL_DOWN);
                true
            }
            Failure::Unpaid | Failure::ModelRefused => {
                let rest = if self.add_suspicion(key, model) < SUSPICIONS_TO_REJECT {
                    SUSPECTED_KEY_COOL_DOWN
                } else {
                    // After its rest it is asked anew.
                    self.record_success(key, model);
                    REJECTED_KEY_COOL_DOWN
                };
                let mut others = (0..self.len()).filter(|other| *other != key);
                // The last one does not rest for what is doubtful.
                let rests = rest > SUSPECTED_KEY_COOL_DOWN
                    || others.any(|it| self.cool_down_until(it, model) <= now);
                if rests {
                    self.cool_down_for(key, model, now + rest, now);
                }
                rests
            }
            Failure::TooManyRequests { retry_after: Some(wait) } if wait > worth_waiting => {
                self.cool_down_for(key, model, now + wait.min(MAX_COOL_DOWN), now);
                true
            }
            Failure::TooManyRequests { .. }
            | Failure::ServerError { .. }
            | Failure::Connect
            | Failure::Timeout
            | Failure::NotAnAnswer
            | Failure::Compressed => false,
        }
    }

    /// Notes that a key was taken.
    pub fn record_success(&mut self, key: usize, model: &str) {
        self.suspicions.retain(|doubt| doubt.key != key || &*doubt.model != model);
    }

    /// Counts a doubtful refusal. Tells how many there were in a row.
    fn add_suspicion(&mut self, key: usize, model: &str) -> u32 {
        let same = |doubt: &&mut Suspicion| doubt.key == key && &*doubt.model == model;
        if let Some(doubt) = self.suspicions.iter_mut().find(same) {
            doubt.count = doubt.count.saturating_add(1);
            return doubt.count;
        }
        if self.suspicions.len() >= MAX_SUSPICIONS {
            self.suspicions.remove(0);
        }
        self.suspicions.push(Suspicion { key, model: model.into(), count: 1 });
        1
    }

    fn cool_down_until(&self, key: usize, model: &str) -> Timestamp {
        let rests =
            self.model_cool_downs.iter().filter(|rest| rest.key == key && &*rest.model == model);
        rests.map(|rest| rest.until).fold(self.cool_down_until[key], Timestamp::max)
    }

    fn cool_down_for(&mut self, key: usize, model: &str, until: Timestamp, now: Timestamp) {
        self.model_cool_downs.retain(|rest| rest.until > now);
        if self.model_cool_downs.len() >= MAX_MODEL_COOL_DOWNS {
            let first = self.model_cool_downs.iter().enumerate().min_by_key(|(_, rest)| rest.until);
            if let Some((position, _)) = first {
                self.model_cool_downs.swap_remove(position);
            }
        }
        self.model_cool_downs.push(ModelCoolDown { key, model: model.into(), until });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use proptest::prelude::{any, proptest};

    use crate::upstream::classify::Failure;

    use super::{AllKeysCoolingDown, KeyPool, REJECTED_KEY_COOL_DOWN};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const WORTH: Duration = Duration::from_secs(2);

    #[test]
    fn keys_are_used_in_turn() {
        let mut pool = KeyPool::new(3);
        let taken: Vec<_> = (0..5).map(|_| pool.next_key("m", NOW)).collect();
        assert_eq!(taken, [Ok(Some(0)), Ok(Some(1)), Ok(Some(2)), Ok(Some(0)), Ok(Some(1))]);
        assert_eq!(KeyPool::new(0).next_key("m", NOW), Ok(None));
    }

    #[test]
    fn a_refused_key_rests_and_comes_back() {
        let mut pool = KeyPool::new(2);
        assert!(pool.record_failure(0, "m", Failure::KeyRefused, NOW, WORTH));
        assert_eq!(pool.next_key("m", NOW), Ok(Some(1)));
        assert_eq!(pool.next_key("m", NOW), Ok(Some(1)));
        let long = Failure::TooManyRequests { retry_after: Some(Duration::from_secs(10)) };
        assert!(pool.record_failure(1, "m", long, NOW, WORTH));
        assert_eq!(pool.next_key("m", NOW), Err(AllKeysCoolingDown(NOW + Duration::from_secs(10))));
        assert_eq!(pool.next_key("m", NOW + Duration::from_secs(10)), Ok(Some(1)));
        assert_eq!(pool.next_key("m", NOW + REJECTED_KEY_COOL_DOWN), Ok(Some(0)));
    }

    #[test]
    fn what_is_not_the_keys_fault_leaves_it_awake() {
        let mut pool = KeyPool::new(1);
        let short = Failure::TooManyRequests { retry_after: Some(WORTH) };
        for failure in [
            short,
            Failure::Connect,
            Failure::Timeout,
            Failure::NotAnAnswer,
            Failure::ServerError { retry_after: None },
        ] {
            assert!(!pool.record_failure(0, "m", failure, NOW, WORTH));
        }
        assert_eq!(pool.next_key("m", NOW), Ok(Some(0)));
    }

    proptest! {
        #[test]
        fn a_key_that_rests_is_never_taken(rests in proptest::collection::vec(any::<bool>(), 1..6), turns in 1usize..20) {
            let mut ring = KeyPool::new(rests.len());
            for (key, _) in rests.iter().enumerate().filter(|(_, rests)| **rests) {
                ring.record_failure(key, "m", Failure::KeyRefused, NOW, WORTH);
            }
            for _ in 0..turns {
                match ring.next_key("m", NOW) {
                    Ok(key) => assert!(!rests[key.expect("the ring has keys")]),
                    Err(AllKeysCoolingDown(until)) => {
                        assert!(rests.iter().all(|rests| *rests));
                        assert_eq!(until, NOW + REJECTED_KEY_COOL_DOWN);
                    }
                }
            }
        }
    }

    /// Refuses a key for a model until that is believed.
    fn deny(pool: &mut KeyPool, key: usize, model: &str) {
        for _ in 1..super::SUSPICIONS_TO_REJECT {
            pool.record_failure(key, model, Failure::ModelRefused, NOW, WORTH);
        }
        assert!(pool.record_failure(key, model, Failure::ModelRefused, NOW, WORTH));
    }

    #[test]
    fn what_may_be_one_request_s_fault_is_believed_when_it_comes_again() {
        let mut alone = KeyPool::new(1);
        for _ in 0..10 {
            assert!(!alone.record_failure(0, "m", Failure::Unpaid, NOW, WORTH));
            assert!(!alone.record_failure(0, "m", Failure::Unpaid, NOW, WORTH));
            assert_eq!(alone.next_key("m", NOW), Ok(Some(0)));
            alone.record_success(0, "m");
        }
        // Of two, the other one is tried at once.
        let mut two = KeyPool::new(2);
        assert!(two.record_failure(0, "m", Failure::Unpaid, NOW, WORTH));
        assert_eq!(two.next_key("m", NOW), Ok(Some(1)));
        assert!(!two.record_failure(1, "m", Failure::Unpaid, NOW, WORTH), "one of them stays");
        assert_eq!(two.next_key("m", NOW), Ok(Some(1)));
        assert!(
            two.next_key("m", NOW + super::SUSPECTED_KEY_COOL_DOWN).is_ok_and(|key| key == Some(0))
        );
    }

    #[test]
    fn a_model_that_is_denied_leaves_the_others_alone() {
        let mut pool = KeyPool::new(1);
        deny(&mut pool, 0, "denied");
        assert_eq!(
            pool.next_key("denied", NOW),
            Err(AllKeysCoolingDown(NOW + REJECTED_KEY_COOL_DOWN))
        );
        assert_eq!(pool.next_key("m", NOW), Ok(Some(0)));
        assert_eq!(pool.next_key("denied", NOW + REJECTED_KEY_COOL_DOWN), Ok(Some(0)));
    }

    #[test]
    fn a_flood_of_denied_models_is_bounded() {
        let mut pool = KeyPool::new(1);
        for model in 0..1_000 {
            deny(&mut pool, 0, &model.to_string());
            pool.record_failure(0, &format!("another {model}"), Failure::Unpaid, NOW, WORTH);
        }
        assert_eq!(pool.model_cool_downs.len(), super::MAX_MODEL_COOL_DOWNS);
        assert_eq!(pool.suspicions.len(), super::MAX_SUSPICIONS);
        assert!(pool.next_key("999", NOW).is_err());
    }
}
