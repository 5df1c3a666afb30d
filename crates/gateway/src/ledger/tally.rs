//! Sums over past requests.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What requests of one kind add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// How many there were.
    pub requests: u64,
    /// Those that no upstream could answer, or whose answer broke off.
    pub failed: u64,
    /// Those that a limit refused.
    pub limited: u64,
    /// Those whose tokens the gateway counted itself.
    pub estimated: u64,
    /// Tokens of prompts.
    pub input: u64,
    /// Those of them that came from a provider's cache.
    pub cached: u64,
    /// Tokens of answers.
    pub output: u64,
    /// Those of them that were spent on reasoning.
    pub reasoning: u64,
    /// Billionths of a USD.
    pub cost: u64,
    /// Milliseconds until the first content, of those that had any.
    pub first_ms: u64,
    /// How many had any.
    pub first: u64,
    /// Milliseconds until the end.
    pub total_ms: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        // Taken apart, so that a new member cannot be forgotten.
        let Self {
            requests,
            failed,
            limited,
            estimated,
            input,
            cached,
            output,
            reasoning,
            cost,
            first_ms,
            first,
            total_ms,
        } = other;
        self.requests += requests;
        self.failed += failed;
        self.limited += limited;
        self.estimated += estimated;
        self.input += input;
        self.cached += cached;
        self.output += output;
        self.reasoning += reasoning;
        self.cost = self.cost.saturating_add(cost);
        self.first_ms += first_ms;
        self.first += first;
        self.total_ms += total_ms;
    }
}
