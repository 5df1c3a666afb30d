//! What a gateway knows of budgets between requests: the slices that it holds, and what it counts by
//! itself while the ledger is away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use ledger::{Book, BookId, Leases, LedgerReply, Operation};

use crate::host::Host;
use crate::host::error::HostError;

use super::ledger_client;

/// A place that did not answer is left alone for so long: not every request should wait for it.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(2);
/// How often what no longer counts is forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How often the ledger is told what was spent of a lease: what a gateway that is killed can forget.
const LEASE_REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// What is known of budgets.
#[derive(Debug, Default)]
pub struct LimiterState {
    pub(crate) leases: RefCell<Leases>,
    local: RefCell<LocalFallback>,
}

#[derive(Debug, Default)]
struct LocalFallback {
    /// What this gateway counts by itself.
    book: Book,
    /// Until when a place is left alone.
    unavailable_until: BTreeMap<BookId, Timestamp>,
    swept_at: Timestamp,
}

impl LimiterState {
    /// Asks the ledger, unless it has just been seen to be away.
    pub(crate) async fn call_ledger<P: Host>(
        &self,
        host: &P,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let now = host.now();
        if self.local.borrow().unavailable_until.get(book_id).is_some_and(|until| now < *until) {
            return Err(HostError::new("the ledger has been away a moment ago"));
        }
        let reply = ledger_client::call(host, book_id, operation).await;
        if reply.is_err() {
            let until = host.now() + UNAVAILABLE_FOR;
            self.local.borrow_mut().unavailable_until.insert(book_id.clone(), until);
        }
        reply
    }

    /// Does what the ledger would do, by this gateway's own count.
    pub(crate) fn apply_locally(&self, now: Timestamp, operation: &Operation) -> LedgerReply {
        let alone = &mut *self.local.borrow_mut();
        if now.since(alone.swept_at) >= SWEEP_INTERVAL {
            alone.swept_at = now;
            alone.book.sweep(now);
            alone.unavailable_until.retain(|_, until| *until > now);
        }
        let reply = alone.book.apply(now, operation);
        // Nobody keeps this book, so that nobody asks what has changed in it.
        drop(alone.book.take_changes());
        reply
    }

    /// Tells the ledger what is spent of a lease until its end, and gives back the rest.
    pub(crate) fn report_lease<P: Host>(self: &Rc<Self>, host: &P, account: String, id: u64) {
        let (budgets, task_host) = (Rc::clone(self), host.clone());
        host.defer(async move {
            loop {
                let Some((book_id, until)) = budgets.leases.borrow().location(&account, id) else {
                    return;
                };
                let left = until.since(task_host.now());
                task_host.sleep(LEASE_REPORT_INTERVAL.min(left)).await;
                let report = budgets.leases.borrow_mut().report(&account, id, task_host.now());
                let Some(operation) = report else { continue };
                if ledger_client::call_with_retries(&task_host, &book_id, &operation).await
                    && let Operation::Report { used, .. } = operation
                {
                    budgets.leases.borrow_mut().acknowledge(&account, id, used);
                }
            }
        });
    }
}
