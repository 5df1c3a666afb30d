//! Dispatch: calls the plan's targets, one after another, until one answers.

use std::rc::Rc;

use civil_time::Timestamp;
use config::Config;
use openai::{ContentParts, TextSize};

use crate::error::{Error, Fault, Refusal};
use crate::host::Host;
use crate::record::{Attempt, AttemptKind, SkipReason};
use crate::request::parse::ParsedRequest;
use crate::request::translation::NoTranslation;
use crate::routing::matched_route::TargetHealth as _;
use crate::routing::plan::{Candidate, TargetPlan};
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::classify::Failure;
use crate::upstream::retry_policy::{Decision, KeyOutcome, RetryPolicy};

use super::answer::{Answer, AnswerContent};
use super::attempt::{AcceptedAnswer, ActiveAttempt, AttemptContext, TargetBody};
use super::caller_upstreams::CallerUpstreams;
use super::continuation::{self, ContinuationTargets};
use super::dispatch_state::{DispatchState, Turn, whole_seconds};
use super::last_resort::Access;
use super::response_tag::StoredResponse;
use super::timeouts::AttemptError;

/// Dispatcher of one request.
pub(crate) struct Dispatcher<'a, P: Host> {
    pub host: &'a P,
    /// The configuration in force.
    pub config: &'a Rc<Config>,
    /// State of the upstreams.
    pub upstreams: &'a CallerUpstreams,
    pub request: &'a ParsedRequest,
    /// Targets in the order in which they are tried.
    pub plan: &'a TargetPlan<'a>,
    /// Maximum tokens of a choice; `None` if the request's own maximum holds.
    pub max_output_tokens: Option<u64>,
    /// Whether a guard or a transcript reads the texts of the answer.
    pub reads_texts: bool,
    /// Whether a step after the call stores the answer.
    pub stores_answer: bool,
    /// The stored response that the request continues.
    pub continued: Option<&'a StoredResponse>,
}

/// An answer, with the targets that can continue it if it breaks off.
#[derive(Debug)]
pub(crate) struct Dispatched {
    pub answer: Answer,
    /// `None` if no target may continue it.
    pub continuation_targets: Option<Box<ContinuationTargets>>,
}

/// Outcome of an attempt.
pub(crate) enum AttemptOutcome {
    /// The caller gets this answer.
    Answered(Dispatched),
    /// A fallback refuses the caller's input; the first target might not have refused it.
    Refused(Answer),
    /// No usable answer.
    Failed(Failure, KeyOutcome),
    /// The target's protocol cannot express the request.
    Untranslatable,
}

impl<P: Host> Dispatcher<'_, P> {
    /// Tries the targets in order and records every attempt.
    pub(crate) async fn dispatch(&self, scope: &mut RequestScope<P>) -> Result<Dispatched, Error> {
        let route = self.plan.route();
        let deadline = scope.began() + route.timeouts.total;
        if let Some(hedge) = route.hedge {
            self.upstreams.credit_hedge(route, hedge);
        }
        self.record_skipped(scope);
        let mut state = DispatchState::new(deadline, self.may_replay());
        let refused = |answer| Dispatched { answer, continuation_targets: None };
        let mut answer = self.try_targets(&mut state, Access::Regular, scope).await;
        if scope.record().attempts.is_empty() && state.cool_down_until.is_some() {
            // Boxed to keep the request future small.
            answer = Box::pin(self.try_targets(&mut state, Access::LastResort, scope)).await;
        }
        let answer = answer.or_else(|| state.refusal.take().map(refused));
        if scope.record().attempts.is_empty() {
            scope.skipped_none();
        }
        answer.ok_or_else(|| match self.no_translation(scope) {
            Some(reason) => Refusal::from(reason).into(),
            None => self.to_fault(scope, &state).into(),
        })
    }

    /// The reason for which no target was called: none can take the request, as a guard has changed it.
    fn no_translation(&self, scope: &RequestScope<P>) -> Option<NoTranslation> {
        if !scope.record().attempts.is_empty() {
            return None;
        }
        let mut reasons = (0..self.plan.targets().len())
            .map(|position| self.plan.check_translatable(position, self.request).err());
        let first = reasons.next()??;
        reasons.all(|reason| reason.is_some()).then_some(first)
    }

    /// Tries the targets in order until one answers or none is left.
    async fn try_targets(
        &self,
        state: &mut DispatchState,
        access: Access,
        scope: &mut RequestScope<P>,
    ) -> Option<Dispatched> {
        let route = self.plan.route();
        let targets = self.plan.targets();
        let mut policy =
            RetryPolicy::new(targets.len(), route.fallback_on, route.retries, state.deadline);
        let mut context = self.attempt_context(state.deadline, scope);
        context.access = access;
        for (position, planned) in targets.iter().enumerate() {
            // After the selection, another request may have acquired the only permit of a half-open
            // target.
            let again = if position == 0 { self.choose_again(planned) } else { None };
            let candidate = again.as_ref().unwrap_or(planned);
            let mut turn = Turn::new(position, candidate);
            loop {
                let now = self.host.now();
                // A timer may fire late, and a caller's body may be slow: no attempt starts after
                // the deadline.
                if now >= state.deadline {
                    return None;
                }
                let outcome = self.call_target(&context, &mut turn, state, scope).await;
                let now = self.host.now();
                let decision = match outcome {
                    Ok(AttemptOutcome::Answered(answer)) => return Some(answer),
                    Ok(AttemptOutcome::Refused(answer)) => {
                        scope.answered_by(candidate.label());
                        state.refusal = Some(answer);
                        policy.skip_target(now)
                    }
                    Ok(AttemptOutcome::Failed(failure, key_outcome)) => {
                        state.note_failure(failure, now);
                        turn.note_failure(failure);
                        let may_retry =
                            || self.upstreams.spend_retry(candidate.provider_index, now);
                        policy.decide(failure, key_outcome, now, self.host.entropy(), may_retry)
                    }
                    Ok(AttemptOutcome::Untranslatable) => policy.skip_target(now),
                    Err(_) if access == Access::LastResort => policy.skip_target(now),
                    Err(until) => {
                        state.note_cool_down(until);
                        scope.skipped(candidate.label(), self.skip_reason(candidate, now));
                        policy.skip_target(now)
                    }
                };
                if decision != Decision::GiveUp
                    && !scope.record().attempts.is_empty()
                    && !self.may_replay()
                {
                    scope.not_replayed();
                    return None;
                }
                match decision {
                    // One call is all that a target gets during its cool-down.
                    Decision::Retry { .. } if access == Access::LastResort => break,
                    Decision::Retry { after } if after.is_zero() => {}
                    Decision::Retry { after } => self.host.sleep(after).await,
                    Decision::NextTarget => break,
                    Decision::GiveUp => return None,
                }
            }
        }
        None
    }

    /// Records the weighted targets that the choice has passed over.
    fn record_skipped(&self, scope: &mut RequestScope<P>) {
        let weighted = self.plan.route().targets.all();
        if weighted.len() < 2 {
            return;
        }
        let now = self.host.now();
        for target in weighted.iter().filter(|weighted| weighted.weight > 0) {
            let target = &target.target;
            let provider = self.config.provider(target.provider);
            let model = target.model.as_ref().unwrap_or(&self.request.fields().model);
            let endpoint = self.request.endpoint();
            let protocol = provider.protocol_for(endpoint, self.request.protocol());
            let offers = || provider.paths.path(endpoint, protocol).is_some();
            if let Some(reason) = self.upstreams.skip_reason((target.provider, model), now)
                && offers()
            {
                let reason = if provider.lacks_keys { SkipReason::NoKey } else { reason };
                scope.passed_over(format!("{}/{model}", provider.id), reason);
            }
        }
    }

    /// Reason for which a target of the plan could not be called. It may be available again by now.
    fn skip_reason(&self, candidate: &Candidate<'_>, now: Timestamp) -> SkipReason {
        let target = (candidate.provider_index, candidate.model);
        match self.upstreams.skip_reason(target, now) {
            Some(_) if candidate.provider.lacks_keys => SkipReason::NoKey,
            Some(reason) => reason,
            None => SkipReason::CircuitOpen,
        }
    }

    /// Calls a target once, unless it was already called as a hedge. The error holds the end of its
    /// cool-down.
    async fn call_target<'c>(
        &self,
        context: &AttemptContext<'_, P>,
        turn: &mut Turn<'c>,
        state: &mut DispatchState,
        scope: &mut RequestScope<P>,
    ) -> Result<AttemptOutcome, Timestamp> {
        let Turn { position, candidate, .. } = *turn;
        if let Some((_, outcome)) = state.hedged_outcome.take_if(|(hedged, _)| *hedged == position)
        {
            turn.is_first_try = false;
            return Ok(outcome);
        }
        let body = match &turn.body {
            Some(body) => body.clone(),
            None => match self.request_body(candidate, turn.taken_back) {
                Some(body) => turn.body.insert(body).clone(),
                None => return Ok(AttemptOutcome::Untranslatable),
            },
        };
        let attempt = context.start(candidate, AttemptKind::Primary, scope)?;
        if std::mem::take(&mut turn.is_first_try) {
            let (provider, retries) = (candidate.provider_index, self.plan.route().retries);
            self.upstreams.record_request(provider, retries, self.host.now());
        }
        Ok(self.run_attempt(context, (position, attempt), body, state, scope).await)
    }

    /// Another weighted target in place of the first one, if that may not be called any more.
    fn choose_again(&self, planned: &Candidate<'_>) -> Option<Candidate<'_>> {
        let now = self.host.now();
        if self.upstreams.is_available(planned.provider_index, planned.model, now) {
            return None;
        }
        self.plan.choose_again(self.config, self.request, self.upstreams, now)
    }

    /// Makes an attempt, with a hedge if the route hedges.
    async fn run_attempt(
        &self,
        context: &AttemptContext<'_, P>,
        (position, attempt): (usize, ActiveAttempt<'_>),
        body: TargetBody,
        state: &mut DispatchState,
        scope: &mut RequestScope<P>,
    ) -> AttemptOutcome {
        match self.hedge_delay(&attempt, state) {
            // Boxed to keep the request future of other routes small.
            Some(after) => {
                let hedged =
                    self.run_hedged(context, (position, attempt), body, after, state, scope);
                Box::pin(hedged).await
            }
            None => {
                let result = context
                    .send(attempt.candidate, (attempt.key, attempt.record_index), body)
                    .await;
                self.classify_outcome(context, (position, attempt), result, scope)
            }
        }
    }

    /// Records the outcome of an attempt and classifies it for the request.
    pub(crate) fn classify_outcome(
        &self,
        context: &AttemptContext<'_, P>,
        (position, attempt): (usize, ActiveAttempt<'_>),
        result: Result<AcceptedAnswer, AttemptError>,
        scope: &mut RequestScope<P>,
    ) -> AttemptOutcome {
        let candidate = attempt.candidate;
        match context.record_outcome(attempt, result, scope) {
            // A fallback may refuse input that the first target would have accepted; another
            // fallback may accept it.
            Ok(answer) if !answer.status.is_success() && position > 0 => {
                AttemptOutcome::Refused(answer)
            }
            Ok(answer) => {
                scope.answered_by(candidate.label());
                let is_stream = matches!(answer.content, AnswerContent::Stream(_));
                let others = &self.plan.targets()[position + 1..];
                let may_follow = is_stream && context.parts.delta && !others.is_empty();
                let continuation_targets = may_follow.then(|| {
                    let (config, upstreams) = (Rc::clone(self.config), self.upstreams.clone());
                    let route = self.plan.route_index();
                    Box::new(ContinuationTargets::new(
                        config,
                        upstreams,
                        self.request,
                        route,
                        others,
                        context.parts,
                    ))
                });
                AttemptOutcome::Answered(Dispatched { answer, continuation_targets })
            }
            Err((failure, key_outcome)) => AttemptOutcome::Failed(failure, key_outcome),
        }
    }

    fn attempt_context(
        &self,
        deadline: Timestamp,
        scope: &RequestScope<P>,
    ) -> AttemptContext<'_, P> {
        // A hard limit reserved tokens for one answer only.
        let may_continue = self.plan.route().continues_streams
            && self.max_output_tokens.is_none()
            && self.may_replay()
            && continuation::can_continue(self.request);
        AttemptContext {
            host: self.host,
            upstreams: self.upstreams,
            request: self.request,
            route: self.plan.route(),
            deadline,
            extra_prompt: TextSize::default(),
            trace: scope.trace().cloned(),
            parts: ContentParts { texts: self.reads_texts, delta: may_continue },
            may_replay: self.may_replay(),
            required_key: self.continued.map(|stored| stored.key),
            access: Access::Regular,
        }
    }

    /// Whether the request may be sent more than once.
    fn may_replay(&self) -> bool {
        let max = self.plan.route().retries.max_replay_bytes;
        max.is_none_or(|max| self.request.body().len() <= max)
    }

    /// The fault that sums up all failures.
    fn to_fault(&self, scope: &RequestScope<P>, state: &DispatchState) -> Fault {
        let attempts = &scope.record().attempts;
        let now = self.host.now();
        let is_late = || {
            attempts.iter().all(|attempt| attempt.result == Failure::Timeout.name())
                || now >= state.deadline
        };
        let lacks_keys = || self.plan.targets().iter().all(|target| target.provider.lacks_keys);
        match state.cool_down_until {
            Some(_) if attempts.is_empty() && lacks_keys() => Fault::NoProviderKey,
            Some(until) if attempts.is_empty() => {
                Fault::NoHealthyUpstream { retry_after: whole_seconds(until.since(now)) }
            }
            _ if self.was_limited_last(scope) => {
                Fault::RateLimited { retry_after: state.retry_after(now) }
            }
            _ if scope.record().not_replayed => Fault::NotReplayed {
                max: self.plan.route().retries.max_replay_bytes.unwrap_or_default(),
                is_late: is_late(),
            },
            _ if is_late() => Fault::Timeout,
            _ => Fault::Upstream,
        }
    }

    /// Whether the last target that was called has refused the request by 429, and by nothing but
    /// refusals of the gateway's own keys besides.
    fn was_limited_last(&self, scope: &RequestScope<P>) -> bool {
        let attempts = &scope.record().attempts;
        let Some(last) = attempts.last() else { return false };
        let of_last = || attempts.iter().rev().take_while(|attempt| attempt.target == last.target);
        let is_429 = |attempt: &Attempt| attempt.status == Some(429);
        let is_refusal = |attempt: &Attempt| {
            [Failure::KeyRefused.name(), Failure::ModelRefused.name(), Failure::Unavailable.name()]
                .contains(&attempt.result)
        };
        of_last().any(is_429) && of_last().all(|attempt| is_429(attempt) || is_refusal(attempt))
    }
}
