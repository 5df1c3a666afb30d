//! Progress of one request through its targets.

use std::time::Duration;

use civil_time::Timestamp;

use crate::routing::plan::Candidate;
use crate::upstream::classify::Failure;

use super::additions::TakenBack;
use super::answer::Answer;
use super::attempt::TargetBody;
use super::dispatch::AttemptOutcome;
use super::key_pool::MAX_COOL_DOWN;

/// `retry-after` of a 429 if no provider has named a time, in seconds.
const DEFAULT_RETRY_AFTER: u64 = 5;

/// Progress of a request through its targets.
pub(crate) struct DispatchState {
    pub(crate) deadline: Timestamp,
    /// Whether a hedge is still possible: at most one per request.
    pub(crate) may_hedge: bool,
    /// Outcome of a hedge that lost; its target's turn is still to come.
    pub(crate) hedged_outcome: Option<(usize, AttemptOutcome)>,
    /// The last refusal of a fallback, which the caller gets if no other target answers.
    pub(crate) refusal: Option<Answer>,
    /// The earliest end of a cool-down of a target that was skipped.
    pub(crate) cool_down_until: Option<Timestamp>,
    /// The earliest time that a provider has named for another try after a 429.
    limited_until: Option<Timestamp>,
}

/// One target's turn in a request.
pub(crate) struct Turn<'c> {
    pub(crate) position: usize,
    pub(crate) candidate: &'c Candidate<'c>,
    /// The body for the target; `None` until it is needed, and after an addition was taken back.
    pub(crate) body: Option<TargetBody>,
    pub(crate) taken_back: TakenBack,
    /// Whether the target was not called yet.
    pub(crate) is_first_try: bool,
}

impl<'c> Turn<'c> {
    pub(crate) fn new(position: usize, candidate: &'c Candidate<'c>) -> Self {
        let taken_back = TakenBack::default();
        Self { position, candidate, body: None, taken_back, is_first_try: true }
    }

    /// Builds the next body without an addition that the target refuses.
    pub(crate) fn note_failure(&mut self, failure: Failure) {
        if let Failure::AdditionRefused(addition) = failure {
            self.taken_back.add(addition);
            self.body = None;
        }
    }
}

impl DispatchState {
    /// The start of a request's course. `may_hedge`: the request may be sent more than once.
    pub(crate) fn new(deadline: Timestamp, may_hedge: bool) -> Self {
        Self {
            deadline,
            may_hedge,
            hedged_outcome: None,
            refusal: None,
            cool_down_until: None,
            limited_until: None,
        }
    }

    /// Records the cool-down of a target that was skipped.
    pub(crate) fn note_cool_down(&mut self, until: Timestamp) {
        self.cool_down_until =
            Some(self.cool_down_until.map_or(until, |earlier| earlier.min(until)));
    }

    /// Records the wait that a provider asks for.
    pub(crate) fn note_failure(&mut self, failure: Failure, now: Timestamp) {
        let (Failure::TooManyRequests { retry_after: Some(wait) }
        | Failure::QuotaExhausted { retry_after: Some(wait) }) = failure
        else {
            return;
        };
        let until = now + wait;
        self.limited_until = Some(self.limited_until.map_or(until, |earlier| earlier.min(until)));
    }

    /// Seconds until the earliest known time at which another try may succeed.
    pub(crate) fn retry_after(&self, now: Timestamp) -> u64 {
        let known = self.limited_until.into_iter().chain(self.cool_down_until).min();
        known.map_or(DEFAULT_RETRY_AFTER, |until| whole_seconds(until.since(now)))
    }
}

/// Seconds of a `retry-after`, rounded up: at least one, and at most the longest cool-down. A provider
/// whose keys are not set cools down without end.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let seconds = u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    seconds.clamp(1, MAX_COOL_DOWN.as_secs())
}
