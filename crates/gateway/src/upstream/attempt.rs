//! One upstream attempt: acquires a permit and a key, sends the request, waits until the answer can
//! be committed, and records the outcome.
//!
//! Callers of this module choose the target and decide what follows a failure.

use std::rc::Rc;

use bytes::Bytes;
use civil_time::Timestamp;
use config::Route;
use http::header::CONTENT_TYPE;
use openai::{AnswerSize, ContentParts, TextSize, Tokens};

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

/// Bodies up to this length are read whole before they are passed on, so that another target can
/// still replace a broken one. Longer bodies are committed and streamed.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// State that all attempts of a request share.
pub(crate) struct AttemptContext<'a, P: Host> {
    pub(crate) host: &'a P,
    pub(crate) upstreams: &'a Upstreams,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) route: &'a Route,
    pub(crate) deadline: Timestamp,
    /// Prompt text that the gateway adds to the request's own.
    pub(crate) extra_prompt: TextSize,
    /// Trace context that is sent to upstreams.
    pub(crate) trace: Option<Rc<TraceContext>>,
    /// Content of streams that later layers use.
    pub(crate) parts: ContentParts,
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
    answer: Answer,
    tokens: Option<Tokens>,
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
        let permit =
            self.upstreams.acquire(candidate.provider_index, candidate.model, self.route, began)?;
        let key = self.upstreams.next_key(candidate.provider_index, candidate.model, began)?;
        let attempt = Attempt::start(candidate.label(), key, kind, began);
        let record_index = scope.attempt_started(attempt, candidate.price, self.prompt_size());
        Ok(ActiveAttempt { candidate, key, permit, record_index, began })
    }

    /// Sends the attempt at `record_index` with this key, and waits for an answer that can be
    /// committed.
    pub(crate) async fn send(
        &self,
        candidate: &Candidate<'_>,
        (key, record_index): (Option<usize>, usize),
        body: Bytes,
    ) -> Result<AcceptedAnswer, AttemptError> {
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let is_stream = self.request.fields().stream;
        let mut request = request::upstream_request(candidate, secret, body, is_stream);
        if let Some(trace) = &self.trace {
            trace.inject(record_index, request.headers_mut());
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
        let hides_usage = !self.request.fields().wants_usage;
        let mut stream = Uncommitted::new(body, hides_usage, self.parts);
        loop {
            let piece = timeouts.next_piece(stream.body()).await?;
            let events = stream.events();
            match stream.push(piece, || (self.prompt_size(), self.request.output_bounds()))? {
                CommitState::Held(held) => {
                    // Comments do not extend the wait at all, and events without content only
                    // within `first_byte`.
                    timeouts.check_progress(held.events() > events)?;
                    stream = held;
                }
                CommitState::Ready(committed) => return Ok(committed),
            }
        }
    }

    /// Reads an answer that is not a stream, and checks that it is valid.
    async fn read_whole(
        &self,
        body: Body,
        timeouts: &mut AttemptTimeouts<'_, P>,
    ) -> Result<(AnswerContent, Option<Tokens>), AttemptError> {
        let (whole, rest) = self.read_body(body, timeouts).await?;
        if let Some(rest) = rest {
            let bounds = self.request.output_bounds();
            let long = Committed::unparsed(whole, rest, self.prompt_size(), bounds);
            return Ok((AnswerContent::Stream(Box::new(long)), None));
        }
        let answer = openai::AnswerSummary::parse(self.request.endpoint(), &whole)?;
        let size = AnswerSize {
            prompt: self.prompt_size(),
            answer: answer.text_size,
            bounds: self.request.output_bounds(),
            ..AnswerSize::default()
        };
        let tokens = Tokens::count(answer.usage, &size);
        Ok((AnswerContent::Whole(whole), Some(tokens)))
    }

    /// Reads a body to its end, or until it is too long to hold. In that case the rest is returned
    /// with it.
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
            // A single piece that has already arrived is held, however long it is.
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
                    let is_stream = self.request.fields().stream;
                    attempt.permit.record_latency(is_stream, now);
                    // A whole answer has no first token.
                    if is_stream {
                        scope.first_token();
                    }
                }
                if let Some(tokens) = tokens {
                    scope.spent(tokens);
                }
                let record_signal =
                    |signal| attempt.permit.record(signal, now, self.host.entropy());
                match &mut answer.content {
                    // A target that refuses the caller's input may be unable to do anything else,
                    // so this is no proof of health.
                    AnswerContent::Whole(_) if !is_success => {}
                    AnswerContent::Whole(_) => record_signal(Signal::Success),
                    // The stream keeps the permit: it may still break off.
                    AnswerContent::Stream(stream) => {
                        record_signal(Signal::FirstContent);
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
