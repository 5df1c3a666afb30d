//! Whether looking up pays: the time that hits save against the time that look-ups take.

/// Look-ups of one period. The decision reads the current period and the one before.
const PERIOD: u32 = 500;
/// Look-ups before the first decision.
const MIN_LOOKUPS: u32 = 200;
/// One in this many requests is looked up while it does not pay.
const PROBE: u64 = 20;

/// Totals of look-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) lookups: u32,
    pub(crate) spent_ms: u64,
    pub(crate) saved_ms: u64,
}

/// The account of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payoff {
    pub(crate) before: Totals,
    pub(crate) current: Totals,
}

impl Payoff {
    /// Adds a look-up: the time that it took, and the time that its hit saved, served or not.
    pub fn add_lookup(&mut self, spent_ms: u64, saved_ms: u64) {
        if self.current.lookups >= PERIOD {
            self.before = std::mem::take(&mut self.current);
        }
        self.current.lookups += 1;
        self.current.spent_ms = self.current.spent_ms.saturating_add(spent_ms);
        self.current.saved_ms = self.current.saved_ms.saturating_add(saved_ms);
    }

    /// Whether look-ups pay. True until there are enough of them.
    pub fn pays(&self) -> bool {
        let sum =
            |field: fn(&Totals) -> u64| field(&self.before).saturating_add(field(&self.current));
        let lookups = self.before.lookups + self.current.lookups;
        lookups < MIN_LOOKUPS || sum(|t| t.saved_ms) >= sum(|t| t.spent_ms)
    }

    /// Whether this request is looked up: each one if it pays, else one in twenty by the random number.
    pub fn looks_up(&self, entropy: u64) -> bool {
        self.pays() || entropy.is_multiple_of(PROBE)
    }
}
