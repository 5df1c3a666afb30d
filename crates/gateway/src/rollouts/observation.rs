//! Observation of a finished request: the events of its route's checks.

use config::Metric;

use crate::record::{
    ABANDONED, ANSWERED, Attempt, AttemptKind, CALLERS_FAULT, HEDGED_OUT, Outcome, Record,
    RolloutUnit,
};

/// Value of a metric for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    /// Nothing is known.
    Nothing,
    /// Whether the event occurred.
    Event(bool),
    /// A measurement.
    Measured(u64),
    /// A measurement that would have been longer: the caller left first.
    AtLeast(u64),
}

/// Observes requests whose chosen target was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation<'a> {
    record: &'a Record,
    /// Cost in billionths of a USD. `None` without a price.
    cost: Option<u64>,
    /// Whether the chosen target gave the caller's answer.
    has_answered: bool,
    has_failed: bool,
}

impl<'a> Observation<'a> {
    /// `None` if the chosen target was not called, or if the caller's own mistake says nothing about it.
    pub(super) fn new(record: &'a Record, unit: &RolloutUnit, cost: Option<u64>) -> Option<Self> {
        let is_first_part = |attempt: &&Attempt| attempt.kind != AttemptKind::Continuation;
        let own = || {
            let all = record.attempts.iter().filter(is_first_part);
            all.filter(|attempt| attempt.target == unit.target).map(|attempt| attempt.result)
        };
        if own().next().is_none() || own().any(|result| result == CALLERS_FAULT) {
            return None;
        }
        let has_answered = own().any(|result| result == ANSWERED);
        // A stream that another target completed has a new target in the record.
        let broke_off = has_answered && (record.outcome == Outcome::Truncated || record.continued);
        let has_failed = broke_off
            || (!has_answered && own().any(|result| !matches!(result, ABANDONED | HEDGED_OUT)));
        Some(Self { record, cost, has_answered, has_failed })
    }

    /// Whether the chosen target failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The value of a metric.
    pub(super) fn observe(&self, metric: Metric) -> Observed {
        let record = self.record;
        let has_left = record.outcome == Outcome::HungUp;
        let is_whole = self.has_answered && !self.has_failed && !has_left;
        match metric {
            Metric::Errors if self.has_failed => Observed::Event(true),
            Metric::Errors if self.has_answered => Observed::Event(false),
            Metric::Errors => Observed::Nothing,
            Metric::FirstToken => match record.first_token_ms {
                Some(millis) if self.has_answered => Observed::Measured(millis),
                None if has_left && !self.has_failed => Observed::AtLeast(record.total_ms),
                Some(_) | None => Observed::Nothing,
            },
            Metric::Latency if is_whole => Observed::Measured(record.total_ms),
            Metric::Latency if has_left && !self.has_failed => Observed::AtLeast(record.total_ms),
            Metric::Latency => Observed::Nothing,
            Metric::Cost if is_whole => self.cost.map_or(Observed::Nothing, Observed::Measured),
            Metric::Cost => Observed::Nothing,
            // An embedding has no output.
            Metric::Truncated if record.operation == Some("embeddings") => Observed::Nothing,
            Metric::Truncated if self.has_answered && !has_left => {
                Observed::Event(self.has_failed || record.tokens.output == 0)
            }
            Metric::Truncated => Observed::Nothing,
        }
    }
}
