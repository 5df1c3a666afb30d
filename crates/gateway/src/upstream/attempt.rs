//! One upstream attempt: acquires a permit and a key, sends the request, waits until the answer can
//! be committed, and records the outcome.
//!
//! Callers of this module choose the target and decide what follows a failure.

use std::rc::Rc;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Route;
use openai::{ContentParts, TextSize, Tokens};
use protocol::model::Protocol;

use crate::host::Host;
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, HEDGED_OUT};
use crate::request::parse::ParsedRequest;
use crate::request::translation::Translation;
use crate::routing::plan::Candidate;
use crate::telemetry::otlp::TraceContext;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::circuit_breaker::Signal;
use crate::upstream::classify::Failure;
use crate::upstream::retry_policy::KeyOutcome;

use super::additions::SentAdditions;
use super::answer::{Answer, AnswerContent};
use super::call_permit::CallPermit;
use super::caller_upstreams::CallerUpstreams;
use super::last_resort::Access;
use super::request;
use super::timeouts::{AttemptError, AttemptTimeouts};

/// State that all attempts of a request share.
pub(crate) struct AttemptContext<'a, P: Host> {
    pub(crate) host: &'a P,
    pub(crate) upstreams: &'a CallerUpstreams,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) route: &'a Route,
    pub(crate) deadline: Timestamp,
    /// Prompt text that the gateway adds to the request's own.
    pub(crate) extra_prompt: TextSize,
    /// Trace context that is sent to upstreams.
    pub(crate) trace: Option<Rc<TraceContext>>,
    /// Content of streams that later layers use.
    pub(crate) parts: ContentParts,
    /// Whether the request may be sent more than once.
    pub(crate) may_replay: bool,
    /// The key that stores what the request continues, and must be used; `None` for any.
    pub(crate) required_key: Option<usize>,
    /// Whether a call may be made during a cool-down.
    pub(crate) access: Access,
}

/// An attempt that is about to start or in flight.
pub(crate) struct ActiveAttempt<'c> {
    pub(crate) candidate: &'c Candidate<'c>,
    pub(crate) key: Option<usize>,
    permit: CallPermit,
    /// Index of the attempt in the record.
    pub(crate) record_index: usize,
    began: Timestamp,
}

/// A committed answer, and its tokens if they are already known.
pub(crate) struct AcceptedAnswer {
    pub(super) answer: Answer,
    pub(super) tokens: Option<Tokens>,
    /// Whether the answer has no content: it is complete, but no proof of health or speed.
    pub(super) is_empty: bool,
    /// Whether the answer is known to end at its maximum length. A stream shows that later.
    pub(super) is_cut: bool,
    /// Conversion of the answer to the form that the caller asked for, for the record.
    pub(super) converted: Option<&'static str>,
}

/// Body of an attempt, with the additions of the gateway in it.
#[derive(Clone, Debug)]
pub(crate) struct TargetBody {
    pub(crate) bytes: Bytes,
    pub(crate) additions: SentAdditions,
    pub(crate) exchange: Exchange,
}

/// Protocol of an attempt's answer, and the translation of the request that it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) form: AnswerForm,
    /// `None` if the target receives the caller's own body.
    pub(crate) translation: Option<Rc<Translation>>,
}

/// Form in which an answer is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    /// Chat, as all later steps read it.
    #[default]
    Chat,
    /// Translated from this protocol to Chat.
    Translated(Protocol),
    /// Unchanged in the caller's own protocol: no later step reads its content.
    Passing(Protocol),
}

impl<P: Host> AttemptContext<'_, P> {
    /// Acquires a permit and a key for a target, and records the attempt. The error holds the time
    /// of the next possible attempt.
    pub(crate) fn start<'c>(
        &self,
        candidate: &'c Candidate<'c>,
        kind: AttemptKind,
        scope: &mut RequestScope<P>,
    ) -> Result<ActiveAttempt<'c>, Timestamp> {
        let began = self.host.now();
        let target = (candidate.provider_index, candidate.model);
        let is_stream = self.request.fields().stream;
        let access = self.access;
        let is_last_resort = access == Access::LastResort;
        if is_last_resort && candidate.provider.lacks_keys {
            return Err(began);
        }
        let permit = self.upstreams.acquire(target, self.route, is_stream, access, began)?;
        let key = match self.required_key {
            Some(key) => Some(key),
            None => {
                match self.upstreams.next_key(candidate.provider_index, candidate.model, began) {
                    Err(_) if is_last_resort => self.upstreams.first_key_to_return(target),
                    key => key?,
                }
            }
        };
        let thinks = self.request.fields().asks_for_thinking || self.upstreams.thinks(target);
        let bounds = self.request.output_bounds();
        let max_thinking = if thinks { bounds.max.unwrap_or(u64::MAX) } else { 0 };
        let attempt = Attempt::start(candidate.label(), key, kind, began);
        let attempt = Attempt { max_thinking, ..attempt };
        let record_index = scope.attempt_started(attempt, candidate.price, self.prompt_size());
        Ok(ActiveAttempt { candidate, key, permit, record_index, began })
    }

    /// Sends the attempt at `record_index` with this key, and waits for an answer that can be
    /// committed.
    pub(crate) async fn send(
        &self,
        candidate: &Candidate<'_>,
        (key, record_index): (Option<usize>, usize),
        body: TargetBody,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let TargetBody { bytes, additions, exchange } = body;
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let fields = self.request.fields();
        let forwarded = self.request.original().map(|original| original.headers.clone());
        let forwarded = forwarded.unwrap_or_default();
        let mut request =
            request::upstream_request(candidate, secret, bytes, fields.stream, &forwarded);
        if let Some(trace) = &self.trace {
            trace.inject(record_index, request.headers_mut());
        }
        let mut timeouts =
            AttemptTimeouts::start(self.host, self.route.timeouts, fields, self.deadline);
        let response =
            timeouts.run(self.host.fetch(request)).await?.map_err(AttemptError::no_response)?;
        let (head, body) = response.into_parts();
        let accepted = if head.status.is_success() {
            self.read_answer((candidate, exchange), &head, body, &mut timeouts).await
        } else {
            self.read_refusal((candidate, additions), &head, body, &mut timeouts).await
        };
        match accepted {
            Ok(accepted) => {
                if head.status.is_success() {
                    let target = (candidate.provider_index, candidate.model);
                    self.upstreams.additions_accepted(target, additions);
                }
                Ok(accepted)
            }
            Err(error) => Err(AttemptError { status: Some(head.status), ..error }),
        }
    }

    /// Size of the prompt with the gateway's own part.
    pub(super) fn prompt_size(&self) -> TextSize {
        let mut prompt = self.request.prompt_size();
        prompt += self.extra_prompt;
        prompt
    }

    /// Records the outcome of an attempt: in the record, in the target's health, and in the
    /// provider's key pool.
    pub(crate) fn record_outcome(
        &self,
        attempt: ActiveAttempt<'_>,
        result: Result<AcceptedAnswer, AttemptError>,
        scope: &mut RequestScope<P>,
    ) -> Result<Answer, (Failure, KeyOutcome)> {
        let now = self.host.now();
        match result {
            Ok(AcceptedAnswer { mut answer, tokens, is_empty, is_cut, converted }) => {
                answer.origin = Some((attempt.candidate.provider_index, attempt.key));
                let is_success = answer.status.is_success();
                let name = if is_success { ANSWERED } else { CALLERS_FAULT };
                scope.attempt_finished(attempt.record_index, name, Some(answer.status), None);
                scope.attempt_converted(attempt.record_index, converted);
                scope.priced(attempt.candidate.price);
                self.upstreams.key_accepted(
                    (attempt.candidate.provider_index, attempt.candidate.model),
                    attempt.key,
                    self.access,
                );
                // An empty answer comes fast and proves nothing.
                if is_success && !is_empty {
                    let is_stream = self.request.fields().stream;
                    attempt.permit.record_latency(is_stream, now);
                    // A whole answer has no first token.
                    if is_stream {
                        scope.first_token();
                    }
                }
                if let Some(tokens) = tokens {
                    attempt.permit.record_tokens(tokens);
                    scope.spent(tokens);
                }
                scope.update(|record| record.is_cut = is_cut);
                let record_signal =
                    |signal| attempt.permit.record(signal, now, self.host.entropy());
                match &mut answer.content {
                    // A target that refuses the caller's input may be unable to do anything else,
                    // so this is no proof of health.
                    AnswerContent::Whole(_) if !is_success || is_empty => {}
                    AnswerContent::Whole(_) => record_signal(Signal::Success),
                    // The stream keeps the permit: it may still break off.
                    AnswerContent::Stream(stream) => {
                        if !is_empty {
                            record_signal(Signal::FirstContent);
                        }
                        stream.set_permit(attempt.permit);
                    }
                }
                Ok(answer)
            }
            Err(AttemptError { failure, status, detail }) => {
                scope.attempt_finished(attempt.record_index, failure.name(), status, detail);
                let key_outcome = self.apply_failure(&attempt, failure, now);
                Err((failure, key_outcome))
            }
        }
    }

    /// Cancels an attempt because a concurrent one was faster. This is no evidence about the
    /// target, except for the minimum of its latency.
    pub(crate) fn cancel(&self, attempt: ActiveAttempt<'_>, scope: &mut RequestScope<P>) {
        attempt.permit.record_latency(self.request.fields().stream, self.host.now());
        scope.attempt_finished(attempt.record_index, HEDGED_OUT, None, None);
    }

    /// Updates the provider's key pool and the target's circuit breaker after a failure.
    fn apply_failure(
        &self,
        attempt: &ActiveAttempt<'_>,
        failure: Failure,
        now: Timestamp,
    ) -> KeyOutcome {
        let worth_waiting = self.route.retries.honour_retry_after;
        // A fallback that had only the rest of the deadline has not proved to be slow.
        let was_hurried = failure == Failure::Timeout
            && now >= self.deadline
            && now.since(attempt.began)
                < self.route.timeouts.until_first_byte(self.request.fields().stream) / 2;
        if failure == Failure::Timeout && !was_hurried {
            attempt.permit.record_latency(self.request.fields().stream, now);
        }
        let target = (attempt.candidate.provider_index, attempt.candidate.model);
        let key_outcome =
            self.upstreams.apply_failure(target, attempt.key, failure, now, worth_waiting);
        let is_limited_key = matches!(failure, Failure::TooManyRequests { .. })
            && matches!(key_outcome, KeyOutcome::AnotherAvailable { .. });
        let signal = if was_hurried || is_limited_key {
            Signal::Neutral
        } else {
            failure.signal(attempt.key.is_some(), worth_waiting)
        };
        attempt.permit.record(signal, now, self.host.entropy());
        self.upstreams.check_cool_down(target, now);
        match key_outcome {
            KeyOutcome::NotAtFault if attempt.permit.is_open_or_half_open() => {
                KeyOutcome::TargetCoolingDown
            }
            key_outcome => key_outcome,
        }
    }
}
