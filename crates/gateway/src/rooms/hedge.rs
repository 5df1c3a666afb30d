//! Two calls at once: when a target is late, the next one that is well is called beside it, and whoever
//! speaks first is taken.
//!
//! When a target is late, and how often that may be answered with a second call, is policy.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use crate::observe::Part;
use crate::platform::Platform;

use super::call::{Line, Told, Walk};
use super::entry::Entry;
use super::exchange::{Call, Exchange};
use super::futures::{Either, either, race};

/// What a second call needs at least to come to anything.
const LEAST_TIME: Duration = Duration::from_millis(100);

impl<P: Platform> Line<'_, P> {
    /// After how long somebody else is called beside this target; `None`: nobody is.
    pub(super) fn late_after(&self, call: &Call<'_>, walk: &Walk) -> Option<Duration> {
        let hedge = self.plan.route().hedge.filter(|_| walk.may_hedge)?;
        let target = (call.candidate.index, call.candidate.model);
        let now = self.platform.now();
        let after = self.fleet.late_after(hedge, target, self.ask.request().stream, now)?;
        (now + after + LEAST_TIME <= walk.deadline).then_some(after)
    }

    /// Makes a call, and another beside it when it is late.
    pub(super) async fn hedged(
        &self,
        exchange: &Exchange<'_, P>,
        (position, first): (usize, Call<'_>),
        body: Bytes,
        after: Duration,
        walk: &mut Walk,
        entry: &mut Entry<P>,
    ) -> Told {
        let mut one = pin!(exchange.send(first.candidate, (first.key, first.number), body));
        let alone = race(one.as_mut(), self.platform.sleep(after)).await;
        let second = match alone {
            Some(result) => return self.conclude(exchange, (position, first), result, entry),
            None => self.second(exchange, position, walk, entry),
        };
        let Some((beside, second)) = second else {
            let result = one.await;
            return self.conclude(exchange, (position, first), result, entry);
        };
        let body = self.body(second.candidate);
        let mut other = pin!(exchange.send(second.candidate, (second.key, second.number), body));
        match either(one.as_mut(), other.as_mut()).await {
            Either::One(result) => {
                let told = self.conclude(exchange, (position, first), result, entry);
                if let Told::Answered(answer) = told {
                    exchange.cancel(second, entry);
                    return Told::Answered(answer);
                }
                let result = other.await;
                match self.conclude(exchange, (beside, second), result, entry) {
                    Told::Answered(answer) => Told::Answered(answer),
                    later => {
                        walk.beside = Some((beside, later));
                        told
                    }
                }
            }
            Either::Other(result) => {
                let told = self.conclude(exchange, (beside, second), result, entry);
                if let Told::Answered(answer) = told {
                    exchange.cancel(first, entry);
                    return Told::Answered(answer);
                }
                walk.beside = Some((beside, told));
                let result = one.await;
                self.conclude(exchange, (position, first), result, entry)
            }
        }
    }

    /// The next target that is well, if the route may still hedge.
    fn second(
        &self,
        exchange: &Exchange<'_, P>,
        position: usize,
        walk: &mut Walk,
        entry: &mut Entry<P>,
    ) -> Option<(usize, Call<'_>)> {
        let now = self.platform.now();
        let others = || self.plan.targets().iter().enumerate().skip(position + 1);
        // Nobody is a probe for it: what is cancelled would have told nothing.
        let (at, candidate) = others().find(|(_, other)| {
            self.fleet.is_awake(other.index, other.model, now)
                && !self.fleet.is_ill(other.index, other.model)
        })?;
        walk.may_hedge = false;
        if !self.fleet.may_hedge(self.plan.route_index()) {
            return None;
        }
        let call = exchange.begin(candidate, Part::Hedge, entry).ok()?;
        self.fleet.note_request(candidate.index, self.plan.route().retries, now);
        Some((at, call))
    }
}
