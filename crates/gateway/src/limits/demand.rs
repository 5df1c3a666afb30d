//! Demand of a request: the amounts that it would take of every matching quota.

use std::time::Duration;

use civil_time::Timestamp;
use config::{Limit, Period, Price, Quota};
use ledger::{AccountBalance, Rule};
use openai::{Endpoint, TextSize, token_estimate};

use crate::error::LimitExceeded;
use crate::limits::matching::{self, LimitSubject};
use crate::limits::pricing::QuotaCost;
use crate::request::parse::ParsedRequest;

/// Parameters of a reservation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReservationRequest<'a> {
    /// Properties that limits match.
    pub subject: LimitSubject<'a>,
    pub request: &'a ParsedRequest,
    /// The highest price of any target that may answer.
    pub price: Price,
    /// Maximum time until the request's end.
    pub total: Duration,
}

/// Demand for one quota.
pub(crate) struct QuotaDemand<'a> {
    pub(crate) limit: &'a Limit,
    pub(crate) quota: &'a Quota,
    pub(crate) rule: Rule,
    /// Smallest amount to grant; below it the request is refused.
    pub(crate) min: u64,
    /// Amount to reserve if it is available.
    pub(crate) want: u64,
    cost: QuotaCost,
}

impl ReservationRequest<'_> {
    /// Demand of a prompt for a quota, with the longest answer that the request allows.
    pub(crate) fn demand_for<'l>(
        &self,
        limit: &'l Limit,
        quota: &'l Quota,
        prompt: TextSize,
        now: Timestamp,
    ) -> QuotaDemand<'l> {
        let output = &self.request.fields().output;
        let prompt = token_estimate::estimate_tokens(prompt);
        let cost = QuotaCost::for_prompt(quota.measure, prompt, self.price);
        let (max_output, min_output) = match self.request.endpoint() {
            Endpoint::Embeddings => (0, 0),
            Endpoint::ChatCompletions | Endpoint::Completions => {
                let max_per_choice = output.max_per_choice.unwrap_or(limit.default_output);
                (max_per_choice.saturating_mul(output.choices), output.choices)
            }
        };
        let want = cost.with_output(max_output);
        let min = if limit.hard { cost.with_output(min_output.min(max_output)) } else { want };
        QuotaDemand { limit, quota, rule: matching::ledger_rule(quota, now), cost, min, want }
    }

    /// Maximum tokens per choice within the amounts that hard limits granted; `None` without a hard
    /// limit.
    pub(crate) fn max_choice_tokens<'w>(
        &self,
        granted: impl Iterator<Item = (&'w QuotaDemand<'w>, u64)>,
    ) -> Option<u64> {
        let hard = granted.filter(|(demand, _)| demand.limit.hard);
        let longest = hard.filter_map(|(demand, amount)| demand.cost.max_output(amount)).min()?;
        match self.request.endpoint() {
            Endpoint::Embeddings => None,
            Endpoint::ChatCompletions | Endpoint::Completions => {
                Some((longest / self.request.fields().output.choices).max(1))
            }
        }
    }
}

impl QuotaDemand<'_> {
    /// The error for the caller, after this demand was denied.
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

    /// Adds the limit to a list if it is one of a day or longer, and a tenth or less of it is left.
    pub(crate) fn note_near_end(&self, balance: &AccountBalance, near: &mut Vec<String>) {
        let is_long = match self.quota.per {
            Period::Second | Period::Minute | Period::Hour => false,
            Period::Day(_) | Period::Month(_) | Period::Total => true,
        };
        if is_long && balance.left() <= balance.max / 10 && !near.contains(&self.limit.id) {
            near.push(self.limit.id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use config::{By, Limit, Measure, OnError, Period, Quota};
    use ledger::AccountBalance;

    use crate::limits::matching;
    use crate::limits::pricing::QuotaCost;

    use super::QuotaDemand;

    #[test]
    fn limits_of_a_day_or_longer_are_near_their_end_at_a_tenth() {
        let near = |per, used| {
            let quota = Quota { measure: Measure::Requests, max: 100, per };
            let limit = Limit {
                id: "quota".to_owned(),
                routes: None,
                groups: None,
                by: By::All,
                keys: Vec::new(),
                quotas: vec![quota],
                hard: false,
                lease: false,
                on_error: OnError::Open,
                default_output: 1_024,
                colocation_group: None,
            };
            let quota = &limit.quotas[0];
            let rule = matching::ledger_rule(quota, Timestamp::default());
            let cost = QuotaCost::for_prompt(quota.measure, 0, config::Price::default());
            let demand = QuotaDemand { limit: &limit, quota, rule, min: 1, want: 1, cost };
            let mut ids = Vec::new();
            let balance = AccountBalance { max: 100, used, held: 1, resets: None };
            (0..2).for_each(|_| demand.note_near_end(&balance, &mut ids));
            ids
        };
        assert_eq!(near(Period::Total, 89), Vec::<String>::new());
        assert_eq!(near(Period::Total, 90), ["quota"]);
        assert_eq!(near(Period::Minute, 99), Vec::<String>::new());
    }
}
