//! How the ledger is spoken to: in bounded time before an answer, and as often as it takes after it.

use std::time::Duration;

use ledger::{BookId, LedgerReply, Operation};

use crate::host::Host;
use crate::host::error::HostError;
use crate::host::futures::{join_all, until_timer};

/// How long a ledger may take to answer before it counts as away.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often something is said that nobody confirms, and the wait before the second time; it doubles.
const MAX_TRIES: u32 = 5;
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
/// A lease is not drawn from in its last moments: the ledger's clock may be ahead of ours, and what
/// was spent must reach it before it takes the lease back.
pub(crate) const LEASE_SAFETY_MARGIN: Duration = Duration::from_secs(1);
/// Asks a ledger, and waits for its answer.
pub(crate) async fn call<P: Host>(
    host: &P,
    book_id: &BookId,
    operation: &Operation,
) -> Result<LedgerReply, HostError> {
    until_timer(host.apply(book_id, operation), host.sleep(LEDGER_TIMEOUT))
        .await
        .unwrap_or_else(|| Err(HostError::new("the ledger did not answer in time")))
}

/// Tells ledgers something, beside the answer and until they have confirmed it.
pub(crate) fn call_in_background<P: Host>(host: &P, told: Vec<(BookId, Operation)>) {
    let task_host = host.clone();
    host.defer(async move {
        let told = told.into_iter().map(|(book_id, operation)| {
            let task_host = task_host.clone();
            async move { call_with_retries(&task_host, &book_id, &operation).await }
        });
        join_all(told.collect()).await;
    });
}

/// Says something until it is confirmed, within bounds. What is lost then returns by its expiry.
pub(crate) async fn call_with_retries<P: Host>(
    host: &P,
    book_id: &BookId,
    operation: &Operation,
) -> bool {
    for attempt in 0..MAX_TRIES {
        if attempt > 0 {
            host.sleep(INITIAL_BACKOFF * (1 << (attempt - 1))).await;
        }
        if call(host, book_id, operation).await.is_ok() {
            return true;
        }
    }
    false
}
