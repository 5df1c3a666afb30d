//! Token bucket that is filled with fractions of a token.

/// Units of one token.
const TOKEN_UNITS: u64 = 1_000;

/// Token bucket in thousandths of a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    balance: u64,
    capacity: u64,
}

impl TokenBucket {
    /// An empty bucket that holds `tokens` at most.
    pub(crate) fn empty(tokens: u64) -> Self {
        Self { balance: 0, capacity: tokens * TOKEN_UNITS }
    }

    /// A full bucket that holds `tokens` at most.
    pub(crate) fn full(tokens: u64) -> Self {
        Self { balance: tokens * TOKEN_UNITS, capacity: tokens * TOKEN_UNITS }
    }

    /// Adds thousandths of a token, up to the capacity.
    pub(crate) fn credit(&mut self, thousandths: u64) {
        self.balance = self.balance.saturating_add(thousandths).min(self.capacity);
    }

    /// Spends a token; `false` if none is left.
    pub(crate) fn spend(&mut self) -> bool {
        self.spend_above(0)
    }

    /// Spends a token, but leaves this many; `false` if there are no more.
    pub(crate) fn spend_above(&mut self, kept: u64) -> bool {
        let left = self.balance.checked_sub(TOKEN_UNITS);
        let left = left.filter(|left| *left >= kept * TOKEN_UNITS);
        self.balance = left.unwrap_or(self.balance);
        left.is_some()
    }
}
