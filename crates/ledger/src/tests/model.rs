//! Model check: all interleavings of a small world, and random steps.

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{HOUR, at, balance, hold, is_granted, reserve, rule, settle};
use crate::{Book, Hold, LedgerReply, Window};

/// Reference model that observes every event.
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

    /// Several gateways lease, spend, and report; one of them may end without a report.
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
