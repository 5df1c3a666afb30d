//! One call to one upstream: leave to make it, the call up to the point where its answer is certain, and
//! what is concluded from it.
//!
//! Whom to call, and what to do after a failure, is decided by whoever asks for the call.

use std::rc::Rc;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Route;
use http::header::CONTENT_TYPE;
use openai::{TextSize, Tokens};

use crate::host::Host;
use crate::host::body::{Body, append};
use crate::record::{ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, HEDGED_OUT};
use crate::request::headers::is_event_stream;
use crate::request::parse::ParsedRequest;
use crate::routing::plan::Candidate;
use crate::telemetry::otlp::TraceContext;
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::circuit_breaker::Signal;
use crate::upstream::classify::{self, Failure, HeadClass};
use crate::upstream::retry_policy::KeyOutcome;

use super::answer::{Answer, AnswerContent};
use super::commit::{CommitState, Committed, Uncommitted};
use super::request;
use super::state::{CallPermit, Upstreams};
use super::timeouts::{AttemptError, AttemptTimeouts};

/// A body up to this length is read whole before it is passed on, so that a broken one can still be
/// made good by another target. Longer ones are committed and streamed.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// What all calls of a request have in common.
pub(crate) struct AttemptContext<'a, P: Host> {
    pub(crate) host: &'a P,
    pub(crate) upstreams: &'a Upstreams,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) route: &'a Route,
    pub(crate) deadline: Timestamp,
    /// What the upstream reads beside the request's own prompt.
    pub(crate) extra_prompt: TextSize,
    /// The request's place in a trace, which upstreams are told.
    pub(crate) trace: Option<Rc<TraceContext>>,
    /// Whether streams keep what they say.
    pub(crate) keeps_text: bool,
}

/// A call under way, or about to be.
pub(crate) struct ActiveAttempt<'c> {
    pub(crate) candidate: &'c Candidate<'c>,
    pub(crate) key: Option<usize>,
    permit: CallPermit,
    /// Its place in the record.
    pub(crate) record_index: usize,
    began: Timestamp,
}

/// An answer that is certain, and what it cost where that is known already.
pub(crate) struct AcceptedAnswer {
    answer: Answer,
    tokens: Option<Tokens>,
}

impl<P: Host> AttemptContext<'_, P> {
    /// Takes leave to call a target, and a key to do it with, and notes the call in the record. The
    /// error says when to ask again.
    pub(crate) fn start<'c>(
        &self,
        candidate: &'c Candidate<'c>,
        part: AttemptKind,
        scope: &mut RequestScope<P>,
    ) -> Result<ActiveAttempt<'c>, Timestamp> {
        let began = self.host.now();
        let permit =
            self.upstreams.acquire(candidate.provider_index, candidate.model, self.route, began)?;
        let key = self.upstreams.next_key(candidate.provider_index, candidate.model, began)?;
        let attempt = Attempt::start(candidate.label(), key, part, began);
        let number = scope.attempt_started(attempt, candidate.price);
        Ok(ActiveAttempt { candidate, key, permit, record_index: number, began })
    }

    /// Makes the call of this number, with this key, and waits for an answer that can be committed to.
    pub(crate) async fn send(
        &self,
        candidate: &Candidate<'_>,
        (key, number): (Option<usize>, usize),
        body: Bytes,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let is_stream = self.request.fields().stream;
        let mut request = request::upstream_request(candidate, secret, body, is_stream);
        if let Some(trace) = &self.trace {
            trace.inject(number, request.headers_mut());
        }
        let mut timeouts = AttemptTimeouts::start(self.host, self.route.timeouts, self.deadline);
        let response =
            timeouts.run(self.host.fetch(request)).await?.map_err(AttemptError::connect)?;
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        let content = match classify::classify_head(head.status, &head.headers) {
            HeadClass::Failure(failure) => Err(failure.into()),
            HeadClass::CallersFault => match self.read_body(body, &mut timeouts).await {
                Ok((whole, None)) => Ok((AnswerContent::Whole(whole), None)),
                Ok((_, Some(_))) => Err(Failure::NotAnAnswer.into()),
                Err(attempt_error) => Err(attempt_error),
            },
            HeadClass::Answer if !is_stream => self.read_whole(body, &mut timeouts).await,
            HeadClass::Answer if content_type.as_ref().is_some_and(is_event_stream) => {
                let stream = self.open_stream(body, &mut timeouts).await;
                stream.map(|stream| (AnswerContent::Stream(Box::new(stream)), None))
            }
            HeadClass::Answer => Err(Failure::NotAnAnswer.into()),
        };
        let (content, tokens) = content.map_err(|attempt_error: AttemptError| AttemptError {
            status: Some(head.status),
            ..attempt_error
        })?;
        Ok(AcceptedAnswer { answer: Answer { status: head.status, content_type, content }, tokens })
    }

    /// Holds a stream back until its first event with content.
    async fn open_stream(
        &self,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<Committed, AttemptError> {
        let mut stream = Uncommitted::new(body, !self.request.fields().wants_usage);
        if self.keeps_text {
            stream.keep_text();
        }
        loop {
            let piece = timeouts.next_piece(stream.body()).await?;
            let events = stream.events();
            match stream.push(piece, || self.prompt_size())? {
                CommitState::Held(held) => {
                    // Comments alone do not buy an upstream time, and events without content not
                    // for ever.
                    timeouts.check_progress(held.events() > events)?;
                    stream = held;
                }
                CommitState::Ready(committed) => return Ok(committed),
            }
        }
    }

    /// Reads an answer that is not a stream, and makes sure that it is one.
    async fn read_whole(
        &self,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<(AnswerContent, Option<Tokens>), AttemptError> {
        let (whole, rest) = self.read_body(body, timeouts).await?;
        if let Some(rest) = rest {
            let max = self.request.max_output_tokens();
            let long = Committed::unparsed(whole, rest, self.prompt_size(), max);
            return Ok((AnswerContent::Stream(Box::new(long)), None));
        }
        let answer = openai::AnswerSummary::parse(self.request.endpoint(), &whole)?;
        let prompt = if answer.usage.is_some() { TextSize::default() } else { self.prompt_size() };
        let tokens = Tokens::from_usage_or_estimate(answer.usage, prompt, answer.text_size);
        Ok((AnswerContent::Whole(whole), Some(tokens)))
    }

    /// Reads a body to its end, or until it is too long to hold: then the rest comes along.
    async fn read_body(
        &self,
        mut body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<(Bytes, Option<Body>), AttemptError> {
        let mut whole = Bytes::new();
        while let Some(piece) = timeouts.next_piece(&mut body).await? {
            timeouts.reset_idle();
            let is_first = whole.is_empty();
            whole = append(whole, piece);
            // One piece that is there already is held, however long it is.
            if !is_first && whole.len() > MAX_BUFFERED_BYTES {
                return Ok((whole, Some(body)));
            }
        }
        Ok((whole, None))
    }

    fn prompt_size(&self) -> TextSize {
        let mut prompt = self.request.prompt_size();
        prompt += self.extra_prompt;
        prompt
    }

    /// Notes what came of a call: in the record, with the target's health, with the provider's keys.
    pub(crate) fn record_outcome(
        &self,
        attempt: ActiveAttempt<'_>,
        result: Result<AcceptedAnswer, AttemptError>,
        scope: &mut RequestScope<P>,
    ) -> Result<Answer, (Failure, KeyOutcome)> {
        let now = self.host.now();
        match result {
            Ok(AcceptedAnswer { mut answer, tokens }) => {
                let is_success = answer.status.is_success();
                let name = if is_success { ANSWERED } else { CALLERS_FAULT };
                scope.attempt_finished(attempt.record_index, name, Some(answer.status), None);
                scope.priced(attempt.candidate.price);
                self.upstreams.key_accepted(
                    (attempt.candidate.provider_index, attempt.candidate.model),
                    attempt.key,
                );
                if is_success {
                    attempt.permit.record_latency(self.request.fields().stream, now);
                    scope.first_token();
                }
                if let Some(tokens) = tokens {
                    scope.spent(tokens);
                }
                let note = |signal| attempt.permit.record(signal, now, self.host.entropy());
                match &mut answer.content {
                    // A target that refuses what the caller sent may well be able to do nothing else.
                    AnswerContent::Whole(_) if !is_success => {}
                    AnswerContent::Whole(_) => note(Signal::Success),
                    // The stream keeps the ticket: it may still break off.
                    AnswerContent::Stream(stream) => {
                        note(Signal::FirstContent);
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

    /// Notes that a call is not waited for any more, since another was quicker. That says nothing about
    /// its target but how long it takes at least.
    pub(crate) fn cancel(&self, attempt: ActiveAttempt<'_>, scope: &mut RequestScope<P>) {
        attempt.permit.record_latency(self.request.fields().stream, self.host.now());
        scope.attempt_finished(attempt.record_index, HEDGED_OUT, None, None);
    }

    /// Lets the provider's keyring and the target's breaker draw their conclusions.
    fn apply_failure(
        &self,
        attempt: &ActiveAttempt<'_>,
        failure: Failure,
        now: Timestamp,
    ) -> KeyOutcome {
        let worth_waiting = self.route.retries.honour_retry_after;
        // Whoever had but the rest of somebody else's time has not shown that it is slow.
        let was_hurried = failure == Failure::Timeout
            && now >= self.deadline
            && now.since(attempt.began) < self.route.timeouts.first_byte / 2;
        if failure == Failure::Timeout && !was_hurried {
            attempt.permit.record_latency(self.request.fields().stream, now);
        }
        let signal = failure.signal(attempt.key.is_some(), worth_waiting);
        let signal = if was_hurried { Signal::Neutral } else { signal };
        attempt.permit.record(signal, now, self.host.entropy());
        let target = (attempt.candidate.provider_index, attempt.candidate.model);
        match self.upstreams.apply_failure(target, attempt.key, failure, now, worth_waiting) {
            KeyOutcome::NotAtFault if attempt.permit.is_open_or_half_open() => {
                KeyOutcome::TargetCoolingDown
            }
            key_outcome => key_outcome,
        }
    }
}
