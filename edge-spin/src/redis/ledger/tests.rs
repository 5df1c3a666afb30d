//! Chains of operations against a server in memory, which executes scripts in the order of their calls and
//! replies one turn later.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use civil_time::Timestamp;
use futures_util::future::join_all;
use gateway::host::Clock;
use gateway::host::error::HostError;
use ledger::{
    BookId, Charge, Hold, LedgerReply, NewLogLines, Operation, Rule, UsageRow, UsageTotals, Window,
};

use crate::commit::tests::{book_id, run};

use super::{
    BookServer, Change, EXPIRY_MARGIN, MAX_IDLE_HEADS, MAX_TRIES, RedisLedger, Swapped,
    TOKEN_BYTES, Token,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HOUR_MILLIS: u64 = 3_600_000;

type Stored = BTreeMap<String, (Vec<u8>, Option<Duration>)>;

/// A machine's view of the server.
#[derive(Clone, Default)]
struct Machine {
    stored: Rc<RefCell<Stored>>,
    entropy: Rc<Cell<u64>>,
    scripts: Rc<Cell<usize>>,
    /// Whether the server replies to nothing more.
    is_gone: Rc<Cell<bool>>,
    /// Whether another machine writes before each script.
    is_raced: Rc<Cell<bool>>,
}

impl Machine {
    fn value(&self, book_id: &BookId) -> Option<Vec<u8>> {
        self.stored.borrow().get(book_id.as_str()).map(|(value, _)| value.clone())
    }

    fn execute(&self, book_id: &BookId, expected: Option<Token>, change: &Change) -> Swapped {
        self.scripts.set(self.scripts.get() + 1);
        let stored = self.value(book_id);
        let found = stored.as_ref().map(|stored| &stored[..stored.len().min(TOKEN_BYTES)]);
        if found != expected.as_ref().map(Token::as_slice) {
            return Swapped::Conflict(stored);
        }
        let mut all = self.stored.borrow_mut();
        match change {
            Change::None => {}
            Change::Delete => drop(all.remove(book_id.as_str())),
            Change::Set(value, ttl) => {
                all.insert(book_id.as_str().to_owned(), (value.clone(), *ttl));
            }
        }
        Swapped::Done
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn entropy(&self) -> u64 {
        self.entropy.set(self.entropy.get() + 1);
        self.entropy.get()
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }
}

impl BookServer for Machine {
    async fn swap(
        &self,
        book_id: &BookId,
        expected: Option<Token>,
        change: Change,
    ) -> Result<Swapped, HostError> {
        if self.is_gone.get() {
            return Err(HostError::new("gone"));
        }
        if self.is_raced.get() {
            let foreign = Machine { is_raced: Rc::default(), ..self.clone() };
            run(RedisLedger::default().apply(
                &foreign,
                &foreign,
                book_id,
                &reserve(self.entropy(), 1, 1_000),
            ))
            .expect("the other machine writes");
        }
        let swapped = self.execute(book_id, expected, &change);
        let mut is_second_poll = false;
        poll_fn(|_| {
            if std::mem::replace(&mut is_second_poll, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Ok(swapped)
    }
}

/// Polls all futures in turn until they complete. `join_all` of many futures polls only woken ones.
fn run_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let all: Vec<_> = futures
        .into_iter()
        .map(|future| {
            let mut future = Box::pin(future);
            poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                future.as_mut().poll(cx)
            })
        })
        .collect();
    run(join_all(all))
}

fn reserve_within(window: Window, id: u64, want: u64, max: u64) -> Operation {
    let rule = Rule { max, window };
    let hold = Hold { account: "account".to_owned(), rule, min: want, want, slice: None };
    Operation::Reserve { id, until: NOW + Duration::from_secs(60), holds: vec![hold] }
}

fn reserve(id: u64, want: u64, max: u64) -> Operation {
    reserve_within(Window::Total, id, want, max)
}

fn settle(id: u64, amount: u64) -> Operation {
    let charge = Charge { account: "account".to_owned(), window: Window::Total, amount };
    Operation::Settle { id, until: NOW + Duration::from_secs(60), charges: vec![charge] }
}

/// The used amount of the account, read by another instance.
#[track_caller]
fn used(machine: &Machine) -> u64 {
    let rule = Rule { max: 1_000, window: Window::Total };
    let read = Operation::Read { accounts: vec![("account".to_owned(), rule)] };
    match run(RedisLedger::default().apply(machine, machine, &book_id(), &read)) {
        Ok(LedgerReply::Balances(balances)) => balances[0].used,
        other => panic!("reading failed: {other:?}"),
    }
}

fn granted(replies: &[Result<LedgerReply, HostError>]) -> usize {
    replies.iter().filter(|reply| matches!(reply, Ok(LedgerReply::Granted(_)))).count()
}

#[test]
fn concurrent_operations_are_one_chain_of_scripts() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    let operations: Vec<_> = (0..16).map(|id| reserve(id, 1, 10)).collect();
    let all = operations.iter().map(|operation| ledger.apply(&machine, &machine, &id, operation));
    let replies = run_all(all.collect());
    assert_eq!((granted(&replies), machine.scripts.get()), (10, 16));
    assert_eq!(used(&machine), 10);
}

#[test]
fn two_machines_together_grant_exactly_the_maximum() {
    let (machine, id) = (Machine::default(), book_id());
    let ledgers = [RedisLedger::default(), RedisLedger::default()];
    let operations: Vec<_> = (0..200).map(|id| reserve(id, 1, 20)).collect();
    let all = operations
        .iter()
        .enumerate()
        .map(|(at, operation)| ledgers[at / 3 % 2].apply(&machine, &machine, &id, operation));
    let replies = run_all(all.collect());
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    assert_eq!((granted(&replies), used(&machine)), (20, 20));
}

#[test]
fn settlements_of_two_machines_are_each_counted_once() {
    let (machine, id) = (Machine::default(), book_id());
    let ledgers = [RedisLedger::default(), RedisLedger::default()];
    let reserves: Vec<_> = (0..40).map(|id| reserve(id, 5, 1_000)).collect();
    let settles: Vec<_> = (0..40).map(|id| settle(id, 2)).collect();
    for operations in [&reserves, &settles] {
        let all = operations
            .iter()
            .enumerate()
            .map(|(at, operation)| ledgers[at % 2].apply(&machine, &machine, &id, operation));
        assert!(run_all(all.collect()).iter().all(Result::is_ok));
    }
    assert_eq!(used(&machine), 80);
    // The first instance repeats its settlements: its reply was lost.
    for operation in &settles {
        run(ledgers[0].apply(&machine, &machine, &id, operation)).expect("repeating is no failure");
    }
    assert_eq!(used(&machine), 80);
}

#[test]
fn refusal_is_confirmed_by_the_server() {
    let (machine, id) = (Machine::default(), book_id());
    let (one, other) = (RedisLedger::default(), RedisLedger::default());
    run(one.apply(&machine, &machine, &id, &reserve(1, 10, 10))).expect("it is granted");
    run(other.apply(&machine, &machine, &id, &settle(1, 2))).expect("it is settled");
    // The first instance still remembers a full account.
    let reply = run(one.apply(&machine, &machine, &id, &reserve(2, 8, 10)));
    assert!(matches!(reply, Ok(LedgerReply::Granted(_))), "{reply:?}");
}

#[test]
fn hang_up_in_the_middle_of_a_chain_loses_only_its_own_operation() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    let operations: Vec<_> = (0..4).map(|id| reserve(id, 1, 10)).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Box::pin(ledger.apply(&machine, &machine, &id, &operations[0]));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    // Its script was never sent: the head is ahead of the server.
    machine.stored.borrow_mut().clear();
    drop(first);
    let all =
        operations[1..].iter().map(|operation| ledger.apply(&machine, &machine, &id, operation));
    assert_eq!(granted(&run_all(all.collect())), 3);
    assert_eq!(used(&machine), 3);
}

#[test]
fn failure_forgets_the_head() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    run(ledger.apply(&machine, &machine, &id, &reserve(1, 1, 10))).expect("it is granted");
    machine.is_gone.set(true);
    assert!(run(ledger.apply(&machine, &machine, &id, &reserve(2, 1, 10))).is_err());
    machine.is_gone.set(false);
    assert!(run(ledger.apply(&machine, &machine, &id, &reserve(3, 1, 10))).is_ok());
    assert_eq!(used(&machine), 2);
}

#[test]
fn server_without_its_data_starts_from_nothing() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    run(ledger.apply(&machine, &machine, &id, &reserve(1, 5, 10))).expect("it is granted");
    machine.stored.borrow_mut().clear();
    run(ledger.apply(&machine, &machine, &id, &reserve(2, 1, 10))).expect("it is granted");
    assert_eq!(used(&machine), 1);
}

#[test]
fn endless_conflicts_fail_and_write_nothing() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    machine.is_raced.set(true);
    let error = run(ledger.apply(&machine, &machine, &id, &reserve(0, 500, 1_000)))
        .expect_err("never first");
    assert!(error.reason().contains("too many conflicts"), "{error}");
    machine.is_raced.set(false);
    assert_eq!(used(&machine), u64::from(MAX_TRIES));
}

#[test]
fn book_that_ends_by_itself_has_a_time_to_live() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    let ttl = |operation| {
        run(ledger.apply(&machine, &machine, &id, &operation)).expect("it is applied");
        machine.stored.borrow().get(id.as_str()).map(|(_, ttl)| *ttl)
    };
    let day = Window::Fixed(NOW, NOW + Duration::from_millis(24 * HOUR_MILLIS));
    let expected = Duration::from_millis(24 * HOUR_MILLIS) + EXPIRY_MARGIN;
    assert_eq!(ttl(reserve_within(day, 1, 1, 10)), Some(Some(expected)));
    let usage = UsageRow {
        key: "row".to_owned(),
        until: NOW + Duration::from_millis(48 * HOUR_MILLIS),
        totals: UsageTotals::default(),
    };
    let expected = Duration::from_millis(48 * HOUR_MILLIS) + EXPIRY_MARGIN;
    assert_eq!(
        ttl(Operation::AddUsage {
            id: 1,
            bounds: None,
            rows: vec![usage],
            log: NewLogLines::default()
        }),
        Some(Some(expected))
    );
    let text = "text".to_owned();
    assert_eq!(ttl(Operation::Exchange { register: "r".to_owned(), after: 0, text }), Some(None));
}

#[test]
fn empty_book_is_deleted() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    run(ledger.apply(&machine, &machine, &id, &settle(9, 0))).expect("nothing to settle");
    assert_eq!(machine.value(&id), None);
    run(ledger.apply(&machine, &machine, &id, &reserve(1, 5, 10))).expect("it is granted");
    assert!(machine.value(&id).is_some());
    run(ledger.apply(&machine, &machine, &id, &settle(1, 0))).expect("it is returned");
    assert_eq!(machine.value(&id), None);
}

#[test]
fn corrupt_book_is_an_error_and_stays() {
    let (machine, ledger, id) = (Machine::default(), RedisLedger::default(), book_id());
    for value in [&b"short"[..], b"0123456789abcdef{\"account\":"] {
        machine.stored.borrow_mut().insert(id.as_str().to_owned(), (value.to_vec(), None));
        let error =
            run(ledger.apply(&machine, &machine, &id, &reserve(1, 1, 10))).expect_err("no book");
        assert!(error.reason().starts_with("corrupt ledger book test"), "{error}");
        assert_eq!(machine.value(&id).as_deref(), Some(value));
    }
}

#[test]
fn heads_without_operations_in_flight_are_bounded() {
    let (machine, ledger) = (Machine::default(), RedisLedger::default());
    for number in 0..1_000 {
        let id = BookId::new(format!("book-{number}"));
        run(ledger.apply(&machine, &machine, &id, &reserve(number, 1, 10))).expect("it is granted");
        assert!(ledger.heads.borrow().len() <= MAX_IDLE_HEADS + 1);
    }
}
