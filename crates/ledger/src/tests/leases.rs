//! Leases: their size, reports, expiry, and repeated operations.

use super::{HOUR, at, balance, hold, reserve, rule};
use crate::{AccountBalance, Book, Hold, LedgerReply, Operation, Window};

#[test]
fn slices_shrink_to_single_reservations() {
    let mut book = Book::default();
    let rule = rule(1_000, Window::Total);
    let mut slices = Vec::new();
    for id in 0.. {
        let hold = Hold { slice: Some(at(10_000)), ..hold("a", rule, 10) };
        match reserve(&mut book, 0, id, HOUR, vec![hold]) {
            LedgerReply::Granted(grants) => slices.push((grants[0].amount, grants[0].leased)),
            LedgerReply::Denied(refused) => {
                // Reservations are settled before leases expire.
                assert_eq!(refused.wait, Some(2_000));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(slices[0], (125, true));
    assert!(slices.windows(2).all(|pair| pair[0].0 >= pair[1].0), "{slices:?}");
    assert_eq!(slices.last(), Some(&(10, false)));
    let sum: u64 = slices.iter().map(|(amount, _)| amount).sum();
    assert!((991..=1_000).contains(&sum), "{sum}");
}

#[test]
fn lease_is_debited_reported_and_returned() {
    for window in [Window::Sliding(60_000), Window::Total] {
        let rule = rule(800, window);
        let mut book = Book::default();
        let sliced = Hold { slice: Some(at(10_000)), ..hold("a", rule, 1) };
        reserve(&mut book, 0, 7, HOUR, vec![sliced]);
        assert_eq!(balance(&mut book, 0, rule).used, 100);
        let report = |book: &mut Book, now, used, acknowledged, close| {
            let account = "a".to_owned();
            let operation = Operation::Report { id: 7, account, window, used, acknowledged, close };
            book.apply(at(now), &operation);
        };
        report(&mut book, 100, 30, 0, false);
        assert_eq!(balance(&mut book, 100, rule).used, 100);
        // The first report's reply was lost: the report is repeated.
        report(&mut book, 101, 30, 0, false);
        assert_eq!(
            balance(&mut book, 101, rule),
            AccountBalance {
                max: 800,
                used: 100,
                held: 70,
                resets: balance(&mut book, 101, rule).resets
            }
        );
        report(&mut book, 200, 20, 30, false);
        let mut restored = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
        assert_eq!(balance(&mut restored, 10_000, rule).used, 20, "the rest returned at expiry");
        report(&mut book, 300, 45, 20, true);
        assert_eq!(balance(&mut book, 300, rule).used, 45);
    }
}

#[test]
fn repeated_report_and_correction_count_once() {
    for window in [Window::Sliding(60_000), Window::Total] {
        let rule = rule(800, window);
        let mut book = Book::default();
        let account = || "a".to_owned();
        reserve(
            &mut book,
            0,
            7,
            HOUR,
            vec![Hold { slice: Some(at(10_000)), ..hold("a", rule, 1) }],
        );
        let close = Operation::Report {
            id: 7,
            account: account(),
            window,
            used: 60,
            acknowledged: 0,
            close: true,
        };
        let (began, change) = (at(0), -20);
        let correct = Operation::Correct { id: 8, account: account(), window, began, change };
        for _ in 0..3 {
            book.apply(at(100), &close);
            book = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
        }
        assert_eq!(balance(&mut book, 100, rule).used, 60);
        (0..3).for_each(|_| drop(book.apply(at(200), &correct)));
        assert_eq!(balance(&mut book, 200, rule).used, 40);
        // A lease that expired before its first report.
        reserve(
            &mut book,
            0,
            9,
            HOUR,
            vec![Hold { slice: Some(at(10_000)), ..hold("a", rule, 1) }],
        );
        for (used, acknowledged) in [(30, 0), (30, 0), (45, 30), (45, 30), (45, 0)] {
            let report = Operation::Report {
                id: 9,
                account: account(),
                window,
                used,
                acknowledged,
                close: false,
            };
            book.apply(at(10_001), &report);
        }
        assert_eq!(balance(&mut book, 10_001, rule).used, 85);
    }
}

#[test]
fn processed_operations_are_forgotten() {
    let mut book = Book::default();
    let (account, window) = ("a".to_owned(), Window::Total);
    for id in 0..1_000 {
        let (account, began) = (account.clone(), at(0));
        book.apply(at(0), &Operation::Correct { id, account, window, began, change: 1 });
    }
    assert!(book.to_bytes().len() < 8_000, "{}", book.to_bytes().len());
    book.apply(
        at(0),
        &Operation::Correct { id: 9_999, account, window, began: at(0), change: -1_000 },
    );
    book.sweep(at(61_000));
    assert!(book.is_empty(), "{book:?}");
}
