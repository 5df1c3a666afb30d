//! What a request would take of every budget that it meets.

use std::time::Duration;

use civil_time::Timestamp;
use config::{Limit, Price, Quota};
use ledger::{AccountBalance, Rule};
use openai::{Endpoint, TextSize, token_estimate};

use crate::error::LimitExceeded;
use crate::limits::matching::{self, LimitSubject, QuotaCost};
use crate::request::parse::ParsedRequest;

/// What must be known of a request for its reservation.
#[derive(Clone, Copy, Debug)]
pub struct ReservationRequest<'a> {
    /// Whom it concerns.
    pub subject: LimitSubject<'a>,
    /// The request.
    pub request: &'a ParsedRequest,
    /// The highest price of any target that may answer.
    pub price: Price,
    /// The longest time until its end.
    pub total: Duration,
}

/// What it would take of one quota.
pub(crate) struct QuotaDemand<'a> {
    pub(crate) limit: &'a Limit,
    pub(crate) quota: &'a Quota,
    pub(crate) rule: Rule,
    /// With less it is refused.
    pub(crate) min: u64,
    /// What is reserved where there is so much.
    pub(crate) want: u64,
    cost: QuotaCost,
}

impl ReservationRequest<'_> {
    /// What a prompt takes of a quota, with the longest answer that the request allows.
    pub(crate) fn demand_for<'l>(
        &self,
        limit: &'l Limit,
        quota: &'l Quota,
        prompt: TextSize,
        now: Timestamp,
    ) -> QuotaDemand<'l> {
        let asked = self.request.fields();
        let demand = QuotaCost::for_prompt(
            quota.measure,
            token_estimate::estimate_tokens(prompt),
            self.price,
        );
        let (output, fewest) = match self.request.endpoint() {
            Endpoint::Embeddings => (0, 0),
            Endpoint::ChatCompletions | Endpoint::Completions => {
                let choices = asked.output.choices;
                let max = asked.output.max_per_choice.unwrap_or(limit.default_output);
                (max.saturating_mul(choices), choices)
            }
        };
        let want = demand.with_output(output);
        let min = if limit.hard { demand.with_output(fewest.min(output)) } else { want };
        QuotaDemand {
            limit,
            quota,
            rule: matching::ledger_rule(quota, now),
            cost: demand,
            min,
            want,
        }
    }

    /// The longest choice that fits into everything that hard limits granted: each with its amount.
    pub(crate) fn max_choice_tokens<'w>(
        &self,
        granted: impl Iterator<Item = (&'w QuotaDemand<'w>, u64)>,
    ) -> Option<u64> {
        let hard = granted.filter(|(demands, _)| demands.limit.hard);
        let longest = hard.filter_map(|(demands, amount)| demands.cost.max_output(amount)).min()?;
        match self.request.endpoint() {
            Endpoint::Embeddings => None,
            Endpoint::ChatCompletions | Endpoint::Completions => {
                Some((longest / self.request.fields().output.choices).max(1))
            }
        }
    }
}

impl QuotaDemand<'_> {
    /// What the caller is told, since this was refused.
    pub(crate) fn limit_exceeded(
        &self,
        balance: AccountBalance,
        wait: Option<u64>,
    ) -> Box<LimitExceeded> {
        Box::new(LimitExceeded {
            limit: self.limit.id.clone(),
            measure: self.quota.measure,
            per: self.quota.per,
            requested: self.min,
            balance,
            wait_millis: wait,
            headers: Vec::new(),
        })
    }
}
