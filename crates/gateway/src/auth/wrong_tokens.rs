//! Wrong tokens of operators, as this isolate remembers them. The ledger counts them for all isolates.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use civil_time::Timestamp;
use secret::KeyDigest;

use crate::fifo_cache::FifoCache;

/// Addresses, and wrong tokens, that are remembered at most.
const MAX_REMEMBERED: usize = 1_024;

/// Time for which a wrong token is not counted again: a program with an old token does not guess.
const COUNTED_FOR: Duration = Duration::from_secs(15 * 60);

/// Memory of an isolate, so that right tokens need no call of the ledger.
#[derive(Debug)]
pub(crate) struct WrongTokens {
    /// Ends of the waits of addresses that have sent too many.
    throttled: RefCell<FifoCache<String, Timestamp>>,
    /// Times at which a wrong token of an address was counted.
    counted: RefCell<FifoCache<KeyDigest, Timestamp>>,
    /// End of the wait for wrong tokens of all addresses.
    throttled_in_total: Cell<Timestamp>,
}

impl Default for WrongTokens {
    fn default() -> Self {
        Self {
            throttled: RefCell::new(FifoCache::new(MAX_REMEMBERED)),
            counted: RefCell::new(FifoCache::new(MAX_REMEMBERED)),
            throttled_in_total: Cell::default(),
        }
    }
}

impl WrongTokens {
    /// Time for which an address must wait. `None` if it may try.
    pub(crate) fn wait_of_address(&self, address: &str, now: Timestamp) -> Option<Duration> {
        let until = *self.throttled.borrow_mut().get_mut(address)?;
        Some(until.since(now)).filter(|wait| !wait.is_zero())
    }

    /// Makes an address wait.
    pub(crate) fn throttle_address(&self, address: String, until: Timestamp) {
        self.throttled.borrow_mut().insert(address, until);
    }

    /// Time for which wrong tokens are refused without a call of the ledger. `None` if they are counted.
    pub(crate) fn wait_in_total(&self, now: Timestamp) -> Option<Duration> {
        Some(self.throttled_in_total.get().since(now)).filter(|wait| !wait.is_zero())
    }

    /// Refuses wrong tokens of all addresses without a call of the ledger until then.
    pub(crate) fn throttle_in_total(&self, until: Timestamp) {
        self.throttled_in_total.set(until);
    }

    /// Whether the same wrong token of an address was counted a short time ago.
    pub(crate) fn is_counted(&self, address: &str, token: &str, now: Timestamp) -> bool {
        let name = name(address, token);
        let counted = self.counted.borrow_mut().get_mut(&name).copied();
        counted.is_some_and(|at| at <= now && now.since(at) < COUNTED_FOR)
    }

    /// Remembers a wrong token that was counted.
    pub(crate) fn note_counted(&self, address: &str, token: &str, now: Timestamp) {
        self.counted.borrow_mut().insert(name(address, token), now);
    }
}

fn name(address: &str, token: &str) -> KeyDigest {
    KeyDigest::new(&format!("{address}\n{token}"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use civil_time::Timestamp;

    use super::{COUNTED_FOR, MAX_REMEMBERED, WrongTokens};

    #[test]
    fn waits_end_and_memory_is_bounded() {
        let (wrong, start) =
            (WrongTokens::default(), Timestamp::default() + Duration::from_secs(9));
        wrong.throttle_address("a".to_owned(), start + Duration::from_secs(5));
        assert_eq!(wrong.wait_of_address("a", start), Some(Duration::from_secs(5)));
        assert_eq!(wrong.wait_of_address("b", start), None);
        assert_eq!(wrong.wait_of_address("a", start + Duration::from_secs(5)), None);
        wrong.note_counted("a", "token", start);
        assert!(wrong.is_counted("a", "token", start));
        assert!(!wrong.is_counted("b", "token", start) && !wrong.is_counted("a", "other", start));
        assert!(!wrong.is_counted("a", "token", start + COUNTED_FOR));
        for number in 0..5_000_u32 {
            let address = Ipv4Addr::from(number).to_string();
            wrong.note_counted(&address, "token", start);
            wrong.throttle_address(address, start);
        }
        assert_eq!(wrong.counted.borrow().len(), MAX_REMEMBERED);
        assert_eq!(wrong.throttled.borrow().len(), MAX_REMEMBERED);
    }
}
