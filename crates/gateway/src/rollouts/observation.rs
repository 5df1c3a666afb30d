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
                Observed::Event(self.has_failed || record.is_cut || record.tokens.output == 0)
            }
            Metric::Truncated => Observed::Nothing,
            // Feedback adds the events.
            Metric::Disliked if self.has_answered && !self.has_failed => Observed::Event(false),
            Metric::Disliked => Observed::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use config::Metric;
    use rollout::Side;

    use crate::record::{ABANDONED, ANSWERED, Attempt, AttemptKind, Outcome, Record, RolloutUnit};

    use super::{Observation, Observed};

    /// An answered stream of the chosen target.
    fn answered() -> Record {
        let (target, now) = ("new/m".to_owned(), Timestamp::default());
        let attempt = Attempt::start(target, None, AttemptKind::Primary, now);
        let tokens = openai::Tokens { output: 5, ..openai::Tokens::default() };
        Record {
            operation: Some("chat"),
            attempts: vec![Attempt { result: ANSWERED, ..attempt }],
            outcome: Outcome::Answered,
            first_token_ms: Some(30),
            total_ms: 200,
            tokens,
            ..Record::default()
        }
    }

    #[track_caller]
    fn assert_observed(metric: Metric, change: impl Fn(&mut Record), expected: Observed) {
        let mut record = answered();
        change(&mut record);
        let unit =
            RolloutUnit { side: Side::Canary, target: "new/m".to_owned(), version: 1, name: None };
        let observation = Observation::new(&record, &unit, Some(7)).expect("it was called");
        assert_eq!(observation.observe(metric), expected, "{metric:?}");
    }

    fn left(record: &mut Record) {
        record.attempts[0].result = ABANDONED;
        (record.outcome, record.first_token_ms) = (Outcome::HungUp, None);
    }

    fn failed(record: &mut Record) {
        record.attempts[0].result = "5xx";
        (record.outcome, record.first_token_ms) = (Outcome::Failed, None);
    }

    #[test]
    fn measurements_are_those_of_whole_answers() {
        let same = |_: &mut Record| {};
        let broke_off = |record: &mut Record| record.outcome = Outcome::Truncated;
        for (metric, value) in [(Metric::FirstToken, 30), (Metric::Latency, 200), (Metric::Cost, 7)]
        {
            assert_observed(metric, same, Observed::Measured(value));
            assert_observed(metric, failed, Observed::Nothing);
        }
        assert_observed(Metric::Latency, broke_off, Observed::Nothing);
        assert_observed(Metric::FirstToken, broke_off, Observed::Measured(30));
        // A caller who left has waited at least so long.
        assert_observed(Metric::FirstToken, left, Observed::AtLeast(200));
        assert_observed(Metric::Latency, left, Observed::AtLeast(200));
        assert_observed(Metric::Cost, left, Observed::Nothing);
        assert_observed(Metric::Errors, left, Observed::Nothing);
    }

    #[test]
    fn truncated_answers_are_cut_empty_or_broken() {
        let observe = |change: fn(&mut Record), expected| {
            assert_observed(Metric::Truncated, change, expected);
        };
        observe(|_| {}, Observed::Event(false));
        observe(|record| record.is_cut = true, Observed::Event(true));
        observe(|record| record.tokens.output = 0, Observed::Event(true));
        observe(|record| record.outcome = Outcome::Truncated, Observed::Event(true));
        observe(|record| record.operation = Some("embeddings"), Observed::Nothing);
        observe(failed, Observed::Nothing);
        observe(left, Observed::Nothing);
    }
}
