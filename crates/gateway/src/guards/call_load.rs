//! Calls of guard services by consumer: the quota of a service is shared, and one consumer alone can use it
//! up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;

/// Length of a period. The last two are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// Calls of a consumer below which it is not the cause of a service's refusals.
const MIN_CALLS: usize = 32;
/// Consumers that are counted by name in a period, over all guards.
const MAX_CONSUMERS: usize = 1_000;

/// Calls of the guards of an isolate in the last minute or two.
#[derive(Debug, Default)]
pub(crate) struct CallLoad(RefCell<Periods>);

#[derive(Debug, Default)]
struct Periods {
    since: Timestamp,
    current: Calls,
    last: Calls,
}

#[derive(Debug, Default)]
struct Calls {
    by_guard: BTreeMap<String, usize>,
    /// By guard and consumer.
    by_consumer: BTreeMap<(String, String), usize>,
}

impl CallLoad {
    /// Counts calls of a guard's service for a consumer.
    pub(super) fn record_calls(&self, guard: &str, consumer: &str, calls: usize, now: Timestamp) {
        let mut periods = self.0.borrow_mut();
        periods.advance(now);
        let current = &mut periods.current;
        *current.by_guard.entry(guard.to_owned()).or_default() += calls;
        let key = (guard.to_owned(), consumer.to_owned());
        let is_known = current.by_consumer.contains_key(&key);
        if is_known || current.by_consumer.len() < MAX_CONSUMERS {
            *current.by_consumer.entry(key).or_default() += calls;
        }
    }

    /// Whether a consumer makes at least half of a guard's calls, and more than a few.
    pub(super) fn is_mostly_by(&self, guard: &str, consumer: &str, now: Timestamp) -> bool {
        let mut periods = self.0.borrow_mut();
        periods.advance(now);
        let key = (guard.to_owned(), consumer.to_owned());
        let (mut own, mut all) = (0, 0);
        for calls in [&periods.current, &periods.last] {
            own += calls.by_consumer.get(&key).copied().unwrap_or_default();
            all += calls.by_guard.get(guard).copied().unwrap_or_default();
        }
        own >= MIN_CALLS && 2 * own >= all
    }
}

impl Periods {
    fn advance(&mut self, now: Timestamp) {
        let passed = now.since(self.since);
        if passed < PERIOD {
            return;
        }
        self.last = std::mem::take(&mut self.current);
        if passed >= PERIOD * 2 {
            self.last = Calls::default();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use super::{CallLoad, MAX_CONSUMERS};

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + second * 1_000)
    }

    #[test]
    fn consumer_with_half_of_the_calls_is_the_cause() {
        let load = CallLoad::default();
        load.record_calls("judge", "one", 31, at(0));
        assert!(!load.is_mostly_by("judge", "one", at(0)), "a few calls are no load");
        load.record_calls("judge", "one", 1, at(0));
        assert!(load.is_mostly_by("judge", "one", at(0)));
        assert!(!load.is_mostly_by("judge", "two", at(0)));
        assert!(!load.is_mostly_by("other", "one", at(0)));
        load.record_calls("judge", "two", 33, at(30));
        assert!(!load.is_mostly_by("judge", "one", at(30)), "others make more");
        assert!(load.is_mostly_by("judge", "two", at(30)));
        load.record_calls("judge", "one", 5, at(61));
        assert!(load.is_mostly_by("judge", "one", at(61)), "the last period counts, too");
        assert!(!load.is_mostly_by("judge", "one", at(200)));
    }

    #[test]
    fn counted_consumers_are_bounded() {
        let load = CallLoad::default();
        for consumer in 0..2 * MAX_CONSUMERS {
            load.record_calls("judge", &consumer.to_string(), 100, at(0));
        }
        assert_eq!(load.0.borrow().current.by_consumer.len(), MAX_CONSUMERS);
        assert_eq!(load.0.borrow().current.by_guard["judge"], 200 * MAX_CONSUMERS);
    }
}
