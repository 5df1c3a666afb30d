//! Values that callers make up: headers, query parameters, and cookies select accounts, and each
//! account is stored. Beyond a rate of new values, the rest share one account.

use std::collections::BTreeSet;
use std::time::Duration;

use civil_time::Timestamp;
use config::By;

use super::matching::MatchedLimit;

/// Period in which new values are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// New values of all limits in one period.
const MAX_NEW_VALUES: usize = 1_000;
/// Values that are known; the period after which they are forgotten depends on it.
const MAX_KNOWN_VALUES: usize = 10_000;

/// Value of the account that all values beyond the bound share. No stored value begins with `~~`.
pub(super) const OTHER_VALUE: &str = "~~other";

/// Values of the last time, as their account selects them.
#[derive(Debug, Default)]
pub(crate) struct MadeUpValues {
    known: BTreeSet<(String, String)>,
    new: usize,
    since: Timestamp,
}

impl MadeUpValues {
    /// Replaces the values of limits that callers can make up, if there are too many new ones.
    pub(super) fn bound(&mut self, matched: &mut [MatchedLimit<'_>], now: Timestamp) {
        for one in matched {
            let is_made_up = match one.limit.by {
                By::All | By::Consumer | By::Group | By::Address => false,
                By::Header(_) | By::Parameter(_) | By::Cookie(_) => true,
            };
            if is_made_up && !self.admits(&one.limit.id, &one.value, now) {
                one.value = OTHER_VALUE.to_owned();
            }
        }
    }

    fn admits(&mut self, limit: &str, value: &str, now: Timestamp) -> bool {
        if now.since(self.since) >= PERIOD {
            (self.since, self.new) = (now, 0);
        }
        let key = (limit.to_owned(), super::matching::digest(value));
        if self.known.contains(&key) {
            return true;
        }
        if self.new >= MAX_NEW_VALUES {
            return false;
        }
        if self.known.len() >= MAX_KNOWN_VALUES {
            self.known.clear();
        }
        self.new += 1;
        self.known.insert(key);
        true
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use super::{MAX_KNOWN_VALUES, MAX_NEW_VALUES, MadeUpValues};

    #[test]
    fn new_values_are_bounded_per_minute() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut values = MadeUpValues::default();
        let mut admitted = |from: usize, count: usize, at: u64| {
            let at = Timestamp::from_millis(now.as_millis() + at);
            (from..from + count).filter(|value| values.admits("l", &value.to_string(), at)).count()
        };
        assert_eq!(admitted(0, 5_000, 0), MAX_NEW_VALUES);
        // Known values stay apart.
        assert_eq!(admitted(0, MAX_NEW_VALUES, 1_000), MAX_NEW_VALUES);
        assert_eq!(admitted(9_000, 1, 59_999), 0);
        assert_eq!(admitted(9_000, 1, 60_000), 1);
        for minute in 2..40 {
            admitted(minute as usize * 10_000, MAX_NEW_VALUES, minute * 60_000);
        }
        assert!(values.known.len() <= MAX_KNOWN_VALUES);
    }
}
