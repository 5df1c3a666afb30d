//! Client of the ledger: one call with a timeout before an answer, several attempts after it.

use std::time::Duration;

use ledger::{BookId, LedgerReply, Operation, Register};

use crate::host::Host;
use crate::host::error::HostError;
use crate::host::futures::{join_all, timeout};

/// Timeout of one call; a slower ledger counts as unavailable.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of attempts in the background.
const MAX_TRIES: u32 = 5;
/// Wait before the second attempt; it doubles for each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
/// Time before a lease's end at which draws stop: the ledger's clock may be ahead, and spent amounts
/// must reach the ledger before it takes the lease back.
pub(crate) const LEASE_SAFETY_MARGIN: Duration = Duration::from_secs(1);

/// Applies an operation to a book, with a timeout.
pub(crate) async fn call<P: Host>(
    host: &P,
    book_id: &BookId,
    operation: &Operation,
) -> Result<LedgerReply, HostError> {
    timeout(host, LEDGER_TIMEOUT, host.apply(book_id, operation))
        .await
        .unwrap_or_else(|| Err(HostError::new("ledger call failed: timeout")))
}

/// Applies an operation to a register, which has a book of the same name.
pub(crate) async fn call_register<P: Host>(
    host: &P,
    name: &str,
    operation: &Operation,
) -> Result<Register, HostError> {
    let reply = call(host, &BookId::new(name.to_owned()), operation).await?;
    reply.into_register().ok_or_else(|| HostError::new("unexpected ledger reply"))
}

/// Applies operations in the background, books concurrently, with retries.
pub(crate) fn call_in_background<P: Host>(host: &P, operations: Vec<(BookId, Operation)>) {
    let task_host = host.clone();
    host.defer(async move {
        let calls = operations.into_iter().map(|(book_id, operation)| {
            let host = task_host.clone();
            async move { call_with_retries(&host, &book_id, &operation).await }
        });
        join_all(calls.collect()).await;
    });
}

/// Repeats an operation until it is confirmed, at most [`MAX_TRIES`] times. A settlement that is lost
/// nevertheless is replaced by the expiry of its reservation.
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
