//! Limiter state between requests: leases, and local counts while the ledger is unavailable.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use civil_time::Timestamp;
use ledger::{Book, BookId, Hold, Leases, LedgerReply, Operation};

use crate::host::Host;
use crate::host::error::HostError;

use super::ledger_client;
use super::made_up_values::MadeUpValues;
use super::recent_refusals::RecentRefusals;

/// Time for which a book that did not reply is skipped: not every request should wait for it.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(2);
/// Books that are skipped at the same time.
const MAX_UNAVAILABLE: usize = 1_000;
/// Interval at which the local book removes what no longer counts.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Interval of lease reports: a gateway that is killed loses at most what it spent in this time.
const LEASE_REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// Leases and local counts of one gateway.
#[derive(Debug, Default)]
pub(crate) struct LimiterState {
    pub(crate) leases: RefCell<Leases>,
    pub(super) refusals: RefCell<RecentRefusals>,
    pub(super) made_up_values: RefCell<MadeUpValues>,
    local: RefCell<LocalFallback>,
}

#[derive(Debug, Default)]
struct LocalFallback {
    /// The counts of this gateway alone.
    book: Book,
    unavailable_until: BTreeMap<BookId, Timestamp>,
    swept_at: Timestamp,
}

impl LimiterState {
    /// Calls the ledger, unless its book was unavailable a moment ago.
    pub(crate) async fn call_ledger<P: Host>(
        &self,
        host: &P,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let now = host.now();
        if self.local.borrow().unavailable_until.get(book_id).is_some_and(|until| now < *until) {
            return Err(HostError::new("ledger call skipped: the book is cooling down"));
        }
        let reply = ledger_client::call(host, book_id, operation).await;
        if reply.is_err() {
            let now = host.now();
            let unavailable = &mut self.local.borrow_mut().unavailable_until;
            // Limits that fail closed never sweep the local book.
            if unavailable.len() >= MAX_UNAVAILABLE {
                unavailable.retain(|_, until| *until > now);
            }
            if unavailable.len() < MAX_UNAVAILABLE {
                unavailable.insert(book_id.clone(), now + UNAVAILABLE_FOR);
            }
        }
        reply
    }

    /// Reserves in the ledger, or repeats a recent refusal. The operation is returned if its book is
    /// unavailable.
    pub(super) async fn reserve<P: Host>(
        &self,
        host: &P,
        book_id: &BookId,
        (id, until): (u64, Timestamp),
        holds: Vec<Hold>,
    ) -> Result<LedgerReply, Operation> {
        let repeated = self.refusals.borrow().repeat(book_id, &holds, host.now());
        if let Some(denied) = repeated {
            return Ok(LedgerReply::Denied(denied));
        }
        let operation = Operation::Reserve { id, until, holds };
        let reply = self.call_ledger(host, book_id, &operation).await;
        if let Operation::Reserve { holds, .. } = &operation {
            let mut refusals = self.refusals.borrow_mut();
            match &reply {
                Ok(LedgerReply::Denied(denied)) => {
                    refusals.record(book_id, holds, denied, host.now());
                }
                Ok(_) | Err(_) => refusals.forget(book_id, holds),
            }
        }
        reply.map_err(|_unavailable| operation)
    }

    /// Applies an operation to the local book.
    pub(crate) fn apply_locally(&self, now: Timestamp, operation: &Operation) -> LedgerReply {
        let local = &mut *self.local.borrow_mut();
        if now.since(local.swept_at) >= SWEEP_INTERVAL {
            local.swept_at = now;
            local.book.sweep(now);
            local.unavailable_until.retain(|_, until| *until > now);
        }
        let reply = local.book.apply(now, operation);
        // The local book is not stored; its list of changes must not grow.
        drop(local.book.take_changes());
        reply
    }

    /// Reports a lease to the ledger until it ends, in the background; the last report closes it.
    pub(crate) fn report_lease<P: Host>(self: &Rc<Self>, host: &P, account: String, id: u64) {
        let (limiter_state, task_host) = (Rc::clone(self), host.clone());
        host.defer(async move {
            loop {
                let location = limiter_state.leases.borrow().location(&account, id);
                let Some((book_id, until)) = location else { return };
                let left = until.since(task_host.now());
                task_host.sleep(LEASE_REPORT_INTERVAL.min(left)).await;
                let now = task_host.now();
                let report = limiter_state.leases.borrow_mut().report(&account, id, now);
                let Some(operation) = report else { continue };
                if ledger_client::call_with_retries(&task_host, &book_id, &operation).await
                    && let Operation::Report { used, .. } = operation
                {
                    limiter_state.leases.borrow_mut().acknowledge(&account, id, used);
                }
            }
        });
    }
}
