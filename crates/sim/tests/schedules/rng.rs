//! Chance from a seed.

use std::time::Duration;

use sim::world::splitmix64;

/// A source of choices: the same seed, the same choices.
pub(crate) struct Rng(u64);

impl Rng {
    /// Dice that are thrown from this seed.
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not share choices.
        Self(splitmix64(seed).1)
    }

    /// A number from `from` up to and with `to`.
    pub(crate) fn number(&mut self, from: u64, to: u64) -> u64 {
        let (state, value) = splitmix64(self.0);
        self.0 = state;
        from + value % (to - from + 1)
    }

    /// An index below `count`.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.number(0, count as u64 - 1)).expect("a small number")
    }

    /// True in `percent` of a hundred throws.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.number(1, 100) <= percent
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A duration of whole milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.number(from, to))
    }
}
