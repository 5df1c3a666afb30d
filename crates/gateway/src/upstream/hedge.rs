//! Two calls at once: when a target is late, the next one that is well is called beside it, and whoever
//! speaks first is taken.
//!
//! When a target is late, and how often that may be answered with a second call, is policy.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use crate::host::Host;
use crate::host::futures::{Either, select, until_timer};
use crate::record::AttemptKind;
use crate::telemetry::request_scope::RequestScope;

use super::attempt::{ActiveAttempt, AttemptContext};
use super::dispatch::{AttemptOutcome, DispatchState, Dispatcher};

/// What a second call needs at least to come to anything.
const MIN_HEDGE_TIME: Duration = Duration::from_millis(100);

impl<P: Host> Dispatcher<'_, P> {
    /// After how long somebody else is called beside this target; `None`: nobody is.
    pub(crate) fn hedge_delay(
        &self,
        call: &ActiveAttempt<'_>,
        walk: &DispatchState,
    ) -> Option<Duration> {
        let hedge = self.plan.route().hedge.filter(|_| walk.may_hedge)?;
        let target = (call.candidate.provider_index, call.candidate.model);
        let now = self.host.now();
        let after = self.upstreams.hedge_delay(hedge, target, self.request.fields().stream, now)?;
        (now + after + MIN_HEDGE_TIME <= walk.deadline).then_some(after)
    }

    /// Makes a call, and another beside it when it is late.
    pub(crate) async fn run_hedged(
        &self,
        exchange: &AttemptContext<'_, P>,
        (position, first): (usize, ActiveAttempt<'_>),
        body: Bytes,
        after: Duration,
        walk: &mut DispatchState,
        entry: &mut RequestScope<P>,
    ) -> AttemptOutcome {
        let mut one = pin!(exchange.send(first.candidate, (first.key, first.record_index), body));
        let alone = until_timer(one.as_mut(), self.host.sleep(after)).await;
        let second = match alone {
            Some(result) => {
                return self.classify_outcome(exchange, (position, first), result, entry);
            }
            None => self.start_hedge(exchange, position, walk, entry),
        };
        let Some((beside, second)) = second else {
            let result = one.await;
            return self.classify_outcome(exchange, (position, first), result, entry);
        };
        let body = self.request_body(second.candidate);
        let mut other =
            pin!(exchange.send(second.candidate, (second.key, second.record_index), body));
        match select(one.as_mut(), other.as_mut()).await {
            Either::Left(result) => {
                let told = self.classify_outcome(exchange, (position, first), result, entry);
                if let AttemptOutcome::Answered(answer) = told {
                    exchange.cancel(second, entry);
                    return AttemptOutcome::Answered(answer);
                }
                let result = other.await;
                match self.classify_outcome(exchange, (beside, second), result, entry) {
                    AttemptOutcome::Answered(answer) => AttemptOutcome::Answered(answer),
                    later => {
                        walk.hedged_outcome = Some((beside, later));
                        told
                    }
                }
            }
            Either::Right(result) => {
                let told = self.classify_outcome(exchange, (beside, second), result, entry);
                if let AttemptOutcome::Answered(answer) = told {
                    exchange.cancel(first, entry);
                    return AttemptOutcome::Answered(answer);
                }
                walk.hedged_outcome = Some((beside, told));
                let result = one.await;
                self.classify_outcome(exchange, (position, first), result, entry)
            }
        }
    }

    /// The next target that is well, if the route may still hedge.
    fn start_hedge(
        &self,
        exchange: &AttemptContext<'_, P>,
        position: usize,
        walk: &mut DispatchState,
        entry: &mut RequestScope<P>,
    ) -> Option<(usize, ActiveAttempt<'_>)> {
        let now = self.host.now();
        let others = || self.plan.targets().iter().enumerate().skip(position + 1);
        // Nobody is a probe for it: what is cancelled would have told nothing.
        let (at, candidate) = others().find(|(_, other)| {
            self.upstreams.is_available(other.provider_index, other.model, now)
                && !self.upstreams.is_open_or_half_open(other.provider_index, other.model)
        })?;
        walk.may_hedge = false;
        if !self.upstreams.spend_hedge(self.plan.route_index()) {
            return None;
        }
        let call = exchange.start(candidate, AttemptKind::Hedge, entry).ok()?;
        self.upstreams.record_request(candidate.provider_index, self.plan.route().retries, now);
        Some((at, call))
    }
}
