//! Sums over past requests.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::quantile_sketch::QuantileSketch;
use super::sparse_counts::SparseCounts;

/// What requests of one kind add up to. What is nothing is not written: a row of one request is small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageTotals {
    /// How many there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Those that no upstream could answer, or whose answer broke off.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Those that a limit refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub limited: u64,
    /// Those that the cache answered.
    #[serde(skip_serializing_if = "is_zero")]
    pub hits: u64,
    /// Those that a guard blocked.
    #[serde(skip_serializing_if = "is_zero")]
    pub blocked: u64,
    /// Those whose tokens the gateway counted itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated: u64,
    /// Tokens of prompts.
    #[serde(skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Those of them that came from a provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Tokens of answers.
    #[serde(skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Those of them that were spent on reasoning.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Tokens of prompts that the gateway counted itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_input: u64,
    /// Tokens of answers that the gateway counted itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_output: u64,
    /// Billionths of a USD.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost: u64,
    /// Milliseconds until the first content, of those that had any.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_ms: u64,
    /// How many had any.
    #[serde(skip_serializing_if = "is_zero")]
    pub first: u64,
    /// Milliseconds until the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_ms: u64,
    /// How the times until the first content are distributed.
    #[serde(skip_serializing_if = "QuantileSketch::is_empty")]
    pub firsts: QuantileSketch,
    /// How the times until the end are distributed.
    #[serde(skip_serializing_if = "QuantileSketch::is_empty")]
    pub totals: QuantileSketch,
    /// How many had which HTTP status; zero: the caller went away. Only metrics keep it.
    #[serde(skip_serializing_if = "SparseCounts::is_empty")]
    pub statuses: SparseCounts,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AddAssign<&Self> for UsageTotals {
    fn add_assign(&mut self, other: &Self) {
        // Taken apart, so that a new member cannot be forgotten.
        let Self {
            requests,
            failed,
            limited,
            hits,
            blocked,
            estimated,
            input,
            cached,
            output,
            reasoning,
            estimated_input,
            estimated_output,
            cost,
            first_ms,
            first,
            total_ms,
            firsts,
            totals,
            statuses,
        } = other;
        for (sum, number) in [
            (&mut self.requests, requests),
            (&mut self.failed, failed),
            (&mut self.limited, limited),
            (&mut self.hits, hits),
            (&mut self.blocked, blocked),
            (&mut self.estimated, estimated),
            (&mut self.input, input),
            (&mut self.cached, cached),
            (&mut self.output, output),
            (&mut self.reasoning, reasoning),
            (&mut self.estimated_input, estimated_input),
            (&mut self.estimated_output, estimated_output),
            (&mut self.cost, cost),
            (&mut self.first_ms, first_ms),
            (&mut self.first, first),
            (&mut self.total_ms, total_ms),
        ] {
            *sum = sum.saturating_add(*number);
        }
        self.firsts.merge(firsts);
        self.totals.merge(totals);
        self.statuses.merge(statuses);
    }
}
