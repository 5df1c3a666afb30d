//! Calls the plan's targets, one after another, until one answers.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use openai::{Changes, Endpoint, OutputField, Weight};

use crate::body::{Body, append};
use crate::error::Fault;
use crate::observe::{ANSWERED, Attempt, CALLERS_FAULT, Tokens};
use crate::platform::Platform;
use crate::policy::breaker::Sign;
use crate::policy::classify::{self, Failure, Head};
use crate::policy::course::{Course, Keys, Step};
use crate::time::Timestamp;

use super::admit::Ask;
use super::entry::Entry;
use super::fleet::{Fleet, Ticket};
use super::outgoing;
use super::patience::{Failed, Patience};
use super::plan::{Candidate, Plan};
use super::relay::{Committed, Taken, Uncommitted};

/// A body up to this length is read whole before it is passed on, so that a broken one can still be
/// made good by another target. Longer ones are committed and streamed.
const LONGEST_WHOLE: usize = 8 << 20;

/// What an upstream answered, from the point on where no other target can take its place.
#[derive(Debug)]
pub struct Answer {
    /// The upstream's status.
    pub status: StatusCode,
    /// The upstream's `content-type`.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub content: Content,
}

/// An answer's body.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// What is held of a stream, and the rest as it comes.
    Stream(Box<Committed>),
}

/// Calls upstreams for one request.
pub struct Line<'a, P: Platform> {
    /// The host.
    pub platform: &'a P,
    /// What is known of the upstreams.
    pub fleet: &'a Fleet,
    /// The request.
    pub ask: &'a Ask,
    /// Whom to call.
    pub plan: &'a Plan<'a>,
    /// The most tokens that a choice may have; `None`: as the request says.
    pub most_output: Option<u64>,
}

impl<P: Platform> Line<'_, P> {
    /// Tries the targets in their order and notes every attempt in the record.
    pub async fn call(&self, entry: &mut Entry<P>) -> Result<Answer, Fault> {
        let deadline = entry.began() + self.plan.route().timeouts.total;
        let mut refusal = None;
        match (self.walk(deadline, entry, &mut refusal).await, refusal) {
            (Ok(answer), _) | (Err(_), Some(answer)) => Ok(answer),
            (Err(rested_until), None) => Err(self.fault(entry, rested_until, deadline)),
        }
    }

    /// Tries the targets in their order. Keeps what a stand-in last refused, in case that nobody does
    /// better; the error says until when a target rests that was passed over.
    async fn walk(
        &self,
        deadline: Timestamp,
        entry: &mut Entry<P>,
        refusal: &mut Option<Answer>,
    ) -> Result<Answer, Option<Timestamp>> {
        let route = self.plan.route();
        let count = self.plan.targets().len();
        let mut course = Course::new(count, route.fallback_on, route.retries, deadline);
        let mut rested_until: Option<Timestamp> = None;
        for (position, candidate) in self.plan.targets().iter().enumerate() {
            let body = self.ask.body_for(self.changes(candidate));
            let mut is_first_try = true;
            loop {
                let began = self.platform.now();
                // A timer may be late, and a caller's body slow: what cannot end in time is not begun.
                if began >= deadline {
                    return Err(rested_until);
                }
                let step = match self.admit(candidate, began) {
                    Err(until) => {
                        rested_until =
                            Some(rested_until.map_or(until, |earlier| earlier.min(until)));
                        course.pass_over(began)
                    }
                    Ok((key, ticket)) => {
                        if std::mem::take(&mut is_first_try) {
                            self.fleet.note_request(candidate.index, route.retries, began);
                        }
                        match self.attempt(candidate, key, body.clone(), deadline, entry).await {
                            // Whoever stands in for another may refuse what that one would have taken,
                            // and a third may take it.
                            Ok(answer) if !answer.status.is_success() && position > 0 => {
                                *refusal = Some(answer);
                                course.pass_over(self.platform.now())
                            }
                            Ok(answer) => return Ok(self.watch(answer, ticket)),
                            Err(failure) => {
                                let now = self.platform.now();
                                let keys = self.judge(
                                    candidate,
                                    key,
                                    failure,
                                    (began, now),
                                    deadline,
                                    &ticket,
                                );
                                let may_retry = || self.fleet.may_retry(candidate.index, now);
                                let entropy = self.platform.entropy();
                                course.after(failure, keys, now, entropy, may_retry)
                            }
                        }
                    }
                };
                match step {
                    Step::Again { after } if after.is_zero() => {}
                    Step::Again { after } => self.platform.sleep(after).await,
                    Step::Next => break,
                    Step::Stop => return Err(rested_until),
                }
            }
        }
        Err(rested_until)
    }

    /// Leave to call a target, and the key to do it with. The error says when to ask again.
    fn admit(
        &self,
        candidate: &Candidate<'_>,
        now: Timestamp,
    ) -> Result<(Option<usize>, Ticket), Timestamp> {
        let ticket = match candidate.ticket.take() {
            Some(ticket) => ticket,
            None => self.fleet.admit(candidate.index, candidate.model, self.plan.route(), now)?,
        };
        Ok((self.fleet.key(candidate.index, candidate.model, now)?, ticket))
    }

    /// Notes that a target has answered. A stream keeps the ticket: it may still break off.
    fn watch(&self, mut answer: Answer, ticket: Ticket) -> Answer {
        let is_success = answer.status.is_success();
        let note = |sign| ticket.note(sign, self.platform.now(), self.platform.entropy());
        match &mut answer.content {
            // A target that refuses what the caller sent may well be able to do nothing else.
            Content::Whole(_) if !is_success => {}
            Content::Whole(_) => note(Sign::Well),
            Content::Stream(stream) => {
                note(Sign::Alive);
                stream.watch(ticket);
            }
        }
        answer
    }

    /// What a target is told otherwise than the caller said it.
    fn changes<'c>(&self, candidate: &'c Candidate<'_>) -> Changes<'c> {
        let field = match self.ask.endpoint() {
            Endpoint::ChatCompletions => candidate.provider.output_field,
            Endpoint::Completions | Endpoint::Embeddings => OutputField::MaxTokens,
        };
        Changes {
            model: Some(candidate.model),
            ask_for_usage: candidate.provider.stream_usage,
            most_output: self.most_output.map(|most| (most, field)),
        }
    }

    /// One call to one upstream, up to the point where its answer is certain, and its line in the
    /// record.
    async fn attempt(
        &self,
        candidate: &Candidate<'_>,
        key: Option<usize>,
        body: Bytes,
        deadline: Timestamp,
        entry: &mut Entry<P>,
    ) -> Result<Answer, Failure> {
        let target = candidate.label();
        let attempt = Attempt::begun(target.clone(), key, self.platform.now());
        entry.begin(attempt, candidate.price);
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let request = outgoing::request(candidate, secret, body, self.ask.request().stream);
        let result = self.exchange(request, deadline, entry).await;
        match &result {
            Ok(answer) => {
                let name = if answer.status.is_success() { ANSWERED } else { CALLERS_FAULT };
                entry.end(name, Some(answer.status), None);
                entry.record.target = Some(target);
            }
            Err(failed) => entry.end(failed.failure.name(), failed.status, failed.detail.clone()),
        }
        result.map_err(|failed| failed.failure)
    }

    /// Sends a request and waits for an answer that can be committed to.
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
        deadline: Timestamp,
        entry: &mut Entry<P>,
    ) -> Result<Answer, Failed> {
        let timeouts = self.plan.route().timeouts;
        let mut patience = Patience::begin(self.platform, timeouts, deadline);
        let response =
            patience.within(self.platform.fetch(request)).await?.map_err(Failed::connect)?;
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        let content = match classify::head(head.status, &head.headers) {
            Head::Failure(failure) => Err(failure.into()),
            _ if !is_plain(&head.headers) => Err(Failure::NotAnAnswer.into()),
            Head::CallersFault => match self.read(body, &mut patience).await {
                Ok((whole, None)) => Ok(Content::Whole(whole)),
                Ok((_, Some(_))) => Err(Failure::NotAnAnswer.into()),
                Err(failed) => Err(failed),
            },
            Head::Answer if !self.ask.request().stream => {
                self.whole(body, &mut patience, entry).await
            }
            Head::Answer if content_type.as_ref().is_some_and(is_event_stream) => {
                self.open(body, &mut patience).await.map(|stream| Content::Stream(Box::new(stream)))
            }
            Head::Answer => Err(Failure::NotAnAnswer.into()),
        };
        let content =
            content.map_err(|failed: Failed| Failed { status: Some(head.status), ..failed })?;
        if head.status.is_success() {
            entry.first_token();
        }
        Ok(Answer { status: head.status, content_type, content })
    }

    /// Holds a stream back until its first event with content.
    async fn open(&self, body: Body, patience: &mut Patience<'_, P>) -> Result<Committed, Failed> {
        let asked = self.ask.request();
        let mut stream = Uncommitted::new(body, !asked.wants_usage);
        loop {
            let piece = patience.piece(stream.body()).await?;
            let events = stream.events();
            match stream.take(piece, || self.ask.prompt())? {
                Taken::Held(held) => {
                    // Comments alone do not buy an upstream time.
                    if held.events() > events {
                        patience.renew();
                    }
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
        entry: &mut Entry<P>,
    ) -> Result<Content, Failed> {
        let (whole, rest) = self.read(body, patience).await?;
        if let Some(rest) = rest {
            let most = self.ask.most_output();
            let long = Committed::opaque(whole, rest, self.ask.prompt(), most);
            return Ok(Content::Stream(Box::new(long)));
        }
        let answer = openai::Answer::read(self.ask.endpoint(), &whole)?;
        let prompt = if answer.usage.is_some() { Weight::default() } else { self.ask.prompt() };
        entry.record.tokens = Tokens::count(answer.usage, prompt, answer.weight);
        Ok(Content::Whole(whole))
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

    /// Lets the provider's keyring and the target's breaker draw their conclusions.
    fn judge(
        &self,
        candidate: &Candidate<'_>,
        key: Option<usize>,
        failure: Failure,
        (began, now): (Timestamp, Timestamp),
        deadline: Timestamp,
        ticket: &Ticket,
    ) -> Keys {
        let route = self.plan.route();
        let worth_waiting = route.retries.honour_retry_after;
        // Whoever had but the rest of somebody else's time has not shown that it is slow.
        let was_hurried = failure == Failure::Timeout
            && now >= deadline
            && now.since(began) < route.timeouts.first_byte / 2;
        let sign = failure.sign(key.is_some(), worth_waiting);
        let sign = if was_hurried { Sign::Nothing } else { sign };
        ticket.note(sign, now, self.platform.entropy());
        let target = (candidate.index, candidate.model);
        match self.fleet.judge(target, key, failure, now, worth_waiting) {
            Keys::NotAtFault if ticket.is_ill() => Keys::TargetRests,
            keys => keys,
        }
    }

    /// What all the failures add up to.
    fn fault(
        &self,
        entry: &Entry<P>,
        rested_until: Option<Timestamp>,
        deadline: Timestamp,
    ) -> Fault {
        let attempts = &entry.record.attempts;
        let now = self.platform.now();
        match rested_until {
            Some(until) if attempts.is_empty() => Fault::NoHealthyUpstream {
                retry_after: until.since(now).as_millis().div_ceil(1000).max(1) as u64,
            },
            _ if now >= deadline => Fault::Timeout,
            _ if attempts.iter().all(|attempt| attempt.result == Failure::Timeout.name()) => {
                Fault::Timeout
            }
            _ => Fault::Upstream,
        }
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    let media_type = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
