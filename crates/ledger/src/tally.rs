//! Totals over past requests.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::quantile_sketch::QuantileSketch;
use super::sparse_counts::SparseCounts;

/// Totals of the requests of one kind. Zeros are not serialized: a row of one request is small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageTotals {
    /// Number of requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Requests that no upstream answered, or with a truncated answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Requests that a limit refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub limited: u64,
    /// Requests that the cache answered.
    #[serde(skip_serializing_if = "is_zero")]
    pub hits: u64,
    /// Requests that a guard blocked.
    #[serde(skip_serializing_if = "is_zero")]
    pub blocked: u64,
    /// Requests with tokens estimated by the gateway.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated: u64,
    /// Prompt tokens.
    #[serde(skip_serializing_if = "is_zero")]
    pub input: u64,
    /// The part of `input` from a provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// The part of `input` that was written to a provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Answer tokens.
    #[serde(skip_serializing_if = "is_zero")]
    pub output: u64,
    /// The part of `output` spent on reasoning.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Prompt tokens estimated by the gateway.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_input: u64,
    /// Answer tokens estimated by the gateway.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated_output: u64,
    /// Cost in billionths of a USD.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost: u64,
    /// Sum of the times to the first content, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_ms: u64,
    /// Number of requests with content.
    #[serde(skip_serializing_if = "is_zero")]
    pub first: u64,
    /// Sum of the times to the end, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_ms: u64,
    /// Distribution of the times to the first content.
    #[serde(skip_serializing_if = "QuantileSketch::is_empty")]
    pub firsts: QuantileSketch,
    /// Distribution of the times to the end.
    #[serde(skip_serializing_if = "QuantileSketch::is_empty")]
    pub totals: QuantileSketch,
    /// Number of requests by HTTP status; zero if the caller hung up. Kept only for metrics.
    #[serde(skip_serializing_if = "SparseCounts::is_empty")]
    pub statuses: SparseCounts,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AddAssign<&Self> for UsageTotals {
    fn add_assign(&mut self, other: &Self) {
        // Destructured, so that a new field cannot be missed.
        let Self {
            requests,
            failed,
            limited,
            hits,
            blocked,
            estimated,
            input,
            cached,
            cache_write,
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
            (&mut self.cache_write, cache_write),
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
