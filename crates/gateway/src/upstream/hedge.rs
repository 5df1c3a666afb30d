//! Hedged attempts: when a target is late, the next healthy target is called concurrently, and the
//! first answer wins.
//!
//! `hedge_budget` decides when a target is late and how many hedges a route may send.

use std::pin::pin;
use std::time::Duration;

use crate::host::Host;
use crate::host::futures::{Either, select, until_timer};
use crate::record::AttemptKind;
use crate::routing::matched_route::TargetHealth as _;
use crate::telemetry::request_scope::RequestScope;

use super::additions::TakenBack;
use super::attempt::{ActiveAttempt, AttemptContext, TargetBody};
use super::dispatch::{AttemptOutcome, Dispatcher};
use super::dispatch_state::DispatchState;

/// The shortest time before the deadline in which a hedge can succeed.
const MIN_HEDGE_TIME: Duration = Duration::from_millis(100);

impl<P: Host> Dispatcher<'_, P> {
    /// Delay before a hedge of this target; `None` if there is none.
    pub(crate) fn hedge_delay(
        &self,
        attempt: &ActiveAttempt<'_>,
        state: &DispatchState,
    ) -> Option<Duration> {
        let hedge = self.plan.route().hedge.filter(|_| state.may_hedge)?;
        let target = (attempt.candidate.provider_index, attempt.candidate.model);
        let now = self.host.now();
        let after = self.upstreams.hedge_delay(hedge, target, self.request.fields().stream, now)?;
        (now + after + MIN_HEDGE_TIME <= state.deadline).then_some(after)
    }

    /// Makes an attempt, and a concurrent one at another target if it is late.
    pub(crate) async fn run_hedged(
        &self,
        context: &AttemptContext<'_, P>,
        (position, first): (usize, ActiveAttempt<'_>),
        body: TargetBody,
        after: Duration,
        state: &mut DispatchState,
        scope: &mut RequestScope<P>,
    ) -> AttemptOutcome {
        let mut one = pin!(context.send(first.candidate, (first.key, first.record_index), body));
        let alone = until_timer(one.as_mut(), self.host.sleep(after)).await;
        let second = match alone {
            Some(result) => {
                return self.classify_outcome(context, (position, first), result, scope);
            }
            None => self.start_hedge(context, position, state, scope),
        };
        let Some((hedge_position, second, body)) = second else {
            let result = one.await;
            return self.classify_outcome(context, (position, first), result, scope);
        };
        let mut other =
            pin!(context.send(second.candidate, (second.key, second.record_index), body));
        match select(one.as_mut(), other.as_mut()).await {
            Either::Left(result) => {
                let outcome = self.classify_outcome(context, (position, first), result, scope);
                if let AttemptOutcome::Answered(answer) = outcome {
                    context.cancel(second, scope);
                    return AttemptOutcome::Answered(answer);
                }
                let result = other.await;
                match self.classify_outcome(context, (hedge_position, second), result, scope) {
                    AttemptOutcome::Answered(answer) => AttemptOutcome::Answered(answer),
                    later => {
                        state.hedged_outcome = Some((hedge_position, later));
                        outcome
                    }
                }
            }
            Either::Right(result) => {
                let outcome =
                    self.classify_outcome(context, (hedge_position, second), result, scope);
                if let AttemptOutcome::Answered(answer) = outcome {
                    context.cancel(first, scope);
                    return AttemptOutcome::Answered(answer);
                }
                state.hedged_outcome = Some((hedge_position, outcome));
                let result = one.await;
                self.classify_outcome(context, (position, first), result, scope)
            }
        }
    }

    /// Starts an attempt at the next healthy target, if the route may still hedge.
    fn start_hedge(
        &self,
        context: &AttemptContext<'_, P>,
        position: usize,
        state: &mut DispatchState,
        scope: &mut RequestScope<P>,
    ) -> Option<(usize, ActiveAttempt<'_>, TargetBody)> {
        let now = self.host.now();
        let others = || self.plan.targets().iter().enumerate().skip(position + 1);
        // A half-open target is skipped: a canceled probe would give no evidence.
        let (at, candidate) = others().find(|(_, other)| {
            self.upstreams.is_available(other.provider_index, other.model, now)
                && !self.upstreams.is_open_or_half_open(other.provider_index, other.model)
        })?;
        state.may_hedge = false;
        let body = self.request_body(candidate, TakenBack::default())?;
        if !self.upstreams.spend_hedge(self.plan.route()) {
            return None;
        }
        let attempt = context.start(candidate, AttemptKind::Hedge, scope).ok()?;
        self.upstreams.record_request(candidate.provider_index, self.plan.route().retries, now);
        Some((at, attempt, body))
    }
}
