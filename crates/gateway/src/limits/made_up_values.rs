//! Values that callers make up: headers, query parameters, and cookies select accounts, and each
//! account is stored. Beyond a rate of new values, the rest share one account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use civil_time::Timestamp;
use config::By;

use super::matching::MatchedLimit;

/// Period in which new values are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// New values of one limit in one period.
const MAX_NEW_VALUES: usize = 1_000;
/// Values that are known, in each of two generations.
const MAX_KNOWN_VALUES: usize = 10_000;

/// Beginning of the values of the accounts that all values beyond the bound share, 256 of each limit. No
/// other stored value begins with `~~`.
pub(super) const OTHER_VALUE: &str = "~~other-";

/// Values of the last time, as their account selects them.
#[derive(Debug, Default)]
pub(crate) struct MadeUpValues {
    known: BTreeSet<(String, String)>,
    /// Values that were known before `known` was full.
    known_before: BTreeSet<(String, String)>,
    /// New values of this period by limit.
    new: BTreeMap<String, usize>,
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
            if !is_made_up {
                continue;
            }
            let digest = super::matching::digest(&one.value);
            // The digest begins with `~`; two hexadecimal digits follow.
            let shared = format!("{OTHER_VALUE}{}", &digest[1..3]);
            if !self.admits(&one.limit.id, digest, now) {
                one.value = shared;
            }
        }
    }

    fn admits(&mut self, limit: &str, digest: String, now: Timestamp) -> bool {
        if now.since(self.since) >= PERIOD {
            self.since = now;
            self.new.clear();
        }
        let key = (limit.to_owned(), digest);
        if self.known.contains(&key) {
            return true;
        }
        if !self.known_before.remove(&key) {
            let new = self.new.entry(limit.to_owned()).or_default();
            if *new >= MAX_NEW_VALUES {
                return false;
            }
            *new += 1;
        }
        if self.known.len() >= MAX_KNOWN_VALUES {
            self.known_before = std::mem::take(&mut self.known);
        }
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
            (from..from + count).filter(|value| values.admits("l", value.to_string(), at)).count()
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
        assert!(values.known_before.len() <= MAX_KNOWN_VALUES);
    }

    #[test]
    fn limits_are_bounded_apart_and_recent_values_stay_known() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut values = MadeUpValues::default();
        for value in 0..5_000 {
            values.admits("one", value.to_string(), now);
        }
        assert!(values.admits("two", "0".to_owned(), now), "another limit's values are its own");
        assert!(!values.admits("one", "4999".to_owned(), now));
        for minute in 1..=10 {
            let at = Timestamp::from_millis(now.as_millis() + minute * 60_000);
            assert!(values.admits("one", "0".to_owned(), at), "a value in use stays known");
            for value in 0..MAX_NEW_VALUES {
                values.admits("one", format!("{minute}-{value}"), at);
            }
            assert!(values.admits("one", "0".to_owned(), at));
        }
    }
}
