//! Sliding window counter, in slots.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

/// Number of slots in a window. Amounts leave the window up to one slot late and never early: no
/// period of the window's length ever holds more than was granted.
const SLOTS_PER_WINDOW: u64 = 50;

/// Amounts spent within a sliding window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlidingWindow {
    /// Width of a slot in milliseconds.
    width: u64,
    /// Slot numbers since the epoch with their amounts, in order.
    spent: Vec<(u64, u64)>,
}

impl SlidingWindow {
    /// An empty window of `millis` milliseconds.
    pub(super) fn new(millis: u64) -> Self {
        Self { width: (millis / SLOTS_PER_WINDOW).max(1), spent: Vec::new() }
    }

    /// Whether the window has this length.
    pub(super) fn has_length(&self, millis: u64) -> bool {
        self.width == (millis / SLOTS_PER_WINDOW).max(1)
    }

    /// Removes amounts that left the window. If the clock went back, amounts in its future are
    /// moved to now: they are neither lost nor counted for longer than a window.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let current = self.slot(now);
        let ahead = self.spent.partition_point(|(slot, _)| *slot <= current);
        if ahead < self.spent.len() {
            let early =
                self.spent.drain(ahead..).fold(0, |sum: u64, (_, it)| sum.saturating_add(it));
            self.add(current, early);
        }
        let expired = self.spent.partition_point(|(slot, _)| slot + SLOTS_PER_WINDOW < current);
        self.spent.drain(..expired);
    }

    /// Sum of all amounts in the window.
    pub(super) fn sum(&self) -> u64 {
        self.spent.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// Adds an amount now.
    pub(super) fn spend(&mut self, now: Timestamp, amount: u64) {
        self.add(self.slot(now), amount);
    }

    /// Returns an amount that was spent at `at` or later, unless `at` has left the window.
    pub(super) fn give_back(&mut self, at: Timestamp, mut amount: u64, now: Timestamp) {
        let slot = self.slot(at.min(now));
        if slot + SLOTS_PER_WINDOW < self.slot(now) {
            return;
        }
        for (_, spent) in self.spent.iter_mut().filter(|(index, _)| *index >= slot) {
            let back = amount.min(*spent);
            *spent -= back;
            amount -= back;
        }
        self.spent.retain(|(_, spent)| *spent > 0);
    }

    /// The time at which each amount leaves the window.
    pub(super) fn expirations(&self) -> impl DoubleEndedIterator<Item = (Timestamp, u64)> + '_ {
        let leaves = |slot: u64| Timestamp::from_millis((slot + SLOTS_PER_WINDOW + 1) * self.width);
        self.spent.iter().map(move |(slot, amount)| (leaves(*slot), *amount))
    }

    fn slot(&self, at: Timestamp) -> u64 {
        at.as_millis() / self.width
    }

    fn add(&mut self, slot: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        match self.spent.binary_search_by_key(&slot, |(index, _)| *index) {
            Ok(at) => self.spent[at].1 = self.spent[at].1.saturating_add(amount),
            Err(at) => self.spent.insert(at, (slot, amount)),
        }
    }
}
