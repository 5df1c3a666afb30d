//! Random number generator of fault schedules.

use std::time::Duration;

use memory_host::splitmix64;

/// Generator: equal seeds give equal choices.
pub(crate) struct Rng(u64);

impl Rng {
    /// Creates a generator with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        // Adjacent seeds must not share choices.
        Self(splitmix64(seed).1)
    }

    /// Returns a number from `from` to `to`, both included.
    pub(crate) fn number(&mut self, from: u64, to: u64) -> u64 {
        let (state, value) = splitmix64(self.0);
        self.0 = state;
        from + value % (to - from + 1)
    }

    /// Returns an index below `count`.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.number(0, count as u64 - 1)).expect("a small number")
    }

    /// Returns true with a probability of `percent`.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.number(1, 100) <= percent
    }

    /// Selects one of these values.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// Returns a duration in whole milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.number(from, to))
    }
}
