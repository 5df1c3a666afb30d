//! Time of a look-up in an index, by its number of entries.

use std::fmt::Write as _;
use std::time::Instant;

use semantic::{Index, Mode};

use crate::data::{Asked, Pair};
use crate::pairs::{keep, look_up};
use crate::share::Draws;

const LOOKUPS: usize = 300;

/// The best look-up is that without other processes in between.
/// Entries are the questions of the pairs with random numbers added to their embeddings and a number to
/// their texts, so that the nearest ones are compared as texts.
pub(crate) fn table(pairs: &[Pair]) -> String {
    let mut text = String::from(
        "## Time of a look-up, native\n\n| entries | dimensions | best of 300 | median |\n| --- | --- | --- | --- |\n",
    );
    let mut draws = Draws(1);
    for entries in [1_000, 5_000, 10_000] {
        let mut index = Index::new(0.01);
        for number in 0..entries {
            let pair = &pairs[number % pairs.len()];
            let noise = |c: &f32| c + 0.02 * ((draws.next() % 1_000) as f32 / 500.0 - 1.0);
            let embedding = pair.kept.embedding.iter().map(noise).collect();
            keep(
                &mut index,
                &Asked { text: format!("{} ({number})", pair.kept.text), embedding },
                entries,
            );
        }
        let mut micros: Vec<u128> = (0..LOOKUPS)
            .map(|number| {
                let asked = &pairs[number * 7 % pairs.len()].asked;
                let began = Instant::now();
                std::hint::black_box(look_up(&index, asked, Mode::Fixed, 0.9));
                began.elapsed().as_micros()
            })
            .collect();
        micros.sort_unstable();
        let (best, median) = (micros[0], micros[LOOKUPS / 2]);
        let dimensions = pairs[0].kept.embedding.len();
        let _ = writeln!(text, "| {} | {dimensions} | {best} µs | {median} µs |", index.len());
    }
    text
}
