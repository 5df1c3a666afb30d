//! One call to one upstream: leave to make it, the call up to the point where its answer is certain, and
//! what is concluded from it.
//!
//! Whom to call, and what to do after a failure, is decided by whoever asks for the call.

use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use openai::Weight;

use crate::body::{Body, append};
use crate::config::Route;
use crate::observe::{ANSWERED, Attempt, CALLERS_FAULT, HEDGED_OUT, Part, Tokens};
use crate::otlp::Trace;
use crate::platform::Platform;
use crate::policy::breaker::Sign;
use crate::policy::classify::{self, Failure, Head};
use crate::policy::course::Keys;
use crate::time::Timestamp;

use super::admit::Ask;
use super::answer::{Answer, Content};
use super::committed::{Committed, Taken, Uncommitted};
use super::entry::Entry;
use super::fleet::{Fleet, Ticket};
use super::outgoing;
use super::patience::{Failed, Patience};
use super::plan::Candidate;

/// A body up to this length is read whole before it is passed on, so that a broken one can still be
/// made good by another target. Longer ones are committed and streamed.
const LONGEST_WHOLE: usize = 8 << 20;

/// What all calls of a request have in common.
pub(super) struct Exchange<'a, P: Platform> {
    pub(super) platform: &'a P,
    pub(super) fleet: &'a Fleet,
    pub(super) ask: &'a Ask,
    pub(super) route: &'a Route,
    pub(super) deadline: Timestamp,
    /// What the upstream reads beside the request's own prompt.
    pub(super) beside: Weight,
    /// The request's place in a trace, which upstreams are told.
    pub(super) trace: Option<Rc<Trace>>,
    /// Whether streams keep what they say.
    pub(super) keeps_draft: bool,
}

/// A call under way, or about to be.
pub(super) struct Call<'c> {
    pub(super) candidate: &'c Candidate<'c>,
    pub(super) key: Option<usize>,
    ticket: Ticket,
    /// Its place in the record.
    pub(super) number: usize,
    began: Timestamp,
}

/// An answer that is certain, and what it cost where that is known already.
pub(super) struct Certain {
    answer: Answer,
    tokens: Option<Tokens>,
}

impl<P: Platform> Exchange<'_, P> {
    /// Takes leave to call a target, and a key to do it with, and notes the call in the record. The
    /// error says when to ask again.
    pub(super) fn begin<'c>(
        &self,
        candidate: &'c Candidate<'c>,
        part: Part,
        entry: &mut Entry<P>,
    ) -> Result<Call<'c>, Timestamp> {
        let began = self.platform.now();
        let ticket = self.fleet.admit(candidate.index, candidate.model, self.route, began)?;
        let key = self.fleet.key(candidate.index, candidate.model, began)?;
        let attempt = Attempt::begun(candidate.label(), key, part, began);
        let number = entry.attempt_started(attempt, candidate.price);
        Ok(Call { candidate, key, ticket, number, began })
    }

    /// Makes the call of this number, with this key, and waits for an answer that can be committed to.
    pub(super) async fn send(
        &self,
        candidate: &Candidate<'_>,
        (key, number): (Option<usize>, usize),
        body: Bytes,
    ) -> Result<Certain, Failed> {
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let is_stream = self.ask.request().stream;
        let mut request = outgoing::request(candidate, secret, body, is_stream);
        if let Some(trace) = &self.trace {
            trace.pass_on(number, request.headers_mut());
        }
        let mut patience = Patience::begin(self.platform, self.route.timeouts, self.deadline);
        let response =
            patience.within(self.platform.fetch(request)).await?.map_err(Failed::connect)?;
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        let content = match classify::head(head.status, &head.headers) {
            Head::Failure(failure) => Err(failure.into()),
            Head::CallersFault => match self.read(body, &mut patience).await {
                Ok((whole, None)) => Ok((Content::Whole(whole), None)),
                Ok((_, Some(_))) => Err(Failure::NotAnAnswer.into()),
                Err(failed) => Err(failed),
            },
            Head::Answer if !is_stream => self.whole(body, &mut patience).await,
            Head::Answer if content_type.as_ref().is_some_and(is_event_stream) => {
                let stream = self.open(body, &mut patience).await;
                stream.map(|stream| (Content::Stream(Box::new(stream)), None))
            }
            Head::Answer => Err(Failure::NotAnAnswer.into()),
        };
        let (content, tokens) =
            content.map_err(|failed: Failed| Failed { status: Some(head.status), ..failed })?;
        Ok(Certain { answer: Answer { status: head.status, content_type, content }, tokens })
    }

    /// Holds a stream back until its first event with content.
    async fn open(&self, body: Body, patience: &mut Patience<'_, P>) -> Result<Committed, Failed> {
        let mut stream = Uncommitted::new(body, !self.ask.request().wants_usage);
        if self.keeps_draft {
            stream.keep_draft();
        }
        loop {
            let piece = patience.piece(stream.body()).await?;
            let events = stream.events();
            match stream.take(piece, || self.prompt())? {
                Taken::Held(held) => {
                    // Comments alone do not buy an upstream time, and events without content not
                    // for ever.
                    patience.hold(held.events() > events)?;
                    stream = held;
                }
                Taken::Ready(committed) => return Ok(committed),
            }
        }
    }

    /// Reads an answer that is not a stream, and makes sure that it is one.
    async fn whole(
        &self,
        body: Body,
        patience: &mut Patience<'_, P>,
    ) -> Result<(Content, Option<Tokens>), Failed> {
        let (whole, rest) = self.read(body, patience).await?;
        if let Some(rest) = rest {
            let most = self.ask.most_output();
            let long = Committed::opaque(whole, rest, self.prompt(), most);
            return Ok((Content::Stream(Box::new(long)), None));
        }
        let answer = openai::Answer::read(self.ask.endpoint(), &whole)?;
        let prompt = if answer.usage.is_some() { Weight::default() } else { self.prompt() };
        let tokens = Tokens::count(answer.usage, prompt, answer.weight);
        Ok((Content::Whole(whole), Some(tokens)))
    }

    /// Reads a body to its end, or until it is too long to hold: then the rest comes along.
    async fn read(
        &self,
        mut body: Body,
        patience: &mut Patience<'_, P>,
    ) -> Result<(Bytes, Option<Body>), Failed> {
        let mut whole = Bytes::new();
        while let Some(piece) = patience.piece(&mut body).await? {
            patience.renew();
            let is_first = whole.is_empty();
            whole = append(whole, piece);
            // One piece that is there already is held, however long it is.
            if !is_first && whole.len() > LONGEST_WHOLE {
                return Ok((whole, Some(body)));
            }
        }
        Ok((whole, None))
    }

    fn prompt(&self) -> Weight {
        let mut prompt = self.ask.prompt();
        prompt += self.beside;
        prompt
    }

    /// Notes what came of a call: in the record, with the target's health, with the provider's keys.
    pub(super) fn conclude(
        &self,
        call: Call<'_>,
        result: Result<Certain, Failed>,
        entry: &mut Entry<P>,
    ) -> Result<Answer, (Failure, Keys)> {
        let now = self.platform.now();
        match result {
            Ok(Certain { mut answer, tokens }) => {
                let is_success = answer.status.is_success();
                let name = if is_success { ANSWERED } else { CALLERS_FAULT };
                entry.attempt_finished(call.number, name, Some(answer.status), None);
                entry.priced(call.candidate.price);
                self.fleet.took((call.candidate.index, call.candidate.model), call.key);
                if is_success {
                    call.ticket.time(self.ask.request().stream, now);
                    entry.first_token();
                }
                if let Some(tokens) = tokens {
                    entry.spent(tokens);
                }
                let note = |sign| call.ticket.note(sign, now, self.platform.entropy());
                match &mut answer.content {
                    // A target that refuses what the caller sent may well be able to do nothing else.
                    Content::Whole(_) if !is_success => {}
                    Content::Whole(_) => note(Sign::Well),
                    // The stream keeps the ticket: it may still break off.
                    Content::Stream(stream) => {
                        note(Sign::Alive);
                        stream.watch(call.ticket);
                    }
                }
                Ok(answer)
            }
            Err(Failed { failure, status, detail }) => {
                entry.attempt_finished(call.number, failure.name(), status, detail);
                let keys = self.judge(&call, failure, now);
                Err((failure, keys))
            }
        }
    }

    /// Notes that a call is not waited for any more, since another was quicker. That says nothing about
    /// its target but how long it takes at least.
    pub(super) fn cancel(&self, call: Call<'_>, entry: &mut Entry<P>) {
        call.ticket.time(self.ask.request().stream, self.platform.now());
        entry.attempt_finished(call.number, HEDGED_OUT, None, None);
    }

    /// Lets the provider's keyring and the target's breaker draw their conclusions.
    fn judge(&self, call: &Call<'_>, failure: Failure, now: Timestamp) -> Keys {
        let worth_waiting = self.route.retries.honour_retry_after;
        // Whoever had but the rest of somebody else's time has not shown that it is slow.
        let was_hurried = failure == Failure::Timeout
            && now >= self.deadline
            && now.since(call.began) < self.route.timeouts.first_byte / 2;
        if failure == Failure::Timeout && !was_hurried {
            call.ticket.time(self.ask.request().stream, now);
        }
        let sign = failure.sign(call.key.is_some(), worth_waiting);
        let sign = if was_hurried { Sign::Nothing } else { sign };
        call.ticket.note(sign, now, self.platform.entropy());
        let target = (call.candidate.index, call.candidate.model);
        match self.fleet.judge(target, call.key, failure, now, worth_waiting) {
            Keys::NotAtFault if call.ticket.is_ill() => Keys::TargetRests,
            keys => keys,
        }
    }
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    let media_type = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
