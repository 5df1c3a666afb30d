//! Circuit breaker of one target: it opens after consecutive failures, and then lets one probe at a
//! time find out whether the target has recovered.
//!
//! A caller can make calls fail: by a prompt that takes too long, or on which the provider breaks.
//! Failures of one caller alone therefore open the breaker for that caller only. It opens for everyone
//! as soon as others fail too.
//!
//! Refused keys are handled by `key_pool`.

use std::collections::VecDeque;
use std::time::Duration;

use civil_time::Timestamp;
use config::Health;

use super::backoff;
use super::caller_tag::CallerTag;
use super::last_resort::Access;

/// The longest cool-down that a `Retry-After` can request. Cool-downs after failures end within
/// `Health::MAX_OPEN_TIME`, so that a recovered provider is called again.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Default)]
pub(crate) struct CircuitBreaker {
    /// Consecutive failures of those for whom the breaker is closed, the oldest first.
    failures: VecDeque<(Timestamp, CallerTag)>,
    /// `None` if the breaker is closed for everyone.
    open_state: Option<OpenState>,
}

/// State of a breaker that is open or half open.
#[derive(Clone, Copy, Debug)]
struct OpenState {
    until: Timestamp,
    /// The only caller whose failures have opened the breaker. For all others it is closed.
    only_for: Option<CallerTag>,
    /// Number of consecutive openings before this one without a success between them.
    earlier_openings: u32,
    /// The probe in flight.
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    /// Time at which the probe counts as lost: its host has dropped the request without a signal.
    lost_at: Timestamp,
}

/// Permission to call a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permit(Option<u64>);

/// The target may not be called before this time. A call after it may still be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerOpen(pub Timestamp);

/// Evidence that a call gives about the health of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The target has sent content.
    FirstContent,
    /// A whole answer was delivered.
    Success,
    /// The call failed, which its request may have caused.
    Failure,
    /// No connection: a failure that no request can cause.
    Unreachable,
    /// The target asks for a pause of this length.
    Throttled(Duration),
    /// No evidence: the caller's own fault, a refused key, or a caller who hung up.
    Neutral,
}

impl CircuitBreaker {
    /// Whether a call would be permitted now.
    pub(crate) fn is_available(&self, caller: CallerTag, now: Timestamp) -> bool {
        self.check_available(caller, now, Access::Regular).is_ok()
    }

    /// Whether the breaker is open or half open for a caller.
    pub(crate) fn is_open_for(&self, caller: CallerTag) -> bool {
        self.open_state.is_some_and(|open_state| open_state.concerns(caller))
    }

    /// The end of the cool-down. `None` if the breaker is closed, or open for one caller alone.
    pub(crate) fn cool_down_end(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.open_state.filter(|open| open.only_for.is_none())?;
        Some(open.until).filter(|until| *until > now)
    }

    /// Whether the breaker is open or half open for anyone.
    pub(crate) fn is_open(&self) -> bool {
        self.open_state.is_some()
    }

    /// The only caller for whom the breaker is open or half open. `None` if it is open for everyone, or
    /// closed.
    pub(crate) fn open_only_for(&self) -> Option<CallerTag> {
        self.open_state.and_then(|open_state| open_state.only_for)
    }

    /// Whether the state equals that of a new breaker.
    pub(crate) fn is_default(&self) -> bool {
        self.open_state.is_none() && self.failures.is_empty()
    }

    /// Time of the last failure or opening.
    pub(crate) fn last_signal_at(&self) -> Timestamp {
        let failed = self.failures.back().map(|(at, _)| *at).unwrap_or_default();
        self.open_state.map_or(failed, |open_state| open_state.until)
    }

    /// Requests permission for a call. After a cool-down one call is permitted as a probe with this
    /// unique `number`. Other calls are refused until the probe has an outcome, or until `patience`
    /// has passed and it counts as lost. A last-resort call is a probe during the cool-down.
    pub(crate) fn acquire(
        &mut self,
        (caller, access): (CallerTag, Access),
        now: Timestamp,
        timeout: Duration,
        number: u64,
    ) -> Result<Permit, BreakerOpen> {
        self.check_available(caller, now, access)?;
        let open_state = self.open_state.as_mut().filter(|open_state| open_state.concerns(caller));
        let Some(open_state) = open_state else { return Ok(Permit::default()) };
        open_state.probe = Some(Probe { number, lost_at: now + timeout });
        Ok(Permit(Some(number)))
    }

    fn check_available(
        &self,
        caller: CallerTag,
        now: Timestamp,
        access: Access,
    ) -> Result<(), BreakerOpen> {
        match self.open_state.filter(|open_state| open_state.concerns(caller)) {
            Some(OpenState { until, .. }) if now < until && access == Access::Regular => {
                Err(BreakerOpen(until))
            }
            Some(OpenState { probe: Some(probe), .. }) if now < probe.lost_at => {
                Err(BreakerOpen(probe.lost_at))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Records a signal of a call. A call may give more than one: content first, then success or
    /// failure.
    ///
    /// While the breaker is open for the caller only the probe counts, because other calls began
    /// before it opened.
    pub(crate) fn record(
        &mut self,
        caller: CallerTag,
        (permit, signal): (Permit, Signal),
        now: Timestamp,
        entropy: u64,
        health: &Health,
    ) {
        if health.failures == 0 {
            return;
        }
        let open_state = self.open_state.as_mut().filter(|open_state| open_state.concerns(caller));
        let Some(open_state) = open_state else {
            return self.record_while_closed(caller, signal, now, entropy, health);
        };
        let only_for = open_state.only_for;
        let is_probe = permit.0.is_some() && open_state.probe.map(|probe| probe.number) == permit.0;
        match signal {
            // A probe that already counts as lost is still proof of health.
            Signal::FirstContent | Signal::Success if permit.0.is_some() => *self = Self::default(),
            // A last resort that fails leaves the cool-down as it is.
            Signal::Failure | Signal::Unreachable if is_probe && now < open_state.until => {
                open_state.probe = None;
            }
            Signal::Failure | Signal::Unreachable if is_probe => {
                let only_for = only_for.filter(|_| signal == Signal::Failure);
                let earlier = open_state.earlier_openings.saturating_add(1);
                self.trip(only_for, now + open_duration(health, earlier, entropy), earlier);
            }
            Signal::Throttled(wait) if is_probe => {
                let earlier = open_state.earlier_openings;
                self.trip(None, now + wait.min(MAX_RETRY_AFTER), earlier);
            }
            // Permits another probe.
            Signal::Neutral if is_probe => open_state.probe = None,
            Signal::FirstContent
            | Signal::Success
            | Signal::Failure
            | Signal::Unreachable
            | Signal::Throttled(_)
            | Signal::Neutral => {}
        }
    }

    fn record_while_closed(
        &mut self,
        caller: CallerTag,
        signal: Signal,
        now: Timestamp,
        entropy: u64,
        health: &Health,
    ) {
        match signal {
            // A stream that sends content and breaks off every time must not count as healthy.
            Signal::FirstContent | Signal::Neutral => {}
            Signal::Success => self.failures.clear(),
            Signal::Throttled(wait) => self.trip(None, now + wait.min(MAX_RETRY_AFTER), 0),
            Signal::Failure | Signal::Unreachable => {
                while self.failures.front().is_some_and(|(at, _)| now.since(*at) > health.window) {
                    self.failures.pop_front();
                }
                let cause = if signal == Signal::Failure { caller } else { CallerTag::ANYONE };
                self.failures.push_back((now, cause));
                if self.failures.len() >= health.failures as usize {
                    let only_for = self.only_cause(cause, now, health);
                    self.trip(only_for, now + open_duration(health, 0, entropy), 0);
                }
            }
        }
    }

    /// The caller that caused all failures. `None` if several did, if none is known, or if the breaker is
    /// or recently was open for another.
    fn only_cause(&self, last: CallerTag, now: Timestamp, health: &Health) -> Option<CallerTag> {
        let was_open = |open_state: OpenState| now.since(open_state.until) <= health.window;
        let is_alone = last.is_known()
            && !self.open_state.is_some_and(was_open)
            && self.failures.iter().all(|(_, cause)| *cause == last);
        is_alone.then_some(last)
    }

    fn trip(&mut self, only_for: Option<CallerTag>, until: Timestamp, earlier: u32) {
        self.failures.clear();
        self.open_state =
            Some(OpenState { until, only_for, earlier_openings: earlier, probe: None });
    }
}

impl OpenState {
    fn concerns(&self, caller: CallerTag) -> bool {
        self.only_for.is_none_or(|only| only == caller)
    }
}

/// Cool-down after an opening: doubled each time, with jitter, so that instances do not return to a
/// provider at the same moment.
fn open_duration(health: &Health, earlier: u32, entropy: u64) -> Duration {
    let doubled = health.cool_down.saturating_mul(1 << earlier.min(16)).min(Health::MAX_OPEN_TIME);
    backoff::jitter(doubled, entropy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::Health;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use proptest::sample::Index;
    use proptest::strategy::Just;

    use super::super::caller_tag::CallerTag;
    use super::super::last_resort::Access;
    use super::{BreakerOpen, CircuitBreaker, Permit, Signal};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
    const HEALTH: Health =
        Health { failures: 3, window: Duration::from_secs(30), cool_down: Duration::from_secs(10) };
    const NO_PROBE: Permit = Permit(None);
    const ANYONE: CallerTag = CallerTag::ANYONE;

    /// Acquires a permit with a unique probe number.
    fn acquire(breaker: &mut CircuitBreaker, now: Timestamp) -> Result<Permit, BreakerOpen> {
        breaker.acquire((ANYONE, Access::Regular), now, PROBE_TIMEOUT, now.as_millis())
    }

    fn at(millis: u64) -> Timestamp {
        NOW + Duration::from_millis(millis)
    }

    /// Records signals of calls that began before any opening, each at its millisecond.
    #[track_caller]
    fn assert_open(signs: &[(u64, Signal)], is_open: bool) {
        let mut breaker = CircuitBreaker::default();
        for (millis, signal) in signs {
            breaker.record(ANYONE, (NO_PROBE, *signal), at(*millis), u64::MAX, &HEALTH);
        }
        assert_eq!(breaker.is_open(), is_open, "{signs:?}");
    }

    #[test]
    fn consecutive_failures_within_the_window_open_the_breaker() {
        use super::Signal::{Failure, FirstContent, Neutral, Success, Throttled};
        assert_open(&[(0, Failure), (1, Failure)], false);
        assert_open(&[(0, Failure), (1, Failure), (30_000, Failure)], true);
        assert_open(&[(0, Failure), (1, Failure), (30_001, Failure)], false);
        assert_open(&[(0, Failure), (1, Failure), (2, Success), (3, Failure)], false);
        assert_open(&[(0, Failure), (1, Failure), (2, FirstContent), (3, Failure)], true);
        assert_open(&[(0, Failure), (1, Failure), (2, Neutral), (3, Neutral)], false);
        assert_open(&[(0, Neutral), (1, Neutral), (2, Neutral), (3, Neutral)], false);
        assert_open(&[(0, Throttled(Duration::from_secs(1)))], true);
    }

    #[test]
    fn threshold_of_zero_never_opens_the_breaker() {
        let mut breaker = CircuitBreaker::default();
        let never = Health { failures: 0, ..HEALTH };
        for signal in [Signal::Failure, Signal::Throttled(PROBE_TIMEOUT)] {
            breaker.record(ANYONE, (NO_PROBE, signal), NOW, 0, &never);
        }
        assert!(breaker.is_default());
    }

    /// A breaker that opened at `NOW` with a cool-down of ten seconds.
    fn open() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..3 {
            breaker.record(ANYONE, (NO_PROBE, Signal::Failure), NOW, u64::MAX, &HEALTH);
        }
        breaker
    }

    #[test]
    fn cool_down_ends_with_one_probe() {
        let mut breaker = open();
        assert_eq!(acquire(&mut breaker, at(9_998)), Err(BreakerOpen(at(9_999))));
        let probe = acquire(&mut breaker, at(10_000)).expect("the cool-down is over");
        assert_eq!(acquire(&mut breaker, at(10_001)), Err(BreakerOpen(at(13_000))));
        assert!(!breaker.is_available(ANYONE, at(10_001)));
        // A signal from a call before the opening changes nothing.
        breaker.record(ANYONE, (NO_PROBE, Signal::Success), at(10_002), 0, &HEALTH);
        breaker.record(ANYONE, (NO_PROBE, Signal::Failure), at(10_002), 0, &HEALTH);
        assert!(breaker.is_open());
        breaker.record(ANYONE, (probe, Signal::FirstContent), at(10_003), 0, &HEALTH);
        assert!(breaker.is_default());
    }

    #[test]
    fn last_resort_closes_the_breaker_or_leaves_the_cool_down() {
        let mut breaker = open();
        let last_resort = (ANYONE, Access::LastResort);
        let probe = |breaker: &mut CircuitBreaker, millis| {
            breaker.acquire(last_resort, at(millis), PROBE_TIMEOUT, millis)
        };
        let first = probe(&mut breaker, 1_000).expect("no probe is in flight");
        assert_eq!(probe(&mut breaker, 1_001), Err(BreakerOpen(at(4_000))));
        breaker.record(ANYONE, (first, Signal::Failure), at(1_100), u64::MAX, &HEALTH);
        assert_eq!(acquire(&mut breaker, at(1_101)), Err(BreakerOpen(at(9_999))));
        let second = probe(&mut breaker, 3_000).expect("the first has failed");
        breaker.record(ANYONE, (second, Signal::Success), at(3_100), 0, &HEALTH);
        assert!(breaker.is_default());
    }

    #[test]
    fn failed_probe_doubles_the_cool_down_up_to_the_maximum() {
        let mut breaker = open();
        let mut now = at(10_000);
        for rest in [20, 30, 30] {
            let probe = acquire(&mut breaker, now).expect("the cool-down is over");
            breaker.record(ANYONE, (probe, Signal::Failure), now, u64::MAX, &HEALTH);
            let Err(BreakerOpen(until)) = acquire(&mut breaker, now) else {
                panic!("the breaker is open")
            };
            assert_eq!(until.since(now).as_millis().div_ceil(1_000), rest);
            now = until;
        }
    }

    #[test]
    fn neutral_or_lost_probe_permits_another() {
        let mut breaker = open();
        let probe = acquire(&mut breaker, at(10_000)).expect("the cool-down is over");
        breaker.record(ANYONE, (probe, Signal::Neutral), at(10_001), 0, &HEALTH);
        let lost = acquire(&mut breaker, at(10_001)).expect("the first signal was neutral");
        let second = acquire(&mut breaker, at(13_001)).expect("the probe counts as lost");
        breaker.record(ANYONE, (lost, Signal::Failure), at(13_002), 0, &HEALTH);
        assert_eq!(
            acquire(&mut breaker, at(13_002)),
            Err(BreakerOpen(at(16_001))),
            "the second is"
        );
        breaker.record(ANYONE, (lost, Signal::FirstContent), at(13_003), 0, &HEALTH);
        assert!(breaker.is_default(), "what was late is a proof nevertheless");
        breaker.record(ANYONE, (second, Signal::Failure), at(13_004), 0, &HEALTH);
        assert!(!breaker.is_open(), "one failure, as any other");
    }

    #[test]
    fn throttled_target_cools_down_as_requested() {
        let mut breaker = CircuitBreaker::default();
        breaker.record(
            ANYONE,
            (NO_PROBE, Signal::Throttled(Duration::from_secs(7))),
            NOW,
            0,
            &HEALTH,
        );
        assert_eq!(acquire(&mut breaker, NOW), Err(BreakerOpen(at(7_000))));
        let probe = acquire(&mut breaker, at(7_000)).expect("the cool-down is over");
        let throttled = Signal::Throttled(Duration::from_secs(1 << 40));
        breaker.record(ANYONE, (probe, throttled), at(7_000), 0, &HEALTH);
        assert_eq!(acquire(&mut breaker, at(7_000)), Err(BreakerOpen(at(3_607_000))));
    }

    /// Fails this many calls of a caller, which all began while the breaker was closed.
    fn fail(breaker: &mut CircuitBreaker, caller: CallerTag, count: usize, now: Timestamp) {
        for _ in 0..count {
            breaker.record(caller, (NO_PROBE, Signal::Failure), now, u64::MAX, &HEALTH);
        }
    }

    #[test]
    fn failures_of_one_caller_open_the_breaker_for_it_only() {
        let [one, two, three] = ["one", "two", "three"].map(|name| CallerTag::new(Some(name)));
        let mut breaker = CircuitBreaker::default();
        fail(&mut breaker, one, 3, NOW);
        assert!(!breaker.is_available(one, at(1)) && breaker.is_open_for(one));
        for other in [two, ANYONE] {
            assert!(breaker.is_available(other, at(1)) && !breaker.is_open_for(other));
            assert_eq!(
                breaker.acquire((other, Access::Regular), at(1), PROBE_TIMEOUT, 1),
                Ok(NO_PROBE)
            );
        }
        // A failure among successes of others is no reason.
        fail(&mut breaker, two, 2, at(1));
        breaker.record(three, (NO_PROBE, Signal::Success), at(2), 0, &HEALTH);
        fail(&mut breaker, two, 2, at(3));
        assert!(breaker.is_available(two, at(4)) && !breaker.is_available(one, at(4)));
        // The caller's own probe closes it for the caller.
        let probe =
            breaker.acquire((one, Access::Regular), at(10_000), PROBE_TIMEOUT, 2).expect("a probe");
        breaker.record(one, (probe, Signal::Failure), at(10_001), u64::MAX, &HEALTH);
        assert!(!breaker.is_available(one, at(29_999)) && breaker.is_available(two, at(29_999)));
        let probe =
            breaker.acquire((one, Access::Regular), at(30_001), PROBE_TIMEOUT, 3).expect("a probe");
        breaker.record(one, (probe, Signal::FirstContent), at(30_002), 0, &HEALTH);
        assert!(breaker.is_default());
    }

    #[test]
    fn failures_of_several_callers_open_the_breaker_for_everyone() {
        let [one, two, three] = ["one", "two", "three"].map(|name| CallerTag::new(Some(name)));
        let is_open_for_all = |breaker: &CircuitBreaker, now| {
            [one, two, three, ANYONE].iter().all(|caller| !breaker.is_available(*caller, now))
        };
        let mut breaker = CircuitBreaker::default();
        fail(&mut breaker, one, 2, NOW);
        fail(&mut breaker, two, 1, NOW);
        assert!(is_open_for_all(&breaker, at(1)));
        let mut breaker = CircuitBreaker::default();
        fail(&mut breaker, one, 3, NOW);
        fail(&mut breaker, two, 3, at(1));
        assert!(is_open_for_all(&breaker, at(2)));
        // No request causes a failed connection.
        let mut breaker = CircuitBreaker::default();
        for _ in 0..3 {
            breaker.record(one, (NO_PROBE, Signal::Unreachable), NOW, u64::MAX, &HEALTH);
        }
        assert!(is_open_for_all(&breaker, at(1)));
        let mut breaker = CircuitBreaker::default();
        breaker.record(one, (NO_PROBE, Signal::Throttled(PROBE_TIMEOUT)), NOW, 0, &HEALTH);
        assert!(is_open_for_all(&breaker, at(1)));
        // Long after one caller's failures, another one's are its own.
        let mut breaker = CircuitBreaker::default();
        fail(&mut breaker, one, 3, NOW);
        fail(&mut breaker, two, 3, at(60_000));
        assert!(breaker.is_available(one, at(60_001)) && !breaker.is_available(two, at(60_001)));
    }

    fn sign() -> impl Strategy<Value = Signal> {
        prop_oneof![
            Just(Signal::FirstContent),
            Just(Signal::Success),
            Just(Signal::Failure),
            Just(Signal::Neutral),
            (0u64..20_000).prop_map(|millis| Signal::Throttled(Duration::from_millis(millis))),
        ]
    }

    proptest! {
        /// Each call ends before it would count as lost.
        #[test]
        fn at_most_one_probe_is_in_flight(steps in proptest::collection::vec((0u64..4_000, any::<bool>(), any::<Index>(), sign(), any::<u64>()), 1..200)) {
            let mut breaker = CircuitBreaker::default();
            let mut under_way: Vec<(Permit, Timestamp)> = Vec::new();
            let mut now = NOW;
            for (pause, asks, which, signal, entropy) in steps {
                now = now + Duration::from_millis(pause);
                let (over, going): (Vec<_>, Vec<_>) =
                    under_way.into_iter().partition(|(_, began)| now.since(*began) >= PROBE_TIMEOUT);
                under_way = going;
                for (permit, _) in over {
                    breaker.record(ANYONE, (permit, Signal::Neutral), now, entropy, &HEALTH);
                }
                if asks {
                    let was_open = breaker.is_open();
                    if let Ok(permit) = acquire(&mut breaker, now) {
                        assert_eq!(was_open, permit.0.is_some());
                        under_way.push((permit, now));
                    }
                } else if !under_way.is_empty() {
                    let (permit, _) = under_way.swap_remove(which.index(under_way.len()));
                    breaker.record(ANYONE, (permit, signal), now, entropy, &HEALTH);
                }
                if let Some(rest) = breaker.open_state {
                    let is_probe = |permit: &Permit| permit.0.is_some() && permit.0 == rest.probe.map(|probe| probe.number);
                    let probes = under_way.iter().filter(|(permit, _)| is_probe(permit)).count();
                    assert!(probes <= 1);
                    assert_eq!(under_way.iter().filter(|(permit, _)| permit.0.is_some()).count(), probes);
                }
            }
        }

        /// S15: after any signals within a minute, the target is called again half a minute later,
        /// and then without limit.
        #[test]
        fn flapping_target_returns_within_half_a_minute(flaps in proptest::collection::vec(100u64..20_000, 1..60), step in 20u64..1_000, entropy in any::<u64>()) {
            let mut breaker = CircuitBreaker::default();
            let borders: Vec<u64> = flaps.iter().scan(0, |sum, flap| { *sum += flap; Some(*sum) }).collect();
            let is_up = |millis: u64| millis >= 60_000 || borders.iter().filter(|border| **border <= millis).count() % 2 == 1;
            let mut millis = 0;
            while millis <= 120_000 {
                let permit = acquire(&mut breaker, at(millis));
                assert!(permit.is_ok() || millis < 60_000 + 30_000 + step, "the breaker is open at {millis}");
                if let Ok(permit) = permit {
                    let signal = if is_up(millis) { Signal::Success } else { Signal::Failure };
                    breaker.record(ANYONE, (permit, signal), at(millis), entropy, &HEALTH);
                }
                millis += step;
            }
            assert!(breaker.is_default());
        }

        /// A dead target costs the threshold of calls, and then one call per cool-down.
        #[test]
        fn dead_target_gets_few_calls(step in 1u64..500, entropy in any::<u64>()) {
            let mut breaker = CircuitBreaker::default();
            let mut calls = 0;
            for millis in (0..600_000).step_by(usize::try_from(step).expect("it is small")) {
                if let Ok(permit) = acquire(&mut breaker, at(millis)) {
                    calls += 1;
                    breaker.record(ANYONE, (permit, Signal::Failure), at(millis), entropy, &HEALTH);
                }
            }
            // The shortest cool-downs are half of 10, 20, 30, 30 … seconds.
            assert!(calls <= 3 + 1 + 1 + 600 / (Health::MAX_OPEN_TIME.as_secs() / 2), "{calls}");
        }
    }
}
