//! Calls the plan's targets, one after another, until one answers.

use std::rc::Rc;

use bytes::Bytes;
use openai::Weight;

use crate::config::Config;
use crate::error::Fault;
use crate::observe::Part;
use crate::platform::Platform;
use crate::policy::classify::Failure;
use crate::policy::course::{Course, Keys, Step};
use crate::time::Timestamp;

use super::admit::Ask;
use super::answer::{Answer, Content};
use super::entry::Entry;
use super::exchange::{Call, Certain, Exchange};
use super::fleet::Fleet;
use super::outgoing;
use super::patience::Failed;
use super::plan::{Candidate, Plan};
use super::resume::{self, Successors};

/// Calls upstreams for one request.
pub struct Line<'a, P: Platform> {
    /// The host.
    pub platform: &'a P,
    /// The configuration in force.
    pub config: &'a Rc<Config>,
    /// What is known of the upstreams.
    pub fleet: &'a Rc<Fleet>,
    /// The request.
    pub ask: &'a Ask,
    /// Whom to call.
    pub plan: &'a Plan<'a>,
    /// The most tokens that a choice may have; `None`: as the request says.
    pub most_output: Option<u64>,
}

/// An answer, with the targets that can continue it where it breaks off.
#[derive(Debug)]
pub struct Dispatched {
    /// The answer.
    pub answer: Answer,
    /// `None` if nobody may continue it.
    pub successors: Option<Box<Successors>>,
}

/// What a target said, or that it did not.
pub(super) enum Told {
    /// What the caller gets.
    Answered(Dispatched),
    /// A stand-in does not take what the first target might have taken.
    Refused(Answer),
    /// Nothing of use.
    Failed(Failure, Keys),
}

/// How far a request has come on its way through the targets.
pub(super) struct Walk {
    pub(super) deadline: Timestamp,
    /// Whether somebody may still be called beside a target that is late: once a request.
    pub(super) may_hedge: bool,
    /// A target that was called so and to no avail; its turn is still to come.
    pub(super) beside: Option<(usize, Told)>,
    /// What a stand-in last refused, in case that nobody does better.
    refusal: Option<Answer>,
    /// Until when a target rests that was passed over.
    rested_until: Option<Timestamp>,
}

impl<P: Platform> Line<'_, P> {
    /// Tries the targets in their order and notes every attempt in the record.
    pub async fn call(&self, entry: &mut Entry<P>) -> Result<Dispatched, Fault> {
        let route = self.plan.route();
        let deadline = entry.began() + route.timeouts.total;
        if let Some(hedge) = route.hedge {
            self.fleet.note_hedged(self.plan.route_index(), hedge);
        }
        let mut walk = Walk {
            deadline,
            may_hedge: self.may_replay(),
            beside: None,
            refusal: None,
            rested_until: None,
        };
        let refused = |answer| Dispatched { answer, successors: None };
        let answer = self.walk(&mut walk, entry).await;
        let answer = answer.or_else(|| walk.refusal.take().map(refused));
        if entry.record().attempts.is_empty() {
            entry.skipped_none();
        }
        answer.ok_or_else(|| self.fault(entry, &walk))
    }

    /// Tries the targets in their order, until one answers or nothing is left to try.
    async fn walk(&self, walk: &mut Walk, entry: &mut Entry<P>) -> Option<Dispatched> {
        let route = self.plan.route();
        let targets = self.plan.targets();
        let mut course =
            Course::new(targets.len(), route.fallback_on, route.retries, walk.deadline);
        let exchange = self.exchange(walk.deadline, entry);
        for (position, planned) in targets.iter().enumerate() {
            // Since the choice, another request may have taken the only permit of a half-open target.
            let again = if position == 0 { self.choose_again(planned) } else { None };
            let candidate = again.as_ref().unwrap_or(planned);
            let (mut body, mut is_first_try) = (None, true);
            loop {
                let now = self.platform.now();
                // A timer may be late, and a caller's body slow: what cannot end in time is not begun.
                if now >= walk.deadline {
                    return None;
                }
                let told = match walk.beside.take_if(|(beside, _)| *beside == position) {
                    // It was called already, beside another.
                    Some((_, told)) => {
                        is_first_try = false;
                        Ok(told)
                    }
                    None => match exchange.begin(candidate, Part::Whole, entry) {
                        Err(until) => Err(until),
                        Ok(call) => {
                            if std::mem::take(&mut is_first_try) {
                                self.fleet.note_request(candidate.index, route.retries, now);
                            }
                            let body = body.get_or_insert_with(|| self.body(candidate));
                            Ok(self.hear(&exchange, (position, call), body, walk, entry).await)
                        }
                    },
                };
                let now = self.platform.now();
                let step = match told {
                    Ok(Told::Answered(answer)) => return Some(answer),
                    Ok(Told::Refused(answer)) => {
                        entry.answered_by(candidate.label());
                        walk.refusal = Some(answer);
                        course.pass_over(now)
                    }
                    Ok(Told::Failed(failure, keys)) => {
                        let may_retry = || self.fleet.may_retry(candidate.index, now);
                        course.after(failure, keys, now, self.platform.entropy(), may_retry)
                    }
                    Err(until) => {
                        walk.rest(until);
                        entry.skipped(|| candidate.label());
                        course.pass_over(now)
                    }
                };
                if step != Step::Stop && !entry.record().attempts.is_empty() && !self.may_replay() {
                    entry.not_replayed();
                    return None;
                }
                match step {
                    Step::Again { after } if after.is_zero() => {}
                    Step::Again { after } => self.platform.sleep(after).await,
                    Step::Next => break,
                    Step::Stop => return None,
                }
            }
        }
        None
    }

    /// Another weighted target in place of the first one, if that may not be called any more.
    fn choose_again(&self, planned: &Candidate<'_>) -> Option<Candidate<'_>> {
        let now = self.platform.now();
        if self.fleet.is_awake(planned.index, planned.model, now) {
            return None;
        }
        self.plan.choose_again(self.config, self.ask, self.fleet, now)
    }

    /// Makes a call, perhaps with another beside it.
    async fn hear(
        &self,
        exchange: &Exchange<'_, P>,
        (position, call): (usize, Call<'_>),
        body: &Bytes,
        walk: &mut Walk,
        entry: &mut Entry<P>,
    ) -> Told {
        match self.late_after(&call, walk) {
            // Apart, so that other routes' requests do not carry the room that it takes.
            Some(after) => {
                let hedged =
                    self.hedged(exchange, (position, call), body.clone(), after, walk, entry);
                Box::pin(hedged).await
            }
            None => {
                let result =
                    exchange.send(call.candidate, (call.key, call.number), body.clone()).await;
                self.conclude(exchange, (position, call), result, entry)
            }
        }
    }

    /// Notes what came of a call, and says what it means for the request.
    pub(super) fn conclude(
        &self,
        exchange: &Exchange<'_, P>,
        (position, call): (usize, Call<'_>),
        result: Result<Certain, Failed>,
        entry: &mut Entry<P>,
    ) -> Told {
        let candidate = call.candidate;
        match exchange.conclude(call, result, entry) {
            // Whoever stands in for another may refuse what that one would have taken, and a third may
            // take it.
            Ok(answer) if !answer.status.is_success() && position > 0 => Told::Refused(answer),
            Ok(answer) => {
                entry.answered_by(candidate.label());
                let is_stream = matches!(answer.content, Content::Stream(_));
                let others = &self.plan.targets()[position + 1..];
                let may_follow = is_stream && exchange.keeps_draft && !others.is_empty();
                let successors = may_follow.then(|| {
                    let (config, fleet) = (Rc::clone(self.config), Rc::clone(self.fleet));
                    let route = self.plan.route_index();
                    Box::new(Successors::new(config, fleet, self.ask, route, others))
                });
                Told::Answered(Dispatched { answer, successors })
            }
            Err((failure, keys)) => Told::Failed(failure, keys),
        }
    }

    fn exchange(&self, deadline: Timestamp, entry: &Entry<P>) -> Exchange<'_, P> {
        // What a hard limit caps was reserved for one answer.
        let keeps_draft = self.plan.route().goes_on
            && self.most_output.is_none()
            && self.may_replay()
            && resume::may_go_on(self.ask);
        Exchange {
            platform: self.platform,
            fleet: self.fleet,
            ask: self.ask,
            route: self.plan.route(),
            deadline,
            beside: Weight::default(),
            trace: entry.trace().cloned(),
            keeps_draft,
        }
    }

    /// The request as a target is sent it.
    pub(super) fn body(&self, candidate: &Candidate<'_>) -> Bytes {
        self.ask.body_for(outgoing::changes(candidate, self.ask, self.most_output))
    }

    /// Whether the request may be sent more than once.
    fn may_replay(&self) -> bool {
        let most = self.plan.route().retries.replay;
        most.is_none_or(|most| self.ask.body().len() <= most)
    }

    /// What all the failures add up to.
    fn fault(&self, entry: &Entry<P>, walk: &Walk) -> Fault {
        let attempts = &entry.record().attempts;
        let now = self.platform.now();
        let is_late = || {
            attempts.iter().all(|attempt| attempt.result == Failure::Timeout.name())
                || now >= walk.deadline
        };
        match walk.rested_until {
            Some(until) if attempts.is_empty() => Fault::NoHealthyUpstream {
                retry_after: until.since(now).as_millis().div_ceil(1000).max(1) as u64,
            },
            _ if entry.record().not_replayed => Fault::NotReplayed {
                most: self.plan.route().retries.replay.unwrap_or_default(),
                is_late: is_late(),
            },
            _ if is_late() => Fault::Timeout,
            _ => Fault::Upstream,
        }
    }
}

impl Walk {
    /// Notes that a target was passed over that rests until then.
    fn rest(&mut self, until: Timestamp) {
        self.rested_until = Some(self.rested_until.map_or(until, |earlier| earlier.min(until)));
    }
}
