//! How the ledger is spoken to: in bounded time before an answer, and as often as it takes after it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::gateway::Gateway;
use crate::ledger::{Operation, Place, Reply};
use crate::platform::{Clock, Outage, Platform};

use super::patience::race;

/// How long a ledger may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often something is said that nobody confirms, and the wait before the second time; it doubles.
const TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(200);
/// A lease is not drawn from in its last moments: the ledger's clock may be ahead of ours, and what
/// was spent must reach it before it takes the lease back.
pub(super) const MARGIN: Duration = Duration::from_secs(1);
/// How often the ledger is told what was spent of a lease: what a gateway that is killed can forget.
const REPORT: Duration = Duration::from_millis(500);

/// Asks a ledger, and waits for its answer.
pub(crate) async fn ask<P: Platform>(
    platform: &P,
    place: &Place,
    operation: &Operation,
) -> Result<Reply, Outage> {
    race(platform.apply(place, operation), platform.sleep(PATIENCE))
        .await
        .unwrap_or_else(|| Err(Outage::new("the ledger did not answer in time")))
}

/// Does something in bounded time; `None`: it took too long, and was dropped.
pub(crate) async fn within<T>(
    clock: &impl Clock,
    time: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    race(work, clock.sleep(time)).await
}

/// Tells ledgers something, beside the answer and until they have confirmed it.
pub(super) fn tell<P: Platform>(platform: &P, told: Vec<(Place, Operation)>) {
    let host = platform.clone();
    platform.defer(async move {
        let told = told.into_iter().map(|(place, operation)| {
            let host = host.clone();
            async move { say(&host, &place, &operation).await }
        });
        join(told.collect()).await;
    });
}

/// Says something until it is confirmed, within bounds. What is lost then returns by its expiry.
async fn say<P: Platform>(platform: &P, place: &Place, operation: &Operation) -> bool {
    for attempt in 0..TRIES {
        if attempt > 0 {
            platform.sleep(BACKOFF * (1 << (attempt - 1))).await;
        }
        if ask(platform, place, operation).await.is_ok() {
            return true;
        }
    }
    false
}

/// Tells the ledger what is spent of a lease until its end, and gives back the rest.
pub(super) fn watch<P: Platform>(gateway: &Rc<Gateway>, platform: &P, account: String, id: u64) {
    let (gateway, host) = (Rc::clone(gateway), platform.clone());
    platform.defer(async move {
        loop {
            let Some((place, until)) = gateway.budgets().leases.borrow().of(&account, id) else {
                return;
            };
            let left = until.since(host.now());
            host.sleep(REPORT.min(left)).await;
            let report = gateway.budgets().leases.borrow_mut().report(&account, id, host.now());
            let Some(operation) = report else { continue };
            if say(&host, &place, &operation).await
                && let Operation::Report { used, .. } = operation
            {
                gateway.budgets().leases.borrow_mut().acknowledge(&account, id, used);
            }
        }
    });
}

/// Runs futures side by side and gives their results in order.
pub(crate) async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Some(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}
