//! Invariants of the ledger, and a model check of small worlds.

use civil_time::Timestamp;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    AccountBalance, BalanceChange, Book, Charge, Hold, LedgerReply, Operation, Register, Rule,
    Window,
};

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
    assert_eq!((refused.hold, refused.wait), (1, None));
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
fn unsettled_reservation_returns_at_expiry() {
    let mut book = Book::default();
    let rule = rule(10, Window::Total);
    reserve(&mut book, 0, 1, 500, vec![hold("a", rule, 10)]);
    let LedgerReply::Denied(refused) = reserve(&mut book, 100, 2, HOUR, vec![hold("a", rule, 1)])
    else {
        panic!("all is reserved")
    };
    assert_eq!(refused.wait, None, "it may or may not be spent");
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
        match book.apply(at(0), &Operation::Adjust { account, rule, change }) {
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
                // Leases return when they expire.
                assert_eq!(refused.wait, Some(10_000));
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

/// Reference model that sees every event.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Settled or reported amounts.
    spent: u64,
    /// Open reservations: id, amount, expiry.
    open: Vec<(u64, u64, u64)>,
}

impl Model {
    fn pass(&mut self, now: u64) {
        self.open.retain(|(_, _, until)| *until > now);
    }

    fn used(&self) -> u64 {
        self.spent + self.open.iter().map(|(_, amount, _)| amount).sum::<u64>()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve {
        amount: u64,
        ttl: u64,
    },
    /// Settles one of the open reservations, for a share of the reserved amount.
    Settle {
        index: usize,
        tenths: u64,
    },
    /// Repeats the last settlement.
    Repeat,
    /// Time passes; gateways that died settle nothing.
    Pass {
        millis: u64,
    },
    /// The book moves to another machine.
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..40, 1u64..3_000).prop_map(|(amount, ttl)| Step::Reserve { amount, ttl }),
        (any::<usize>(), 0u64..15).prop_map(|(index, tenths)| Step::Settle { index, tenths }),
        (0u64..1).prop_map(|_| Step::Repeat),
        (0u64..1_500).prop_map(|millis| Step::Pass { millis }),
        (0u64..1).prop_map(|_| Step::Move),
    ]
}

/// Applies the steps to a book and compares it with the model after each.
fn assert_model(steps: &[Step], max: u64) {
    let rule = rule(max, Window::Total);
    let (mut book, mut model, mut now, mut next) = (Book::default(), Model::default(), 0, 0);
    let mut last: Option<(u64, u64, u64)> = None;
    for step in steps {
        match *step {
            Step::Reserve { amount, ttl } => {
                next += 1;
                let reply = reserve(&mut book, now, next, now + ttl, vec![hold("a", rule, amount)]);
                let fits = model.used() + amount <= max;
                assert_eq!(is_granted(&reply), fits, "{steps:?}");
                if fits {
                    model.open.push((next, amount, now + ttl));
                }
            }
            Step::Settle { index, tenths } if !model.open.is_empty() => {
                let (id, amount, until) = model.open.remove(index % model.open.len());
                let actual = amount * tenths / 10;
                model.spent += actual;
                settle(&mut book, now, id, until, Window::Total, actual);
                last = Some((id, until, actual));
            }
            Step::Repeat => {
                if let Some((id, until, amount)) = last.filter(|(_, until, _)| *until > now) {
                    settle(&mut book, now, id, until, Window::Total, amount);
                }
            }
            Step::Settle { .. } => {}
            Step::Pass { millis } => {
                now += millis;
                model.pass(now);
            }
            Step::Move => {
                book = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
            }
        }
        model.pass(now);
        assert_eq!(balance(&mut book, now, rule).used, model.used(), "{steps:?}");
    }
}

/// Every interleaving of two gateways that reserve, settle, die, and return, six steps deep.
#[test]
fn every_interleaving_of_six_steps_matches_the_model() {
    const STEPS: [Step; 6] = [
        Step::Reserve { amount: 2, ttl: 10 },
        Step::Reserve { amount: 3, ttl: 1_000 },
        Step::Settle { index: 0, tenths: 5 },
        Step::Settle { index: 1, tenths: 12 },
        Step::Repeat,
        Step::Pass { millis: 10 },
    ];
    let depth = 6;
    let mut indices = vec![0; depth];
    loop {
        let steps: Vec<Step> = indices.iter().map(|step| STEPS[*step]).collect();
        assert_model(&steps, 5);
        let Some(last) = indices.iter().rposition(|step| step + 1 < STEPS.len()) else { break };
        indices[last] += 1;
        indices[last + 1..].fill(0);
    }
}

proptest! {
    #[test]
    fn random_steps_match_the_model(steps in proptest::collection::vec(step(), 1..80), max in 0u64..200) {
        assert_model(&steps, max);
    }

    /// No period of the window's length holds more than the maximum, whatever the times of the
    /// requests.
    #[test]
    fn sliding_window_never_exceeds_the_maximum(gaps in proptest::collection::vec((0u64..400, 1u64..6), 1..120), max in 1u64..20, jump in 0usize..240) {
        let rule = rule(max, Window::Sliding(1_000));
        let (mut book, mut now, mut granted) = (Book::default(), 0, Vec::new());
        for (id, (gap, amount)) in gaps.into_iter().enumerate() {
            now += gap;
            if id == jump {
                book = Book::from_bytes(&book.to_bytes()).expect("stored bytes are valid");
            }
            if is_granted(&reserve(&mut book, now, id as u64, HOUR, vec![hold("a", rule, amount)])) {
                granted.push((now, amount));
            }
        }
        for (start, _) in &granted {
            let sum: u64 = granted.iter().filter(|(at, _)| (*start..start + 1_000).contains(at)).map(|(_, amount)| amount).sum();
            prop_assert!(sum <= max, "{sum} of {max} from {start}: {granted:?}");
        }
    }

    /// Several gateways lease, spend, and report; one of them may die.
    #[test]
    fn leases_never_exceed_the_maximum(wants in proptest::collection::vec((1u64..30, 0u64..2), 1..60), max in 1u64..2_000) {
        let rule = rule(max, Window::Total);
        let mut book = Book::default();
        let mut leased = 0;
        for (id, (want, slice)) in wants.into_iter().enumerate() {
            let slice = (slice == 1).then(|| at(10_000));
            let holds = vec![Hold { slice, ..hold("a", rule, want) }];
            if let LedgerReply::Granted(grants) = reserve(&mut book, 0, id as u64, HOUR, holds) {
                leased += grants[0].amount;
                prop_assert!(grants[0].amount >= want);
                prop_assert_eq!(grants[0].balance.used, leased);
            }
            prop_assert!(leased <= max);
        }
    }
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
