//! Commits operations of one instance that wait for the same book together: sixteen concurrent requests
//! are one compare-and-swap, not sixteen that conflict.
//!
//! Every waiting request can commit for all, and checks again by its own timer. No request wakes
//! another, since the SDK cannot do that across requests. So none is stuck if the one that was about to
//! commit is dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gateway::host::Clock;
use gateway::host::error::HostError;
use ledger::{BookId, LedgerReply, Operation};

use crate::commit::{CasStore, Commit, commit, too_many_conflicts};
use crate::host_turn::yield_once;

/// Attempts before an operation fails, in about 1.5 seconds.
const MAX_TRIES: u32 = 64;

/// Bound on the backoff: up to 1 ms before the second attempt, doubled up to this many times.
const MAX_BACKOFF_DOUBLINGS: u32 = 5;

/// Time for which an operation that no request waits for is held for the commit of another one.
const MAX_DEFERRAL: Duration = Duration::from_millis(100);

/// Pending operations by book.
#[derive(Default)]
pub(crate) struct CommitQueue {
    waiting: RefCell<BTreeMap<BookId, Vec<Rc<PendingOperation>>>>,
}

struct PendingOperation {
    operation: Operation,
    reply: RefCell<Option<Result<LedgerReply, HostError>>>,
}

impl CommitQueue {
    /// Applies an operation, together with others that wait for the same book. If the future is dropped
    /// before that, the operation is never applied.
    pub(crate) async fn apply<H: CasStore + Clock>(
        &self,
        host: &H,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        let entry = self.join(book_id, operation);
        let reply = self.wait_or_commit(host, book_id, entry).await;
        yield_once().await;
        reply
    }

    async fn wait_or_commit<H: CasStore + Clock>(
        &self,
        host: &H,
        book_id: &BookId,
        entry: QueueEntry<'_>,
    ) -> Result<LedgerReply, HostError> {
        if is_deferrable(&entry.waiting.operation) {
            // The next request's reservation takes it along.
            host.sleep(MAX_DEFERRAL).await;
        } else {
            // Other ready requests join before the first one commits for all.
            yield_once().await;
        }
        for attempt in 0..MAX_TRIES {
            if attempt > 0 {
                host.sleep(backoff(attempt, host.entropy())).await;
            }
            if let Some(reply) = entry.reply() {
                return reply;
            }
            let claimed = self.commit(host, book_id);
            if let Some(reply) = entry.reply() {
                return reply;
            }
            if claimed && attempt + 1 == MAX_TRIES {
                // The claimant has not created the book in all this time: it must have crashed.
                host.release(book_id)?;
            }
        }
        Err(too_many_conflicts(book_id))
    }

    /// Commits all pending operations of a book; returns whether another writer has claimed the book.
    fn commit<H: CasStore + Clock>(&self, host: &H, book_id: &BookId) -> bool {
        let Some(waiting) = self.waiting.borrow_mut().remove(book_id) else { return false };
        let operations: Vec<&Operation> = waiting.iter().map(|one| &one.operation).collect();
        let outcome = commit(host, book_id, host.now(), &operations);
        let answers: Vec<Result<LedgerReply, HostError>> = match outcome {
            Ok(Commit::Done(replies)) => replies.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); waiting.len()],
            Ok(outcome @ (Commit::Conflict | Commit::Claimed)) => {
                self.waiting.borrow_mut().entry(book_id.clone()).or_default().splice(..0, waiting);
                return outcome == Commit::Claimed;
            }
        };
        for (one, answer) in waiting.iter().zip(answers) {
            one.reply.replace(Some(answer));
        }
        false
    }

    fn join<'a>(&'a self, book_id: &'a BookId, operation: &Operation) -> QueueEntry<'a> {
        let waiting =
            Rc::new(PendingOperation { operation: operation.clone(), reply: RefCell::default() });
        let mut all = self.waiting.borrow_mut();
        all.entry(book_id.clone()).or_default().push(Rc::clone(&waiting));
        QueueEntry { queue: self, book_id, waiting }
    }
}

/// An entry in the queue, removed when it is dropped.
struct QueueEntry<'a> {
    queue: &'a CommitQueue,
    book_id: &'a BookId,
    waiting: Rc<PendingOperation>,
}

impl QueueEntry<'_> {
    fn reply(&self) -> Option<Result<LedgerReply, HostError>> {
        self.waiting.reply.take()
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        let mut all = self.queue.waiting.borrow_mut();
        if let Some(entries) = all.get_mut(self.book_id) {
            entries.retain(|one| !Rc::ptr_eq(one, &self.waiting));
            if entries.is_empty() {
                all.remove(self.book_id);
            }
        }
    }
}

/// Whether no request waits for the operation. The return of a whole reservation is urgent: a request that
/// another limit refuses must not take the place of others.
fn is_deferrable(operation: &Operation) -> bool {
    match operation {
        Operation::Settle { charges, .. } => charges.iter().any(|charge| charge.amount > 0),
        Operation::Correct { .. } | Operation::AddUsage { .. } => true,
        Operation::Reserve { .. }
        | Operation::Report { .. }
        | Operation::Adjust { .. }
        | Operation::Exchange { .. }
        | Operation::Read { .. }
        | Operation::ReadUsage
        | Operation::ReadLog(_)
        | Operation::ReadRegister { .. }
        | Operation::Rollout(_) => false,
    }
}

/// Backoff between half and all of a growing time, so that the same writers do not conflict again.
pub(crate) fn backoff(attempt: u32, entropy: u64) -> Duration {
    let whole = 1_000 << attempt.saturating_sub(1).min(MAX_BACKOFF_DOUBLINGS);
    Duration::from_micros(whole / 2 + entropy % (whole / 2 + 1))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use civil_time::Timestamp;
    use futures_util::future::join_all;
    use gateway::host::Clock;
    use gateway::host::error::HostError;
    use ledger::{BookId, Charge, LedgerReply, NewLogLines, Operation, Window};

    use crate::commit::tests::{Memory, NOW, Seen, book_id, reserve, run, used};
    use crate::commit::{CasStore, Swap};

    use super::{CommitQueue, MAX_DEFERRAL, MAX_TRIES, backoff};

    /// A store with a constant clock.
    #[derive(Default)]
    struct Host {
        memory: Memory,
        slept: Cell<Duration>,
        /// Timers do not fire.
        is_asleep: Cell<bool>,
    }

    impl Clock for Host {
        fn now(&self) -> Timestamp {
            NOW
        }

        fn entropy(&self) -> u64 {
            7
        }

        fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
            self.slept.set(self.slept.get() + duration);
            let is_asleep = self.is_asleep.get();
            poll_fn(move |_| if is_asleep { Poll::Pending } else { Poll::Ready(()) })
        }
    }

    impl CasStore for Host {
        type Cell = Seen;

        fn peek(&self, book_id: &BookId) -> Result<Option<Vec<u8>>, HostError> {
            self.memory.peek(book_id)
        }

        fn begin(&self, book_id: &BookId) -> Result<Seen, HostError> {
            self.memory.begin(book_id)
        }

        fn current(&self, cell: &Seen) -> Result<Option<Vec<u8>>, HostError> {
            self.memory.current(cell)
        }

        fn swap(&self, cell: Seen, value: &[u8]) -> Result<Swap<Seen>, HostError> {
            self.memory.swap(cell, value)
        }

        fn claim(&self, book_id: &BookId) -> Result<bool, HostError> {
            self.memory.claim(book_id)
        }

        fn release(&self, book_id: &BookId) -> Result<(), HostError> {
            self.memory.release(book_id)
        }
    }

    #[test]
    fn concurrent_operations_share_one_swap() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        let operations: Vec<_> = (0..16).map(|id| reserve(id, 1, 10)).collect();
        let all = operations.iter().map(|operation| queue.apply(&host, &book_id, operation));
        let replies = run(join_all(all));
        let granted = replies.iter().filter(|reply| matches!(reply, Ok(LedgerReply::Granted(_))));
        assert_eq!(granted.count(), 10);
        assert_eq!((host.memory.swaps.get(), used(&host.memory)), (1, 10));
        assert!(queue.waiting.borrow().is_empty());
    }

    #[test]
    fn settlement_shares_the_next_commit() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        assert!(run(queue.apply(&host, &book_id, &reserve(1, 5, 10))).is_ok());
        host.is_asleep.set(true);
        let charge = Charge { account: "account".to_owned(), window: Window::Total, amount: 2 };
        let until = Timestamp::from_millis(u64::MAX);
        let settlement = Operation::Settle { id: 1, until, charges: vec![charge] };
        let mut settle = pin!(queue.apply(&host, &book_id, &settlement));
        assert!(settle.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(host.memory.swaps.get(), 1, "nobody waits for it");
        // 2 of 10 are used as soon as it is applied, so 8 are left.
        let reply = run(queue.apply(&host, &book_id, &reserve(2, 8, 10)));
        assert!(matches!(reply, Ok(LedgerReply::Granted(_))), "{reply:?}");
        assert_eq!(host.memory.swaps.get(), 2);
    }

    #[test]
    fn returned_reservation_is_committed_at_once() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        assert!(run(queue.apply(&host, &book_id, &reserve(1, 10, 10))).is_ok());
        host.is_asleep.set(true);
        let charge = Charge { account: "account".to_owned(), window: Window::Total, amount: 0 };
        let until = Timestamp::from_millis(u64::MAX);
        let returned = Operation::Settle { id: 1, until, charges: vec![charge] };
        assert!(run(queue.apply(&host, &book_id, &returned)).is_ok());
        assert_eq!(used(&host.memory), 0);
    }

    #[test]
    fn settlement_without_another_commit_is_applied_after_its_delay() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        let nothing = Operation::AddUsage {
            id: 0,
            bounds: None,
            rows: Vec::new(),
            log: NewLogLines::default(),
        };
        assert!(run(queue.apply(&host, &book_id, &nothing)).is_ok());
        assert_eq!(host.slept.get(), MAX_DEFERRAL);
        assert!(queue.waiting.borrow().is_empty());
    }

    #[test]
    fn operation_after_conflicts_is_retried() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        host.memory.set(&book_id, b"{}");
        host.memory.overtaken.set(20);
        let reply = run(queue.apply(&host, &book_id, &reserve(1, 1, 1_000)));
        assert!(matches!(reply, Ok(LedgerReply::Granted(_))));
        assert_eq!(used(&host.memory), 21);
        assert!(host.slept.get() > Duration::ZERO);
    }

    #[test]
    fn operation_with_endless_conflicts_fails() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        host.memory.set(&book_id, b"{}");
        host.memory.overtaken.set(usize::MAX);
        let reply = run(queue.apply(&host, &book_id, &reserve(1, 500, 1_000)));
        assert_eq!(
            reply,
            Err(HostError::new("commit to ledger book test failed: too many conflicts"))
        );
        assert!(host.slept.get() < Duration::from_secs(2), "{:?}", host.slept.get());
        assert!(queue.waiting.borrow().is_empty());
    }

    #[test]
    fn stale_claim_is_released() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        assert_eq!(host.claim(&book_id), Ok(true));
        let operation = reserve(1, 1, 10);
        assert!(run(queue.apply(&host, &book_id, &operation)).is_err());
        assert!(matches!(
            run(queue.apply(&host, &book_id, &operation)),
            Ok(LedgerReply::Granted(_))
        ));
    }

    #[test]
    fn dropped_operation_is_not_applied() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        let (gone, stays) = (reserve(1, 1, 10), reserve(2, 1, 10));
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = pin!(queue.apply(&host, &book_id, &stays));
        assert!(stays.as_mut().poll(&mut cx).is_pending());
        {
            let mut gone = pin!(queue.apply(&host, &book_id, &gone));
            assert!(gone.as_mut().poll(&mut cx).is_pending());
        }
        assert!(matches!(run(stays), Ok(LedgerReply::Granted(_))));
        assert_eq!(used(&host.memory), 1);
    }

    #[test]
    fn corrupt_book_fails_every_waiting_operation() {
        let (queue, host, book_id) = (CommitQueue::default(), Host::default(), book_id());
        host.memory.set(&book_id, b"no book");
        let (one, other) = (reserve(1, 1, 10), reserve(2, 1, 10));
        let all = [&one, &other].map(|operation| queue.apply(&host, &book_id, operation));
        assert!(run(join_all(all)).iter().all(Result::is_err));
        assert_eq!(host.memory.value(&book_id).as_deref(), Some(b"no book".as_slice()));
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        for attempt in 1..MAX_TRIES {
            let whole = Duration::from_millis(1 << (attempt - 1).min(5));
            for entropy in [0, 499, 500, 12_345, u64::MAX] {
                let pause = backoff(attempt, entropy);
                assert!(whole / 2 <= pause && pause <= whole, "{attempt}: {pause:?}");
            }
        }
    }
}
