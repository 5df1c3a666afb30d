//! Reservations and settlements of one account: limits, windows, and clocks that jump.

use super::{HOUR, at, balance, hold, is_granted, reserve, rule, settle};
use crate::{BalanceChange, Book, Hold, LedgerReply, Operation, Window};

#[test]
fn burst_is_admitted_up_to_the_maximum() {
    let mut book = Book::default();
    let rule = rule(20, Window::Sliding(60_000));
    let admitted = (0..500)
        .filter(|id| is_granted(&reserve(&mut book, 5, *id, HOUR, vec![hold("a", rule, 1)])))
        .count();
    assert_eq!(admitted, 20);
    // Spent amounts leave the window at most one slot late, and never early.
    assert_eq!(balance(&mut book, 60_000, rule).used, 20);
    let LedgerReply::Denied(refused) =
        reserve(&mut book, 60_000, 900, HOUR, vec![hold("a", rule, 1)])
    else {
        panic!("the account is full")
    };
    let wait = refused.wait.expect("the window moves");
    assert!((1..=1_200).contains(&wait), "{wait}");
    for id in 0..20 {
        settle(&mut book, 60_001, id, HOUR, rule.window, 1);
    }
    assert!(is_granted(&reserve(&mut book, 60_000 + wait, 901, HOUR, vec![hold("a", rule, 1)])));
}

#[test]
fn reserve_grants_all_holds_or_none() {
    let mut book = Book::default();
    let (wide, narrow) = (rule(10, Window::Total), rule(1, Window::Total));
    let both = |amount| vec![hold("a", wide, amount), hold("b", narrow, amount)];
    assert!(is_granted(&reserve(&mut book, 0, 1, HOUR, both(1))));
    let LedgerReply::Denied(refused) = reserve(&mut book, 0, 2, HOUR, both(1)) else {
        panic!("the second account is empty")
    };
    assert_eq!((refused.hold, refused.wait), (1, Some(2_000)));
    assert_eq!(balance(&mut book, 0, wide).used, 1);
}

#[test]
fn settlement_returns_the_rest_and_charges_the_excess() {
    for window in [Window::Sliding(60_000), Window::Fixed(at(0), at(HOUR)), Window::Total] {
        let rule = rule(100, window);
        let mut book = Book::default();
        reserve(&mut book, 0, 1, HOUR, vec![hold("a", rule, 60)]);
        reserve(&mut book, 0, 2, HOUR, vec![hold("a", rule, 40)]);
        assert_eq!(balance(&mut book, 0, rule).left(), 0);
        settle(&mut book, 10, 1, HOUR, window, 5);
        assert_eq!(balance(&mut book, 10, rule).used, 45);
        settle(&mut book, 10, 2, HOUR, window, 70);
        assert_eq!(balance(&mut book, 10, rule).used, 75);
        // Repeating it changes nothing.
        settle(&mut book, 10, 2, HOUR, window, 70);
        assert_eq!(balance(&mut book, 10, rule).used, 75);
    }
}

#[test]
fn wait_for_reserved_amounts_is_short() {
    let wait = |window, settled: Option<u64>, amount| {
        let mut book = Book::default();
        let rule = rule(3_000, window);
        reserve(&mut book, 0, 1, HOUR, vec![hold("a", rule, 2_700)]);
        if let Some(spent) = settled {
            settle(&mut book, 400, 1, HOUR, window, spent);
        }
        match reserve(&mut book, 500, 2, HOUR, vec![hold("a", rule, amount)]) {
            LedgerReply::Denied(denied) => denied.wait,
            other => panic!("{other:?}"),
        }
    };
    let day = Window::Fixed(at(0), at(HOUR));
    for window in [Window::Sliding(60_000), day, Window::Total] {
        assert_eq!(wait(window, None, 2_700), Some(2_000), "{window:?}");
        assert_eq!(wait(window, None, 3_001), None, "{window:?}");
    }
    let sliding = wait(Window::Sliding(60_000), Some(2_700), 2_700).expect("the window moves");
    assert!((59_500..=60_700).contains(&sliding), "{sliding}");
    assert_eq!(wait(day, Some(2_700), 2_700), Some(HOUR - 500));
    assert_eq!(wait(Window::Total, Some(2_700), 2_700), None);
}

#[test]
fn unsettled_reservation_returns_at_expiry() {
    let mut book = Book::default();
    let rule = rule(10, Window::Total);
    reserve(&mut book, 0, 1, 500, vec![hold("a", rule, 10)]);
    let LedgerReply::Denied(refused) = reserve(&mut book, 100, 2, HOUR, vec![hold("a", rule, 1)])
    else {
        panic!("all is reserved")
    };
    assert_eq!(refused.wait, Some(400), "it expires before the usual wait");
    assert_eq!(balance(&mut book, 499, rule).held, 10);
    assert_eq!(balance(&mut book, 500, rule).used, 0);
    // The gateway was alive after all: its spent amount is charged now.
    settle(&mut book, 600, 1, 500, Window::Total, 7);
    assert_eq!(balance(&mut book, 600, rule).used, 7);
}

#[test]
fn hard_hold_takes_what_is_left() {
    let mut book = Book::default();
    let rule = rule(100, Window::Total);
    let hard = |min, want| vec![Hold { min, ..hold("a", rule, want) }];
    let amount = |reply: LedgerReply| match reply {
        LedgerReply::Granted(grants) => Some(grants[0].amount),
        _ => None,
    };
    assert_eq!(amount(reserve(&mut book, 0, 1, HOUR, hard(10, 70))), Some(70));
    assert_eq!(amount(reserve(&mut book, 0, 2, HOUR, hard(10, 70))), Some(30));
    assert_eq!(amount(reserve(&mut book, 0, 3, HOUR, hard(10, 70))), None);
}

#[test]
fn ended_calendar_day_does_not_come_back() {
    let mut book = Book::default();
    let today = rule(5, Window::Fixed(at(0), at(1_000)));
    let tomorrow = rule(5, Window::Fixed(at(1_000), at(2_000)));
    reserve(&mut book, 0, 1, HOUR, vec![hold("a", today, 5)]);
    assert!(!is_granted(&reserve(&mut book, 999, 2, HOUR, vec![hold("a", today, 1)])));
    assert!(is_granted(&reserve(&mut book, 1_000, 3, HOUR, vec![hold("a", tomorrow, 2)])));
    // A gateway whose clock is behind counts in the new day.
    assert!(is_granted(&reserve(&mut book, 1_001, 4, HOUR, vec![hold("a", today, 3)])));
    assert!(!is_granted(&reserve(&mut book, 1_002, 5, HOUR, vec![hold("a", today, 1)])));
    // A refund for yesterday does not add to today's budget.
    settle(&mut book, 1_003, 1, HOUR, today.window, 0);
    assert_eq!(balance(&mut book, 1_003, tomorrow).used, 5);
}

#[test]
fn jumping_clock_loses_nothing_and_blocks_for_one_window() {
    let mut book = Book::default();
    let rule = rule(10, Window::Sliding(1_000));
    reserve(&mut book, 86_400_000, 1, 2 * 86_400_000, vec![hold("a", rule, 10)]);
    assert!(!is_granted(&reserve(&mut book, 0, 2, HOUR, vec![hold("a", rule, 1)])));
    assert!(is_granted(&reserve(&mut book, 1_040, 3, HOUR, vec![hold("a", rule, 1)])));
}

#[test]
fn adjust_changes_what_is_left() {
    let mut book = Book::default();
    let rule = rule(100, Window::Total);
    reserve(&mut book, 0, 1, HOUR, vec![hold("a", rule, 90)]);
    let adjust = |book: &mut Book, change| {
        let account = "a".to_owned();
        match book.apply(at(0), &Operation::Adjust { account, rule, change, until: None }) {
            LedgerReply::Balances(balances) => balances[0].left(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(adjust(&mut book, BalanceChange::Left(50)), 50);
    assert_eq!(adjust(&mut book, BalanceChange::By(-20)), 30);
    assert_eq!(adjust(&mut book, BalanceChange::By(-100)), 0);
    assert_eq!(adjust(&mut book, BalanceChange::Left(0)), 0);
    assert_eq!(adjust(&mut book, BalanceChange::By(5)), 5);
}

/// Adjusts the account `a`; returns its maximum before and after.
fn adjust_until(
    book: &mut Book,
    now: u64,
    rule: crate::Rule,
    change: BalanceChange,
    until: Option<u64>,
) -> (u64, u64) {
    let account = "a".to_owned();
    let operation = Operation::Adjust { account, rule, change, until: until.map(at) };
    match book.apply(at(now), &operation) {
        LedgerReply::Balances(balances) => (balances[1].max, balances[0].max),
        other => panic!("{other:?}"),
    }
}

#[test]
fn finding_8_temporary_adjustment_ends_with_its_period() {
    const DAY: u64 = 24 * HOUR;
    let today = rule(20, Window::Fixed(at(0), at(DAY)));
    let tomorrow = rule(20, Window::Fixed(at(DAY), at(2 * DAY)));
    let mut book = Book::default();
    reserve(&mut book, 0, 1, HOUR, vec![hold("a", today, 15)]);
    assert_eq!(adjust_until(&mut book, 1, today, BalanceChange::By(5), Some(DAY)), (20, 25));
    assert_eq!(adjust_until(&mut book, 1, today, BalanceChange::By(2), None), (25, 27));
    // `left` counts what was adjusted before.
    assert_eq!(adjust_until(&mut book, 2, today, BalanceChange::Left(0), Some(DAY)), (27, 15));
    assert_eq!(balance(&mut book, 3, today).left(), 0);
    let mut book = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
    assert_eq!(balance(&mut book, DAY - 1, today).max, 15);
    assert_eq!(balance(&mut book, DAY, tomorrow).max, 22, "only the permanent part is left");
    // The opposite adjustment leaves nothing.
    assert_eq!(adjust_until(&mut book, DAY, tomorrow, BalanceChange::By(-2), None), (22, 20));
    assert!(book.is_empty());
    // An adjustment with an end does not keep the book.
    adjust_until(&mut book, DAY, tomorrow, BalanceChange::By(5), Some(2 * DAY));
    assert_eq!(book.ends_at(), Some(at(2 * DAY)));
    book.sweep(at(2 * DAY));
    assert!(book.is_empty());
}

#[test]
fn denied_reservation_waits_for_the_end_of_a_lowered_maximum() {
    let rule = rule(20, Window::Total);
    let mut book = Book::default();
    reserve(&mut book, 0, 1, HOUR, vec![hold("a", rule, 10)]);
    assert_eq!(adjust_until(&mut book, 0, rule, BalanceChange::Left(0), Some(5_000)), (20, 10));
    let operation = Operation::Reserve { id: 2, until: at(HOUR), holds: vec![hold("a", rule, 3)] };
    match book.apply(at(1_000), &operation) {
        LedgerReply::Denied(denied) => assert_eq!(denied.wait, Some(2_000), "a retry, as always"),
        other => panic!("{other:?}"),
    }
    let operation = Operation::Reserve { id: 2, until: at(HOUR), holds: vec![hold("a", rule, 11)] };
    match book.apply(at(1_000), &operation) {
        LedgerReply::Denied(denied) => assert_eq!(denied.wait, Some(4_000)),
        other => panic!("{other:?}"),
    }
    reserve(&mut book, 5_000, 3, HOUR, vec![hold("a", rule, 10)]);
}

#[test]
fn adjustments_with_different_ends_are_bounded() {
    let rule = rule(20, Window::Total);
    let mut book = Book::default();
    for until in 1..=32 {
        adjust_until(&mut book, 0, rule, BalanceChange::By(1), Some(until));
    }
    let change = BalanceChange::By(1);
    let adjust = |until| Operation::Adjust { account: "a".to_owned(), rule, change, until };
    assert!(matches!(book.apply(at(0), &adjust(Some(at(40)))), LedgerReply::Denied(_)));
    assert!(matches!(book.apply(at(0), &adjust(Some(at(32)))), LedgerReply::Balances(_)));
    assert!(matches!(book.apply(at(1), &adjust(Some(at(40)))), LedgerReply::Balances(_)));
}

#[test]
fn changed_window_keeps_reservations() {
    let windows = [
        Window::Sliding(60_000),
        Window::Sliding(3_600_000),
        Window::Fixed(at(0), at(86_400_000)),
        Window::Total,
    ];
    for old in windows {
        for new in windows {
            let mut book = Book::default();
            reserve(&mut book, 1, 1, HOUR, vec![hold("a", rule(100, old), 60)]);
            let rule = rule(100, new);
            assert_eq!(balance(&mut book, 2, rule).used, 60, "{old:?} {new:?}");
            assert!(!is_granted(&reserve(&mut book, 3, 2, HOUR, vec![hold("a", rule, 41)])));
            assert!(is_granted(&reserve(&mut book, 3, 3, HOUR, vec![hold("a", rule, 40)])));
            settle(&mut book, 4, 1, HOUR, new, 10);
            assert_eq!(balance(&mut book, 5, rule).used, 50, "{old:?} {new:?}");
        }
    }
}

#[test]
fn late_settlement_does_not_restore_the_old_window() {
    let (old, new) = (Window::Sliding(60_000), Window::Sliding(3_600_000));
    let mut book = Book::default();
    reserve(&mut book, 0, 1, HOUR, vec![hold("a", rule(100, old), 10)]);
    assert!(is_granted(&reserve(&mut book, 1, 2, HOUR, vec![hold("a", rule(100, new), 50)])));
    settle(&mut book, 2, 2, HOUR, new, 50);
    // A request that began before the change ends after it.
    settle(&mut book, 3, 1, HOUR, old, 10);
    assert_eq!(balance(&mut book, 4, rule(100, new)).used, 60);
}

#[test]
fn huge_amounts_saturate() {
    for window in [Window::Sliding(60_000), Window::Fixed(at(0), at(HOUR)), Window::Total] {
        let rule = rule(100, window);
        let mut book = Book::default();
        for id in 0..3 {
            reserve(&mut book, 20_000 * id, id, HOUR, vec![hold("a", rule, 10)]);
        }
        for id in 0..3 {
            settle(&mut book, 50_000, id, HOUR, window, u64::MAX);
        }
        assert_eq!(balance(&mut book, 50_000, rule).used, u64::MAX, "{window:?}");
    }
}

#[test]
fn day_of_a_jumping_clock_is_replaced() {
    const DAY: u64 = 24 * HOUR;
    let day = |number: u64| rule(10, Window::Fixed(at(number * DAY), at((number + 1) * DAY)));
    let mut book = Book::default();
    reserve(&mut book, 300 * DAY, 1, 301 * DAY, vec![hold("a", day(300), 10)]);
    settle(&mut book, 300 * DAY, 1, 301 * DAY, day(300).window, 10);
    assert!(!is_granted(&reserve(&mut book, 5, 2, HOUR, vec![hold("a", day(0), 1)])));
    assert!(is_granted(&reserve(&mut book, DAY, 3, 2 * DAY, vec![hold("a", day(1), 10)])));
}
