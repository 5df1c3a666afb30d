//! Stored form of a book: rows of accounts, and registers.

use rollout::{Check, Plan, Report, RolloutOperation, RolloutReply};

use super::{HOUR, at, balance, hold, reserve, rule};
use crate::{BalanceChange, Book, LedgerReply, Operation, Register, Window};

#[test]
fn book_is_stored_row_by_row() {
    let mut book = Book::default();
    let rule = rule(10, Window::Sliding(1_000));
    reserve(&mut book, 0, 1, 5_000, vec![hold("a", rule, 4), hold("b", rule, 4)]);
    let rows = book.take_changes();
    assert_eq!(rows.len(), 2);
    assert!(book.take_changes().is_empty());
    let stored =
        rows.iter().map(|(name, row)| (name.clone(), row.as_deref().expect("no row was removed")));
    let mut restored = Book::from_rows(stored).expect("stored bytes are valid");
    assert_eq!(balance(&mut restored, 0, rule).used, 4);
    assert_eq!(restored.next_sweep(), Some(at(1_020)));
    restored.sweep(at(5_000));
    assert!(restored.is_empty());
    let removed = restored.take_changes();
    assert!(removed.iter().all(|(_, row)| row.is_none()) && removed.len() == 2, "{removed:?}");
    assert!(Book::from_rows([("a".to_owned(), &b"{"[..])]).is_err());
}

#[test]
fn register_is_replaced_only_by_a_writer_with_its_number() {
    let mut book = Book::default();
    let mut exchange = |after, text: &str| {
        let operation =
            Operation::Exchange { register: "r".to_owned(), after, text: text.to_owned() };
        match book.apply(at(0), &operation) {
            LedgerReply::Register(register) => (register.number, register.text),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(exchange(1, "early"), (0, String::new()));
    assert_eq!(exchange(0, "one"), (1, "one".to_owned()));
    assert_eq!(exchange(0, "other"), (1, "one".to_owned()), "another writer was first");
    assert_eq!(exchange(1, "two"), (2, "two".to_owned()));
    assert_eq!(exchange(1, "two"), (2, "two".to_owned()), "repeating it has no effect");
    // It outlives sweeps, the host, and an account of the same name.
    reserve(&mut book, 0, 1, HOUR, vec![hold("r", rule(5, Window::Total), 1)]);
    book.sweep(at(1_000 * HOUR));
    let mut book = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
    let read = Operation::ReadRegister { register: "r".to_owned() };
    let two = Register { number: 2, text: "two".to_owned() };
    assert_eq!(book.apply(at(1_000 * HOUR), &read), LedgerReply::Register(two));
    assert!(book.take_changes().is_empty(), "reading changes nothing");
    let nothing = book.apply(at(0), &Operation::ReadRegister { register: "other".to_owned() });
    assert_eq!(nothing, LedgerReply::Register(Register::default()));
}

#[test]
fn rollout_is_a_row_that_stays() {
    let plan = Plan {
        target: "b/c".to_owned(),
        steps: vec![1, 100],
        hold_ms: 1,
        hold_requests: 1,
        unit: "request".to_owned(),
        draws_requests: true,
        alpha_millionths: 50_000,
        checks: vec![Check {
            name: "errors".to_owned(),
            quantile: None,
            max_ratio_thousandths: 2_000,
        }],
        promotes_undecided: false,
        max_ms: HOUR,
    };
    let read = Operation::Rollout(Box::new(RolloutOperation::Read { plan: plan.clone() }));
    let mut book = Book::default();
    book.apply(at(0), &read);
    assert!(read.is_read_only() && book.is_empty(), "reading starts nothing");
    let report = RolloutOperation::Report { plan, report: Report::default() };
    let report = Operation::Rollout(Box::new(report));
    assert!(!report.is_read_only());
    let reply = book.apply(at(0), &report);
    assert!(matches!(reply, LedgerReply::Rollout(RolloutReply::InForce(_))), "{reply:?}");
    reserve(&mut book, 0, 1, 5_000, vec![hold("a", rule(10, Window::Sliding(1_000)), 4)]);
    book.sweep(at(1_000 * HOUR));
    assert_eq!((book.next_sweep(), book.ends_at()), (None, None));
    let rows = book.take_changes();
    let stored = rows.iter().filter_map(|(name, row)| Some((name.clone(), row.as_deref()?)));
    let mut restored = Book::from_rows(stored).expect("stored bytes are valid");
    let state = |book: &mut Book| book.apply(at(0), &read);
    assert_eq!(state(&mut restored), state(&mut book));
    assert_eq!(restored.to_bytes(), book.to_bytes());
}

#[test]
fn adjustment_stored_by_an_earlier_version_is_read() {
    let stored = br#"{"a":{"account":{"spent":{"total":3},"extra":5}}}"#;
    let mut book = Book::from_bytes(stored).expect("stored bytes are valid");
    let balance = balance(&mut book, 0, rule(10, Window::Total));
    assert_eq!((balance.max, balance.used), (15, 3));
    assert_eq!(book.to_bytes(), stored);
}

#[test]
fn book_ends_when_its_last_amount_does() {
    let ends_at = |window, until| {
        let mut book = Book::default();
        reserve(&mut book, 0, 1, until, vec![hold("a", rule(10, window), 4)]);
        let end = book.ends_at()?;
        let mut later = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
        later.sweep(end);
        assert!(later.is_empty());
        Some(end)
    };
    assert_eq!(ends_at(Window::Sliding(1_000), 5_000), Some(at(5_000)));
    assert_eq!(ends_at(Window::Sliding(10_000), 5_000), Some(at(10_200)));
    assert_eq!(ends_at(Window::Fixed(at(0), at(HOUR)), 5_000), Some(at(HOUR)));
    assert_eq!(ends_at(Window::Total, 5_000), None);
    assert!(Book::default().ends_at().is_some_and(|end| end <= at(0)));
}

#[test]
fn book_with_a_register_or_an_adjustment_does_not_end() {
    let rule = rule(10, Window::Sliding(1_000));
    let account = "a".to_owned();
    let adjust = Operation::Adjust { account, rule, change: BalanceChange::By(1), until: None };
    let text = "one".to_owned();
    let exchange = Operation::Exchange { register: "r".to_owned(), after: 0, text };
    for operation in [adjust, exchange] {
        let mut book = Book::default();
        reserve(&mut book, 0, 1, 5_000, vec![hold("b", rule, 4)]);
        book.apply(at(0), &operation);
        assert_eq!(book.ends_at(), None);
    }
}
