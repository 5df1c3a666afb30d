//! What a request would take of every budget that it meets.

use std::time::Duration;

use openai::{Endpoint, Weight};

use crate::config::{Limit, Price, Quota};
use crate::error::Limited;
use crate::ledger::{Level, Rule};
use crate::policy::estimate;
use crate::policy::limits::{self, Demand, Subject};
use crate::time::Timestamp;

use super::admit::Ask;

/// What must be known of a request for its reservation.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Whom it concerns.
    pub subject: Subject<'a>,
    /// The request.
    pub ask: &'a Ask,
    /// The highest price of any target that may answer.
    pub price: Price,
    /// The longest time until its end.
    pub total: Duration,
}

/// What it would take of one quota.
pub(super) struct Wanted<'a> {
    pub(super) limit: &'a Limit,
    pub(super) quota: &'a Quota,
    pub(super) rule: Rule,
    /// With less it is refused.
    pub(super) least: u64,
    /// What is reserved where there is so much.
    pub(super) want: u64,
    demand: Demand,
}

impl Need<'_> {
    /// What a prompt takes of a quota, with the longest answer that the request allows.
    pub(super) fn of<'l>(
        &self,
        limit: &'l Limit,
        quota: &'l Quota,
        prompt: Weight,
        now: Timestamp,
    ) -> Wanted<'l> {
        let asked = self.ask.request();
        let demand = Demand::of(quota.measure, estimate::tokens(prompt), self.price);
        let (output, fewest) = match self.ask.endpoint() {
            Endpoint::Embeddings => (0, 0),
            Endpoint::ChatCompletions | Endpoint::Completions => {
                let choices = asked.output.choices;
                let most = asked.output.most.unwrap_or(limit.default_output);
                (most.saturating_mul(choices), choices)
            }
        };
        let want = demand.with(output);
        let least = if limit.hard { demand.with(fewest.min(output)) } else { want };
        Wanted { limit, quota, rule: limits::rule(quota, now), demand, least, want }
    }

    /// The longest choice that fits into everything that hard limits granted: each with its amount.
    pub(super) fn longest_choice<'w>(
        &self,
        granted: impl Iterator<Item = (&'w Wanted<'w>, u64)>,
    ) -> Option<u64> {
        let hard = granted.filter(|(wanted, _)| wanted.limit.hard);
        let longest = hard.filter_map(|(wanted, amount)| wanted.demand.longest(amount)).min()?;
        match self.ask.endpoint() {
            Endpoint::Embeddings => None,
            Endpoint::ChatCompletions | Endpoint::Completions => {
                Some((longest / self.ask.request().output.choices).max(1))
            }
        }
    }
}

impl Wanted<'_> {
    /// What the caller is told, since this was refused.
    pub(super) fn limited(&self, level: Level, wait: Option<u64>) -> Box<Limited> {
        Box::new(Limited {
            limit: self.limit.id.clone(),
            measure: self.quota.measure,
            per: self.quota.per,
            wanted: self.least,
            level,
            wait,
            headers: Vec::new(),
        })
    }
}
