//! The bound over many seeds: how often a band is served although too many of its hits are wrong, and how many
//! labels a good band needs.

use std::fmt::Write as _;

use semantic::{Band, Trust};

use crate::share::{Draws, Share};

const SEEDS: u64 = 200;
/// Labels of each run, over all bands.
const LABELS: u32 = 20_000;
/// Shares of wrong hits, as multiples of `max_error`: of a bad band the first three, of a good one the last two.
const BAD: [f64; 3] = [1.0, 1.5, 3.0];
const GOOD: [f64; 2] = [0.0, 0.25];

pub(crate) fn table() -> String {
    let mut text = format!(
        "## Bound: {SEEDS} seeds, {LABELS} labels each\n\n\
         | `max_error` | share of wrong hits | runs in which it was served at any time |\n| --- | --- | --- |\n"
    );
    for max_error in [0.01, 0.02, 0.05] {
        for multiple in BAD {
            let mut opened = Share::default();
            (0..SEEDS).for_each(|seed| opened.add(opens(seed, max_error, max_error * multiple)));
            let _ =
                writeln!(text, "| {max_error} | {multiple} × `max_error`, all bands | {opened} |");
        }
    }
    text.push_str("\n| `max_error` | share of wrong hits | labels of the band `same` until it is served: median, 90 % | closed again within 20,000 labels |\n");
    text.push_str("| --- | --- | --- | --- |\n");
    for max_error in [0.01, 0.02, 0.05] {
        for multiple in GOOD {
            let runs: Vec<(u32, bool)> =
                (0..SEEDS).map(|seed| earn(seed, max_error, max_error * multiple)).collect();
            let mut labels: Vec<u32> = runs.iter().map(|(labels, _)| *labels).collect();
            labels.sort_unstable();
            let mut closed = Share::default();
            runs.iter().for_each(|(_, is_closed)| closed.add(*is_closed));
            let (median, late) = (labels[labels.len() / 2], labels[labels.len() * 9 / 10]);
            let _ = writeln!(
                text,
                "| {max_error} | {multiple} × `max_error` | {median}, {late} | {closed} |"
            );
        }
    }
    text
}

/// Whether a band opens in a run in which all bands have this share of wrong hits.
fn opens(seed: u64, max_error: f64, wrong: f64) -> bool {
    let mut draws = Draws(seed << 32 | (max_error * 1e4) as u64);
    let mut trust = Trust::new(max_error);
    (0..LABELS).any(|_| {
        let band = Band::ALL[(draws.next() % Band::ALL.len() as u64) as usize];
        trust.add_label(band, draws.is_below(wrong));
        trust.is_open(band)
    })
}

/// Labels until the band opens, and whether it closes again.
fn earn(seed: u64, max_error: f64, wrong: f64) -> (u32, bool) {
    let mut draws = Draws(seed << 32 | (max_error * 1e4) as u64 | 1 << 31);
    let mut trust = Trust::new(max_error);
    let mut opened = None;
    for label in 1..=LABELS {
        trust.add_label(Band::Same, draws.is_below(wrong));
        match (opened, trust.is_open(Band::Same)) {
            (None, true) => opened = Some(label),
            (Some(opened), false) => return (opened, true),
            (None, false) | (Some(_), true) => {}
        }
    }
    (opened.unwrap_or(LABELS), false)
}
