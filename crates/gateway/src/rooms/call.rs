//! Calls the plan's targets, one after another, until one answers.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use openai::{Changes, Endpoint, OutputField, Weight};

use crate::body::{Body, append};
use crate::error::Fault;
use crate::observe::{ANSWERED, Attempt, CALLERS_FAULT, Tokens};
use crate::platform::Platform;
use crate::policy::classify::{self, Failure, Head};
use crate::policy::course::{Course, Keys, Step};
use crate::policy::keyring::{AllRest, Keyring};
use crate::time::Timestamp;

use super::admit::Ask;
use super::entry::Entry;
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
    /// Every provider's keys, in the configuration's order.
    pub keyrings: &'a RefCell<Vec<Keyring>>,
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
        let route = self.plan.route();
        let deadline = entry.began() + route.timeouts.total;
        let mut course =
            Course::new(self.plan.targets().len(), route.fallback_on, route.retries, deadline);
        let mut rested_until: Option<Timestamp> = None;
        for candidate in self.plan.targets() {
            let body = self.ask.body_for(self.changes(candidate));
            loop {
                let began = self.platform.now();
                // A timer may be late, and a caller's body slow: what cannot end in time is not begun.
                if began >= deadline {
                    return Err(self.fault(entry, rested_until, deadline));
                }
                let awake = self.keyrings.borrow_mut()[candidate.index.position()]
                    .take(candidate.model, began);
                let step = match awake {
                    Err(AllRest(until)) => {
                        rested_until =
                            Some(rested_until.map_or(until, |earlier| earlier.min(until)));
                        course.pass_over(began)
                    }
                    Ok(key) => {
                        match self.attempt(candidate, key, body.clone(), deadline, entry).await {
                            Ok(answer) => return Ok(answer),
                            Err(failure) => {
                                let now = self.platform.now();
                                let keys = self.judge(candidate, key, failure, now);
                                course.after(failure, keys, now, self.platform.entropy())
                            }
                        }
                    }
                };
                match step {
                    Step::Again { after } if after.is_zero() => {}
                    Step::Again { after } => self.platform.sleep(after).await,
                    Step::Next => break,
                    Step::Stop => return Err(self.fault(entry, rested_until, deadline)),
                }
            }
        }
        Err(self.fault(entry, rested_until, deadline))
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

    /// Lets the provider's keyring draw its conclusions.
    fn judge(
        &self,
        candidate: &Candidate<'_>,
        key: Option<usize>,
        failure: Failure,
        now: Timestamp,
    ) -> Keys {
        let Some(key) = key else {
            return Keys::NotAtFault;
        };
        let worth_waiting = self.plan.route().retries.honour_retry_after;
        let ring = &mut self.keyrings.borrow_mut()[candidate.index.position()];
        match ring.note(key, candidate.model, failure, now, worth_waiting) {
            false => Keys::NotAtFault,
            true if ring.has_awake(candidate.model, now) => {
                Keys::AnotherAwake { of: candidate.provider.keys.len() }
            }
            true => Keys::AllRest,
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
