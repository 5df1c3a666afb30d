//! The bound that holds at any time, and the account of look-ups.

use crate::{Band, Payoff, Trust, Wording};

/// A small generator, so that each test is the same in every run.
struct Draws(u64);

impl Draws {
    fn is_below(&mut self, probability: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}

fn labels_until_open(max_error: f64, band: Band) -> u32 {
    let mut trust = Trust::new(max_error);
    (1..100_000)
        .find(|_| {
            trust.add_label(band, false);
            trust.is_open(band)
        })
        .expect("right labels open a band")
}

#[test]
fn right_labels_open_a_band_after_a_number_that_max_error_sets() {
    let counts = [0.05, 0.02, 0.01].map(|max_error| labels_until_open(max_error, Band::Same));
    assert_eq!(counts, [91, 230, 462]);
    assert!(labels_until_open(0.01, Band::Extended) > counts[2]);
}

#[test]
fn band_with_too_many_wrong_hits_opens_in_one_of_twenty_runs_at_most() {
    for max_error in [0.01, 0.02, 0.05] {
        let opened = (1..=200_u64).filter(|seed| {
            let mut draws = Draws(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut trust = Trust::new(max_error);
            (0..5_000).any(|number| {
                let band = Band::ALL[number % Band::ALL.len()];
                trust.add_label(band, draws.is_below(max_error));
                trust.is_open(band)
            })
        });
        let opened = opened.count();
        assert!(opened <= 10, "{opened} of 200 at {max_error}");
    }
}

#[test]
fn band_that_turns_bad_closes_and_needs_more_to_open_again() {
    let mut trust = Trust::new(0.02);
    (0..2_000).for_each(|_| trust.add_label(Band::Same, false));
    let first = trust.band(Band::Same).opens_at(Band::Same);
    assert!(trust.is_open(Band::Same));
    let mut draws = Draws(7);
    let closed = (0..1_000).find(|_| {
        trust.add_label(Band::Same, draws.is_below(0.2));
        !trust.is_open(Band::Same)
    });
    assert!(closed.is_some_and(|labels| labels < 100), "{closed:?}");
    assert!(trust.band(Band::Same).opens_at(Band::Same) > first);
    assert_eq!(trust.band(Band::Same).evidence(), 1.0);
}

#[test]
fn good_band_stays_open() {
    let mut trust = Trust::new(0.02);
    let mut draws = Draws(11);
    (0..500).for_each(|_| trust.add_label(Band::Near, false));
    for _ in 0..20_000 {
        trust.add_label(Band::Near, draws.is_below(0.01));
        assert!(trust.is_open(Band::Near));
    }
}

#[test]
fn band_depends_on_wording_and_distance() {
    use Wording::{Extended, Reworded, Same, Substituted};
    for (wording, score, expected) in [
        (Same, 0.85, Some(Band::Same)),
        (Same, 0.79, None),
        (Reworded, 0.96, Some(Band::Near)),
        (Reworded, 0.91, Some(Band::Reworded)),
        (Reworded, 0.89, None),
        (Extended, 0.95, Some(Band::Extended)),
        (Substituted, 0.99, Some(Band::Substituted)),
        (Substituted, 0.85, None),
    ] {
        assert_eq!(Band::of_hit(wording, score, 0.9), expected, "{wording:?} {score}");
    }
}

#[test]
fn max_error_out_of_range_is_bounded() {
    assert_eq!(Trust::new(0.0).max_error(), 0.000_1);
    assert_eq!(Trust::new(7.0).max_error(), 0.5);
    assert_eq!(Trust::new(f64::NAN).max_error(), 0.01);
    let mut trust = Trust::new(0.5);
    (0..10_000).for_each(|number| trust.add_label(Band::Same, number % 2 == 0));
    assert!(trust.band(Band::Same).evidence().is_finite());
}

#[test]
fn look_ups_that_do_not_pay_become_one_in_twenty() {
    let mut payoff = Payoff::default();
    (0..199).for_each(|_| payoff.add_lookup(30, 0));
    assert!(payoff.pays(), "too few look-ups");
    payoff.add_lookup(30, 0);
    assert!(!payoff.pays());
    assert_eq!((0..2_000).filter(|entropy| payoff.looks_up(*entropy)).count(), 100);
    // One hit in ten that saves a second pays for look-ups of 30 ms.
    (0..1_000).for_each(|number| payoff.add_lookup(30, if number % 10 == 0 { 1_000 } else { 0 }));
    assert!(payoff.pays() && payoff.looks_up(1));
    (0..1_001).for_each(|_| payoff.add_lookup(30, 0));
    assert!(!payoff.pays(), "old hits are forgotten");
    payoff.add_lookup(u64::MAX, u64::MAX);
    payoff.add_lookup(u64::MAX, u64::MAX);
}
