//! Cost of the ledger's own code per operation, without a host, next to a minimal counter.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use civil_time::Timestamp;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ledger::{Book, Charge, Hold, LedgerReply, Operation, Rule, Window};

/// A minute of 50 slots, or an unlimited period.
#[derive(Clone, Copy)]
enum Kind {
    Sliding,
    Total,
}

/// A kind of account, and the number of other accounts in the book.
#[derive(Clone, Copy)]
struct BookSize(Kind, usize);

const BOOK_SIZES: [BookSize; 4] = [
    BookSize(Kind::Sliding, 1),
    BookSize(Kind::Sliding, 100),
    BookSize(Kind::Total, 1),
    BookSize(Kind::Total, 100),
];
const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MINUTE: u64 = 60_000;
const PLENTY: u64 = 1 << 52;

fn main() {
    divan::main();
}

impl Display for BookSize {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Kind::Sliding => "sliding",
            Kind::Total => "total",
        };
        write!(f, "{kind}, {} others", self.1)
    }
}

impl Kind {
    fn rule(self) -> Rule {
        let window = match self {
            Self::Sliding => Window::Sliding(MINUTE),
            Self::Total => Window::Total,
        };
        Rule { max: PLENTY, window }
    }
}

fn account(number: usize) -> String {
    format!("per-minute:tokens:consumer-{number}")
}

fn reserve(kind: Kind, account: String, id: u64, now: Timestamp) -> Operation {
    let hold = Hold { account, rule: kind.rule(), min: 1300, want: 1300, slice: None };
    Operation::Reserve { id, until: now + Duration::from_secs(660), holds: vec![hold] }
}

fn settle(kind: Kind, account: String, id: u64, now: Timestamp) -> Operation {
    let charge = Charge { account, window: kind.rule().window, amount: 300 };
    Operation::Settle { id, until: now + Duration::from_secs(660), charges: vec![charge] }
}

/// A book whose accounts were used throughout the last minute, and the time at its end.
fn used_book(kind: Kind, accounts: usize) -> (Book, Timestamp) {
    let mut book = Book::default();
    let mut now = BEGIN;
    while now.since(BEGIN) < Duration::from_millis(MINUTE) {
        for number in 0..accounts {
            let reply = book.apply(now, &reserve(kind, account(number), 1, now));
            assert!(matches!(reply, LedgerReply::Granted(_)), "{reply:?}");
            book.apply(now, &settle(kind, account(number), 1, now));
        }
        now = now + Duration::from_millis(MINUTE / 50);
    }
    (book, now)
}

/// A request's two operations on one account, with the rows to be written.
#[divan::bench(args = BOOK_SIZES)]
fn reserve_and_settle(bencher: Bencher<'_, '_>, size: BookSize) {
    let BookSize(kind, others) = size;
    let (mut book, mut now) = used_book(kind, others + 1);
    let mut id = 1;
    bencher.counter(ItemsCount::new(2usize)).bench_local(|| {
        now = now + Duration::from_millis(1);
        id += 1;
        for operation in [reserve(kind, account(0), id, now), settle(kind, account(0), id, now)] {
            black_box(book.apply(now, &operation));
            black_box(book.take_changes());
        }
    });
}

/// Baseline: two additions in a map, with a new key each as for an operation.
#[divan::bench(args = [1, 100])]
fn baseline_counter_in_a_map(bencher: Bencher<'_, '_>, others: usize) {
    let mut counts: BTreeMap<String, u64> =
        (0..=others).map(|number| (account(number), 0)).collect();
    bencher.counter(ItemsCount::new(2usize)).bench_local(|| {
        for amount in [1300, 300] {
            *black_box(&mut counts).entry(account(0)).or_default() += amount;
        }
    });
}

/// Serialization of an operation and its reply: an extra cost of a Durable Object.
#[divan::bench]
fn operation_and_reply_json(bencher: Bencher<'_, '_>) {
    let (mut book, now) = used_book(Kind::Sliding, 1);
    let operation = reserve(Kind::Sliding, account(0), 2, now);
    let reply = book.apply(now, &operation);
    bencher.bench_local(|| {
        let text = serde_json::to_vec(&operation).expect("an operation serializes");
        let read: Operation = serde_json::from_slice(&text).expect("it was serialized here");
        let answer = serde_json::to_vec(&reply).expect("a reply serializes");
        let answer: LedgerReply = serde_json::from_slice(&answer).expect("it was serialized here");
        black_box((read, answer))
    });
}

/// Reading a whole book: the first half of a compare-and-swap.
#[divan::bench(args = [1, 100])]
fn read_whole_book(bencher: Bencher<'_, '_>, accounts: usize) {
    let bytes = used_book(Kind::Sliding, accounts).0.to_bytes();
    bencher
        .counter(divan::counter::BytesCount::new(bytes.len()))
        .bench_local(|| Book::from_bytes(black_box(&bytes)).expect("it was serialized here"));
}

/// Writing a whole book: the second half of a compare-and-swap.
#[divan::bench(args = [1, 100])]
fn write_whole_book(bencher: Bencher<'_, '_>, accounts: usize) {
    let (book, _) = used_book(Kind::Sliding, accounts);
    bencher
        .counter(divan::counter::BytesCount::new(book.to_bytes().len()))
        .bench_local(|| black_box(&book).to_bytes());
}
