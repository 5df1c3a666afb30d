//! Invariants of the ledger, and a model check of small worlds.

mod accounts;
mod leases;
mod model;
mod storage;

use civil_time::Timestamp;

use super::{AccountBalance, Book, Charge, Hold, LedgerReply, Operation, Rule, Window};

const BEGINNING: u64 = 1_767_225_600_000;
const HOUR: u64 = 3_600_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(BEGINNING + millis)
}

fn rule(max: u64, window: Window) -> Rule {
    Rule { max, window }
}

fn hold(account: &str, rule: Rule, amount: u64) -> Hold {
    Hold { account: account.to_owned(), rule, min: amount, want: amount, slice: None }
}

fn reserve(book: &mut Book, now: u64, id: u64, until: u64, holds: Vec<Hold>) -> LedgerReply {
    book.apply(at(now), &Operation::Reserve { id, until: at(until), holds })
}

fn settle(book: &mut Book, now: u64, id: u64, until: u64, window: Window, amount: u64) {
    let charges = vec![Charge { account: "a".to_owned(), window, amount }];
    let reply = book.apply(at(now), &Operation::Settle { id, until: at(until), charges });
    assert_eq!(reply, LedgerReply::Done);
}

fn balance(book: &mut Book, now: u64, rule: Rule) -> AccountBalance {
    let accounts = vec![("a".to_owned(), rule)];
    match book.apply(at(now), &Operation::Read { accounts }) {
        LedgerReply::Balances(balances) => balances[0],
        other => panic!("{other:?}"),
    }
}

fn is_granted(reply: &LedgerReply) -> bool {
    matches!(reply, LedgerReply::Granted(_))
}
