//! Recent refusals: a caller that keeps asking beyond its limit is refused from memory, so that it
//! cannot load the ledger that others share.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use ledger::{BookId, Denied, Hold};

/// Time for which a refusal of the ledger is repeated. It bounds the delay of an adjustment.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The same while amounts of the account are reserved: they may return at any moment, but not ten times a
/// second for a caller whose every request is refused.
const MAX_AGE_WHILE_RESERVED: Duration = Duration::from_millis(100);
/// Refusals in a row after which they are repeated from memory. Fewer cost the ledger little, and a
/// balance that was just raised is seen at once.
const MIN_REFUSALS: u32 = 8;
/// Accounts that are remembered.
const MAX_ACCOUNTS: usize = 1_000;

/// Refusals of accounts, by book and account.
#[derive(Debug, Default)]
pub(crate) struct RecentRefusals {
    by_account: BTreeMap<(BookId, String), Refused>,
}

#[derive(Debug)]
struct Refused {
    /// The hold that was denied.
    hold: Hold,
    denied: Denied,
    at: Timestamp,
    until: Timestamp,
    in_a_row: u32,
}

impl RecentRefusals {
    /// Records a refusal of the ledger.
    pub(super) fn record(
        &mut self,
        book_id: &BookId,
        holds: &[Hold],
        denied: &Denied,
        now: Timestamp,
    ) {
        let found = holds.get(denied.hold).zip(denied.balances.get(denied.hold));
        let Some((hold, balance)) = found else { return };
        if holds.len() != denied.balances.len() {
            return;
        }
        let max_age = if balance.held > 0 { MAX_AGE_WHILE_RESERVED } else { MAX_AGE };
        let age = denied.wait.map_or(max_age, |millis| max_age.min(Duration::from_millis(millis)));
        let key = (book_id.clone(), hold.account.clone());
        if !self.by_account.contains_key(&key) && self.by_account.len() >= MAX_ACCOUNTS {
            self.by_account.retain(|_, refused| now < refused.until);
            if self.by_account.len() >= MAX_ACCOUNTS {
                return;
            }
        }
        let before = self.by_account.get(&key);
        let in_a_row =
            before.filter(|it| now.since(it.at) < MAX_AGE * 2).map_or(0, |it| it.in_a_row);
        let (hold, denied) = (hold.clone(), denied.clone());
        let refused = Refused { hold, denied, at: now, until: now + age, in_a_row: in_a_row + 1 };
        self.by_account.insert(key, refused);
    }

    /// The refusal of an operation that needs no less than one that was just refused. Whatever the
    /// ledger has granted meanwhile, it has not become more.
    pub(super) fn repeat(
        &self,
        book_id: &BookId,
        holds: &[Hold],
        now: Timestamp,
    ) -> Option<Denied> {
        // The common case: nothing was refused lately.
        if self.by_account.is_empty() {
            return None;
        }
        holds.iter().enumerate().find_map(|(position, hold)| {
            let refused = self.by_account.get(&(book_id.clone(), hold.account.clone()))?;
            let is_same = refused.denied.balances.len() == holds.len()
                && refused.denied.hold == position
                && refused.hold.rule == hold.rule
                && refused.hold.min <= hold.min;
            if !is_same || refused.in_a_row < MIN_REFUSALS || now >= refused.until {
                return None;
            }
            let passed = u64::try_from(now.since(refused.at).as_millis()).unwrap_or(u64::MAX);
            // A greater amount takes at least as long.
            let wait = refused.denied.wait.map(|wait| wait.saturating_sub(passed).max(1));
            Some(Denied { wait, ..refused.denied.clone() })
        })
    }

    /// Forgets the refusals of a book after a call that was not refused.
    pub(super) fn forget(&mut self, book_id: &BookId, holds: &[Hold]) {
        if self.by_account.is_empty() {
            return;
        }
        for hold in holds {
            self.by_account.remove(&(book_id.clone(), hold.account.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use ledger::{AccountBalance, BookId, Denied, Hold, Rule, Window};

    use super::{MAX_ACCOUNTS, MIN_REFUSALS, RecentRefusals};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn hold(account: &str, min: u64) -> Hold {
        let rule = Rule { max: 10, window: Window::Sliding(60_000) };
        Hold { account: account.to_owned(), rule, min, want: min, slice: None }
    }

    fn denied(held: u64, wait: Option<u64>) -> Denied {
        let balance = AccountBalance { max: 10, used: 10, held, resets: Some(60_000) };
        Denied { hold: 0, wait, balances: vec![balance] }
    }

    fn later(millis: u64) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() + millis)
    }

    #[test]
    fn refusal_is_repeated_only_under_load() {
        let (book, mut refusals) =
            (BookId::new("consumer:a".to_owned()), RecentRefusals::default());
        let holds = [hold("l:tokens:a", 5)];
        for _ in 1..MIN_REFUSALS {
            refusals.record(&book, &holds, &denied(0, Some(30_000)), NOW);
            assert!(refusals.repeat(&book, &holds, NOW).is_none());
        }
        refusals.record(&book, &holds, &denied(0, Some(30_000)), NOW);
        let repeated = refusals.repeat(&book, &holds, later(400)).expect("it is remembered");
        assert_eq!(repeated.wait, Some(29_600));
        assert!(refusals.repeat(&book, &[hold("l:tokens:a", 9)], NOW).is_some());
        assert!(refusals.repeat(&book, &[hold("l:tokens:a", 4)], NOW).is_none());
        assert!(refusals.repeat(&book, &[hold("l:tokens:b", 5)], NOW).is_none());
        let changed = Hold { rule: Rule { max: 99, ..holds[0].rule }, ..holds[0].clone() };
        assert!(refusals.repeat(&book, &[changed], NOW).is_none());
        assert!(refusals.repeat(&book, &holds, later(1_000)).is_none());
        refusals.forget(&book, &holds);
        assert!(refusals.repeat(&book, &holds, NOW).is_none());
    }

    #[test]
    fn refusal_that_may_end_earlier_is_repeated_for_a_moment() {
        let (book, mut refusals) =
            (BookId::new("consumer:a".to_owned()), RecentRefusals::default());
        let holds = [hold("l:tokens:a", 5)];
        for _ in 0..MIN_REFUSALS * 2 {
            refusals.record(&book, &holds, &denied(1, Some(30_000)), NOW);
        }
        assert!(refusals.repeat(&book, &holds, later(99)).is_some());
        assert!(refusals.repeat(&book, &holds, later(100)).is_none(), "it may have returned");
        for _ in 0..MIN_REFUSALS {
            refusals.record(&book, &holds, &denied(0, Some(20)), NOW);
        }
        assert!(refusals.repeat(&book, &holds, later(19)).is_some());
        assert!(refusals.repeat(&book, &holds, later(20)).is_none());
    }

    #[test]
    fn remembered_accounts_are_bounded() {
        let (book, mut refusals) =
            (BookId::new("consumer:a".to_owned()), RecentRefusals::default());
        for number in 0..MAX_ACCOUNTS * 2 {
            let holds = [hold(&format!("l:tokens:{number}"), 5)];
            refusals.record(&book, &holds, &denied(0, None), NOW);
        }
        assert_eq!(refusals.by_account.len(), MAX_ACCOUNTS);
    }
}
