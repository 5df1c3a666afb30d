//! Key pool of one provider: round robin over the keys, with a cool-down for refused ones.

use std::time::Duration;

use civil_time::Timestamp;

use super::classify::{Failure, QUOTA_COOL_DOWN};

/// Cool-down of a refused key.
pub(crate) const REJECTED_KEY_COOL_DOWN: Duration = Duration::from_secs(60);
/// The longest cool-down that a `Retry-After` can request.
pub(crate) const MAX_COOL_DOWN: Duration = Duration::from_secs(3600);

/// Cool-downs of single models that are kept. Beyond it, the one that ends first is evicted.
const MAX_MODEL_COOL_DOWNS: usize = 64;
/// Suspicions that are kept. Beyond it, the oldest is evicted.
const MAX_SUSPICIONS: usize = 64;
/// Consecutive refusals that count as the key's fault where each alone may be the request's.
const SUSPICIONS_TO_REJECT: u32 = 3;
/// Cool-down of a key after a suspicion, if another key can be tried.
const SUSPECTED_KEY_COOL_DOWN: Duration = Duration::from_secs(1);
/// The shortest cool-down of a key after a 429, if another key can be tried.
const LIMITED_KEY_COOL_DOWN: Duration = Duration::from_secs(1);

/// Cool-downs of a provider's keys, and the next key in turn. It holds positions, never keys.
///
/// A key that the provider does not accept (401) cools down for every model. A key that may not use
/// a model (403), cannot pay for it (402), or has used it up (429) cools down for that model alone.
/// Otherwise a caller who names a model that the provider denies would take all other models from
/// everyone.
///
/// A 402, a 403, or an unknown model or path may concern this one request: its `max_tokens` cost more
/// than is left, its prompt was flagged, or the model has no such endpoint. Such a refusal counts against the key only after several in a row.
///
/// A quota that waiting does not renew takes the key out for every model and for longer.
#[derive(Clone, Debug)]
pub(crate) struct KeyPool {
    cool_down_until: Vec<Timestamp>,
    model_cool_downs: Vec<ModelCoolDown>,
    suspicions: Vec<Suspicion>,
    next_position: usize,
}

/// Consecutive refusals that may have been the requests' own fault.
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

/// Every key cools down until this time at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllKeysCoolingDown(pub Timestamp);

impl KeyPool {
    /// A pool of `count` keys, all available.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            cool_down_until: vec![Timestamp::default(); count],
            model_cool_downs: Vec::new(),
            suspicions: Vec::new(),
            next_position: 0,
        }
    }

    /// A pool of a provider whose keys are not set: no key is ever available.
    pub(crate) fn unavailable() -> Self {
        let mut pool = Self::new(1);
        pool.cool_down_until[0] = Timestamp::from_millis(u64::MAX);
        pool
    }

    pub(crate) fn len(&self) -> usize {
        self.cool_down_until.len()
    }

    /// Whether the provider needs no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.cool_down_until.is_empty()
    }

    /// The keys that cool down for every model, and the ends of their cool-downs.
    pub(crate) fn cooling_down(&self, now: Timestamp) -> impl Iterator<Item = (usize, Timestamp)> {
        let all = self.cool_down_until.iter().copied().enumerate();
        all.filter(move |(_, until)| *until > now)
    }

    /// The next available key in turn; `Ok(None)` for a provider that needs none.
    pub(crate) fn next_key(
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

    /// The key whose cool-down ends first, for a last-resort call; `None` for a provider that needs none.
    pub(crate) fn first_to_return(&self, model: &str) -> Option<usize> {
        let keys = 0..self.cool_down_until.len();
        keys.min_by_key(|key| self.cool_down_until(*key, model))
    }

    /// Ends the cool-down of a key for a model, as a last-resort call was answered.
    pub(crate) fn end_cool_down(&mut self, key: usize, model: &str) {
        self.cool_down_until[key] = Timestamp::default();
        self.model_cool_downs.retain(|one| one.key != key || &*one.model != model);
    }

    /// Whether a key is available, or none is needed.
    pub(crate) fn has_available(&self, model: &str, now: Timestamp) -> bool {
        self.is_empty()
            || (0..self.cool_down_until.len()).any(|key| self.cool_down_until(key, model) <= now)
    }

    /// Starts a key's cool-down if the failure is the key's. Returns whether it did.
    ///
    /// After a 429 the key cools down if the wait is longer than `worth_waiting`, or if another key
    /// can be tried meanwhile. The last available key waits for its retry instead.
    pub(crate) fn record_failure(
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
            Failure::Unpaid | Failure::ModelRefused | Failure::Unavailable => {
                let cool_down = if self.add_suspicion(key, model) < SUSPICIONS_TO_REJECT {
                    SUSPECTED_KEY_COOL_DOWN
                } else {
                    // After its cool-down the key starts without suspicions.
                    self.record_success(key, model);
                    REJECTED_KEY_COOL_DOWN
                };
                // The last available key does not cool down on a suspicion.
                let cools_down = cool_down > SUSPECTED_KEY_COOL_DOWN
                    || self.has_other_available(key, model, now);
                if cools_down {
                    self.cool_down_for(key, model, now + cool_down, now);
                }
                cools_down
            }
            Failure::TooManyRequests { retry_after: Some(wait) } if wait > worth_waiting => {
                self.cool_down_for(key, model, now + wait.min(MAX_COOL_DOWN), now);
                true
            }
            Failure::TooManyRequests { retry_after } => {
                let has_other = self.has_other_available(key, model, now);
                if has_other {
                    let wait = retry_after.unwrap_or_default().max(LIMITED_KEY_COOL_DOWN);
                    self.cool_down_for(key, model, now + wait, now);
                }
                has_other
            }
            Failure::QuotaExhausted { retry_after } => {
                let wait = retry_after.unwrap_or_default().clamp(QUOTA_COOL_DOWN, MAX_COOL_DOWN);
                self.cool_down_until[key] = self.cool_down_until[key].max(now + wait);
                true
            }
            Failure::ServerError { .. }
            | Failure::NoResponse
            | Failure::Connect
            | Failure::Timeout
            | Failure::Unrelated { .. }
            | Failure::AdditionRefused(_)
            | Failure::NotAnAnswer
            | Failure::Declined
            | Failure::Compressed => false,
        }
    }

    /// Whether another key than this one is available.
    fn has_other_available(&self, key: usize, model: &str, now: Timestamp) -> bool {
        let mut others = (0..self.len()).filter(|other| *other != key);
        others.any(|other| self.cool_down_until(other, model) <= now)
    }

    /// Records that the provider accepted a key.
    pub(crate) fn record_success(&mut self, key: usize, model: &str) {
        self.suspicions.retain(|suspicion| suspicion.key != key || &*suspicion.model != model);
    }

    /// Adds a suspicion. Returns the number of consecutive ones.
    fn add_suspicion(&mut self, key: usize, model: &str) -> u32 {
        let same = |suspicion: &&mut Suspicion| suspicion.key == key && &*suspicion.model == model;
        if let Some(suspicion) = self.suspicions.iter_mut().find(same) {
            suspicion.count = suspicion.count.saturating_add(1);
            return suspicion.count;
        }
        if self.suspicions.len() >= MAX_SUSPICIONS {
            self.suspicions.remove(0);
        }
        self.suspicions.push(Suspicion { key, model: model.into(), count: 1 });
        1
    }

    fn cool_down_until(&self, key: usize, model: &str) -> Timestamp {
        let cool_downs = self
            .model_cool_downs
            .iter()
            .filter(|cool_down| cool_down.key == key && &*cool_down.model == model);
        cool_downs.map(|cool_down| cool_down.until).fold(self.cool_down_until[key], Timestamp::max)
    }

    fn cool_down_for(&mut self, key: usize, model: &str, until: Timestamp, now: Timestamp) {
        self.model_cool_downs.retain(|cool_down| cool_down.until > now);
        if self.model_cool_downs.len() >= MAX_MODEL_COOL_DOWNS {
            let first = self
                .model_cool_downs
                .iter()
                .enumerate()
                .min_by_key(|(_, cool_down)| cool_down.until);
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
    fn refused_key_cools_down_and_returns() {
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
    fn failure_without_key_fault_keeps_key_available() {
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
        fn key_in_cool_down_is_never_returned(cools_down in proptest::collection::vec(any::<bool>(), 1..6), turns in 1usize..20) {
            let mut pool = KeyPool::new(cools_down.len());
            for (key, _) in cools_down.iter().enumerate().filter(|(_, cools_down)| **cools_down) {
                pool.record_failure(key, "m", Failure::KeyRefused, NOW, WORTH);
            }
            for _ in 0..turns {
                match pool.next_key("m", NOW) {
                    Ok(key) => assert!(!cools_down[key.expect("the pool has keys")]),
                    Err(AllKeysCoolingDown(until)) => {
                        assert!(cools_down.iter().all(|cools_down| *cools_down));
                        assert_eq!(until, NOW + REJECTED_KEY_COOL_DOWN);
                    }
                }
            }
        }
    }

    #[test]
    fn limited_key_yields_to_another_and_the_last_one_stays() {
        let mut pool = KeyPool::new(2);
        let limited = Failure::TooManyRequests { retry_after: None };
        assert_eq!(pool.next_key("m", NOW), Ok(Some(0)));
        assert!(pool.record_failure(0, "m", limited, NOW, WORTH));
        assert_eq!(pool.next_key("m", NOW), Ok(Some(1)));
        assert!(!pool.record_failure(1, "m", limited, NOW, WORTH), "one of them stays");
        assert_eq!(pool.next_key("m", NOW), Ok(Some(1)));
        assert_eq!(pool.next_key("m", NOW + super::LIMITED_KEY_COOL_DOWN), Ok(Some(0)));
        let short = Failure::TooManyRequests { retry_after: Some(WORTH) };
        let mut pool = KeyPool::new(2);
        assert!(pool.record_failure(0, "m", short, NOW, WORTH));
        assert_eq!(pool.next_key("m", NOW + Duration::from_millis(1_999)), Ok(Some(1)));
    }

    #[test]
    fn exhausted_quota_cools_down_long_for_every_model() {
        for retry_after in [None, Some(Duration::from_secs(2))] {
            let mut pool = KeyPool::new(1);
            let exhausted = Failure::QuotaExhausted { retry_after };
            assert!(pool.record_failure(0, "m", exhausted, NOW, WORTH));
            let until = NOW + super::QUOTA_COOL_DOWN;
            assert_eq!(pool.next_key("other", NOW), Err(AllKeysCoolingDown(until)));
        }
        let mut pool = KeyPool::new(1);
        let exhausted = Failure::QuotaExhausted { retry_after: Some(Duration::from_secs(86_400)) };
        pool.record_failure(0, "m", exhausted, NOW, WORTH);
        assert_eq!(pool.next_key("m", NOW), Err(AllKeysCoolingDown(NOW + super::MAX_COOL_DOWN)));
    }

    #[test]
    fn unavailable_model_cools_down_alone() {
        let mut pool = KeyPool::new(1);
        for _ in 1..super::SUSPICIONS_TO_REJECT {
            assert!(!pool.record_failure(0, "m", Failure::Unavailable, NOW, WORTH));
        }
        assert!(pool.record_failure(0, "m", Failure::Unavailable, NOW, WORTH));
        assert!(pool.next_key("m", NOW).is_err());
        assert_eq!(pool.next_key("other", NOW), Ok(Some(0)));
    }

    /// Refuses a key for a model until the refusal counts.
    fn deny(pool: &mut KeyPool, key: usize, model: &str) {
        for _ in 1..super::SUSPICIONS_TO_REJECT {
            pool.record_failure(key, model, Failure::ModelRefused, NOW, WORTH);
        }
        assert!(pool.record_failure(key, model, Failure::ModelRefused, NOW, WORTH));
    }

    #[test]
    fn doubtful_refusal_counts_after_repetition() {
        let mut alone = KeyPool::new(1);
        for _ in 0..10 {
            assert!(!alone.record_failure(0, "m", Failure::Unpaid, NOW, WORTH));
            assert!(!alone.record_failure(0, "m", Failure::Unpaid, NOW, WORTH));
            assert_eq!(alone.next_key("m", NOW), Ok(Some(0)));
            alone.record_success(0, "m");
        }
        // With two keys, the other one is tried at once.
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
    fn denied_model_leaves_other_models_available() {
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
    fn cool_downs_of_models_are_bounded() {
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
