//! What a gateway knows of budgets between requests: the slices that it holds, and what it counts by
//! itself while the ledger is away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::ledger::{Book, Leases, Operation, Place, Reply};
use crate::outage::Outage;
use crate::platform::Platform;
use crate::time::Timestamp;

use super::notary;

/// A place that did not answer is left alone for so long: not every request should wait for it.
const AWAY: Duration = Duration::from_secs(2);
/// How often what no longer counts is forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// How often the ledger is told what was spent of a lease: what a gateway that is killed can forget.
const REPORT: Duration = Duration::from_millis(500);

/// What is known of budgets.
#[derive(Debug, Default)]
pub struct Budgets {
    pub(super) leases: RefCell<Leases>,
    alone: RefCell<Alone>,
}

#[derive(Debug, Default)]
struct Alone {
    /// What this gateway counts by itself.
    book: Book,
    /// Until when a place is left alone.
    away: BTreeMap<Place, Timestamp>,
    swept: Timestamp,
}

impl Budgets {
    /// Asks the ledger, unless it has just been seen to be away.
    pub(super) async fn ask<P: Platform>(
        &self,
        platform: &P,
        place: &Place,
        operation: &Operation,
    ) -> Result<Reply, Outage> {
        let now = platform.now();
        if self.alone.borrow().away.get(place).is_some_and(|until| now < *until) {
            return Err(Outage::new("the ledger has been away a moment ago"));
        }
        let reply = notary::ask(platform, place, operation).await;
        if reply.is_err() {
            let until = platform.now() + AWAY;
            self.alone.borrow_mut().away.insert(place.clone(), until);
        }
        reply
    }

    /// Does what the ledger would do, by this gateway's own count.
    pub(super) fn count_alone(&self, now: Timestamp, operation: &Operation) -> Reply {
        let alone = &mut *self.alone.borrow_mut();
        if now.since(alone.swept) >= SWEEP {
            alone.swept = now;
            alone.book.sweep(now);
            alone.away.retain(|_, until| *until > now);
        }
        let reply = alone.book.apply(now, operation);
        // Nobody keeps this book, so that nobody asks what has changed in it.
        drop(alone.book.take_changes());
        reply
    }

    /// Tells the ledger what is spent of a lease until its end, and gives back the rest.
    pub(super) fn watch<P: Platform>(self: &Rc<Self>, platform: &P, account: String, id: u64) {
        let (budgets, host) = (Rc::clone(self), platform.clone());
        platform.defer(async move {
            loop {
                let Some((place, until)) = budgets.leases.borrow().of(&account, id) else {
                    return;
                };
                let left = until.since(host.now());
                host.sleep(REPORT.min(left)).await;
                let report = budgets.leases.borrow_mut().report(&account, id, host.now());
                let Some(operation) = report else { continue };
                if notary::say(&host, &place, &operation).await
                    && let Operation::Report { used, .. } = operation
                {
                    budgets.leases.borrow_mut().acknowledge(&account, id, used);
                }
            }
        });
    }
}
