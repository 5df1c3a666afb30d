//! Leases: slices of budgets that this gateway holds, already debited, with an expiry, and spent
//! without a call.
//!
//! Settled amounts are reported to the ledger periodically. Amounts drawn by requests in flight are
//! neither reported nor free. When a lease closes, amounts in flight count as spent, and are
//! corrected when they are settled. The ledger therefore never returns an amount that may have been
//! spent.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;

use super::operation::{AccountBalance, BookId, Operation, Window};

/// Time after a lease's end at which its reporting task is taken for dead: a host stops tasks that
/// outlive their request too long.
const WATCHER_LOST_AFTER: Duration = Duration::from_secs(5);

/// Maximum number of reports without a draw before a lease is returned. An isolate without traffic
/// would otherwise fill the book with idle leases.
const MAX_IDLE_REPORTS: u32 = 4;

/// All leases of this gateway. An account has more than one only briefly, after concurrent requests
/// that found none.
#[derive(Debug, Default)]
pub struct Leases {
    held: BTreeMap<String, Vec<Lease>>,
}

/// A slice of one account's budget.
#[derive(Debug)]
pub struct Lease {
    /// Id of the lease, and of the reservation that acquired it.
    pub id: u64,
    /// Book of the lease's account.
    pub book_id: BookId,
    /// Window of the account's rule.
    pub window: Window,
    /// Expiry.
    pub until: Timestamp,
    /// Leased amount.
    pub amount: u64,
    /// Balance of the account when the lease was granted.
    pub balance: AccountBalance,
    settled: u64,
    in_flight: u64,
    acknowledged: u64,
    /// Whether a request has drawn from it since the last report.
    was_used: bool,
    /// Number of consecutive reports without a draw.
    idle_reports: u32,
}

impl Lease {
    /// A lease of which nothing is spent yet.
    pub fn new(
        id: u64,
        book_id: BookId,
        window: Window,
        until: Timestamp,
        amount: u64,
        balance: AccountBalance,
    ) -> Self {
        Self {
            id,
            book_id,
            window,
            until,
            amount,
            balance,
            settled: 0,
            in_flight: 0,
            acknowledged: 0,
            was_used: true,
            idle_reports: 0,
        }
    }

    fn left(&self) -> u64 {
        self.amount.saturating_sub(self.settled.saturating_add(self.in_flight))
    }
}

/// An amount drawn from a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Id of the lease.
    pub id: u64,
    /// Last balance of the account that this gateway has received.
    pub balance: AccountBalance,
}

impl Leases {
    /// Draws from a lease of an account; `None` if no lease of this window has enough left.
    pub fn draw(
        &mut self,
        account: &str,
        window: Window,
        amount: u64,
        now: Timestamp,
    ) -> Option<Drawn> {
        let leases = self.held.get_mut(account)?;
        let fits = |lease: &&mut Lease| {
            lease.window == window && now < lease.until && lease.left() >= amount
        };
        let lease = leases.iter_mut().find(fits)?;
        lease.in_flight += amount;
        lease.was_used = true;
        let balance = AccountBalance {
            used: lease.balance.used.saturating_sub(lease.left()),
            ..lease.balance
        };
        Some(Drawn { id: lease.id, balance })
    }

    /// Adds a lease and draws from it at once. Returns final reports for overdue leases of the
    /// account that were never closed.
    pub fn add(
        &mut self,
        account: String,
        lease: Lease,
        drawn: u64,
        now: Timestamp,
    ) -> Vec<(BookId, Operation)> {
        let leases = self.held.entry(account.clone()).or_default();
        let overdue = leases.extract_if(.., |lease| lease.until + WATCHER_LOST_AFTER < now);
        let closed = |lease: Lease| (lease.book_id.clone(), lease.report(account.clone(), true));
        let closed = overdue.map(closed).collect();
        leases.push(Lease { in_flight: drawn, ..lease });
        closed
    }

    /// Settles a drawn amount. `false` if the lease is closed and the difference must be corrected.
    #[must_use]
    pub fn settle(&mut self, account: &str, id: u64, drawn: u64, spent: u64) -> bool {
        let Some(lease) = self.find_lease(account, id) else { return false };
        lease.in_flight = lease.in_flight.saturating_sub(drawn);
        lease.settled = lease.settled.saturating_add(spent);
        true
    }

    /// The report that is due for a lease; `None` if nothing changed or the lease is closed. A
    /// lease closes when it expires, when it is idle, or when another lease of the account has more
    /// left: one is enough.
    pub fn report(&mut self, account: &str, id: u64, now: Timestamp) -> Option<Operation> {
        let leases = self.held.get_mut(account)?;
        let at = leases.iter().position(|lease| lease.id == id)?;
        let lease = &mut leases[at];
        let is_used = std::mem::take(&mut lease.was_used) || lease.in_flight > 0;
        lease.idle_reports = if is_used { 0 } else { lease.idle_reports + 1 };
        let lease = &leases[at];
        let holds_more = |other: &Lease| (other.left(), other.id) > (lease.left(), lease.id);
        if now >= lease.until
            || lease.idle_reports >= MAX_IDLE_REPORTS
            || leases.iter().any(holds_more)
        {
            let closed = leases.swap_remove(at);
            if leases.is_empty() {
                self.held.remove(account);
            }
            return Some(closed.report(account.to_owned(), true));
        }
        (lease.settled != lease.acknowledged).then(|| lease.report(account.to_owned(), false))
    }

    /// Records the used amount that the ledger has confirmed.
    pub fn acknowledge(&mut self, account: &str, id: u64, used: u64) {
        if let Some(lease) = self.find_lease(account, id) {
            lease.acknowledged = used;
        }
    }

    /// The book and the expiry of a lease; `None` if it is closed.
    pub fn location(&self, account: &str, id: u64) -> Option<(BookId, Timestamp)> {
        let lease = self.held.get(account)?.iter().find(|lease| lease.id == id)?;
        Some((lease.book_id.clone(), lease.until))
    }

    fn find_lease(&mut self, account: &str, id: u64) -> Option<&mut Lease> {
        self.held.get_mut(account)?.iter_mut().find(|lease| lease.id == id)
    }
}

impl Lease {
    fn report(&self, account: String, close: bool) -> Operation {
        let in_flight = if close { self.in_flight } else { 0 };
        let used = self.settled.saturating_add(in_flight);
        let (id, window, acknowledged) = (self.id, self.window, self.acknowledged);
        Operation::Report { id, account, window, used, acknowledged, close }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;

    use crate::{AccountBalance, Book, BookId, Hold, LedgerReply, Operation, Rule, Window};

    use super::{Lease, Leases};

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const LATER: Timestamp = Timestamp::from_millis(9_000);
    const RULE: Rule = Rule { max: 800, window: Window::Total };

    fn book_with_lease() -> (Book, Leases) {
        let (mut book, mut leases) = (Book::default(), Leases::default());
        let hold =
            Hold { account: "a".to_owned(), rule: RULE, min: 10, want: 10, slice: Some(LATER) };
        let reserve = Operation::Reserve { id: 1, until: LATER, holds: vec![hold] };
        let LedgerReply::Granted(grants) = book.apply(NOW, &reserve) else { panic!("it is empty") };
        assert!(grants[0].leased);
        let book_id = BookId::new("p".to_owned());
        let lease =
            Lease::new(1, book_id, Window::Total, LATER, grants[0].amount, grants[0].balance);
        assert!(leases.add("a".to_owned(), lease, 10, NOW).is_empty());
        (book, leases)
    }

    fn used(book: &mut Book) -> AccountBalance {
        let read = Operation::Read { accounts: vec![("a".to_owned(), RULE)] };
        match book.apply(NOW, &read) {
            LedgerReply::Balances(balances) => balances[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lease_is_drawn_reported_and_closed() {
        let (mut book, mut leases) = book_with_lease();
        let drawn = leases.draw("a", Window::Total, 60, NOW).expect("100 were leased");
        assert_eq!(drawn.balance.used, 70);
        assert_eq!(leases.draw("a", Window::Total, 31, NOW), None);
        assert_eq!(leases.draw("a", Window::Total, 1, LATER), None, "it expired");
        assert_eq!(leases.draw("a", Window::Sliding(5), 1, NOW), None, "another window");
        assert_eq!(leases.report("a", 1, NOW), None, "nothing is settled");
        assert!(leases.settle("a", 1, 60, 20));
        let report = leases.report("a", 1, NOW).expect("an amount was settled");
        book.apply(NOW, &report);
        leases.acknowledge("a", 1, 20);
        assert_eq!(leases.report("a", 1, NOW), None);
        assert_eq!((used(&mut book).used, used(&mut book).held), (100, 80));
        // Amounts in flight count as spent at the close, and are corrected afterwards.
        let close = leases.report("a", 1, LATER).expect("it is open");
        book.apply(NOW, &close);
        assert_eq!(used(&mut book).used, 30);
        assert!(!leases.settle("a", 1, 10, 4));
        let correct = Operation::Correct {
            id: 9,
            account: "a".to_owned(),
            window: Window::Total,
            began: NOW,
            change: -6,
        };
        book.apply(NOW, &correct);
        assert_eq!(used(&mut book).used, 24);
    }

    #[test]
    fn idle_lease_is_closed() {
        let (mut book, mut leases) = book_with_lease();
        assert!(leases.settle("a", 1, 10, 7));
        let report_amounts = |leases: &mut Leases| match leases.report("a", 1, NOW) {
            Some(Operation::Report { used, close, .. }) => {
                leases.acknowledge("a", 1, used);
                Some((used, close))
            }
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        assert_eq!(report_amounts(&mut leases), Some((7, false)));
        for _ in 0..3 {
            assert_eq!(report_amounts(&mut leases), None);
        }
        leases.draw("a", Window::Total, 5, NOW).expect("93 are left");
        for _ in 0..9 {
            assert_eq!(report_amounts(&mut leases), None, "it is in use");
        }
        assert!(leases.settle("a", 1, 5, 5));
        assert_eq!(report_amounts(&mut leases), Some((12, false)));
        assert_eq!((report_amounts(&mut leases), report_amounts(&mut leases)), (None, None));
        let close = leases.report("a", 1, NOW).expect("it is idle");
        book.apply(NOW, &close);
        assert_eq!(
            (leases.location("a", 1), used(&mut book).used, used(&mut book).held),
            (None, 12, 0)
        );
    }

    #[test]
    fn overdue_lease_is_closed_by_the_next_one() {
        let (mut book, mut leases) = book_with_lease();
        let (book_id, late) = (BookId::new("p".to_owned()), LATER + Duration::from_secs(6));
        let next = Lease::new(2, book_id, Window::Total, late, 50, used(&mut book));
        let closed = leases.add("a".to_owned(), next, 5, late);
        assert!(matches!(
            closed[..],
            [(_, Operation::Report { id: 1, used: 10, close: true, .. })]
        ));
        assert_eq!(leases.location("a", 1), None);
    }

    #[test]
    fn only_the_largest_of_several_leases_stays() {
        let (mut book, mut leases) = book_with_lease();
        let book_id = BookId::new("p".to_owned());
        let next = Lease::new(2, book_id, Window::Total, LATER, 50, used(&mut book));
        assert!(leases.add("a".to_owned(), next, 5, NOW).is_empty());
        assert_eq!(leases.draw("a", Window::Total, 90, NOW).map(|drawn| drawn.id), Some(1));
        assert_eq!(leases.draw("a", Window::Total, 45, NOW).map(|drawn| drawn.id), Some(2));
        assert!(leases.settle("a", 2, 45, 0));
        let close = leases.report("a", 1, NOW).expect("the other one has more left");
        assert!(matches!(close, Operation::Report { id: 1, used: 100, close: true, .. }));
        assert_eq!(leases.report("a", 2, NOW), None);
        assert_eq!((leases.location("a", 1), leases.location("a", 2).is_some()), (None, true));
    }
}
