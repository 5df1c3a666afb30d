//! Whether a target is worth calling: it rests after failures in a row, and one call at a time finds
//! out whether it is well again.
//!
//! Knows nothing of keys: one that is refused is the keyring's business.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Health;
use crate::time::Timestamp;

use super::backoff;

/// The longest rest after failures, in whole: a provider that has recovered is called again within
/// this time, whatever was before.
/// The longest rest that a `Retry-After` can ask for.
pub const LONGEST_ASKED_REST: Duration = Duration::from_secs(3600);

/// The health of one target.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// Failures in a row while it is closed, the oldest first.
    failures: VecDeque<Timestamp>,
    /// `None`: closed.
    rest: Option<Rest>,
}

/// A target that rests, or is on probation.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    /// How many rests came before this one with no success between them.
    earlier: u32,
    /// The probe under way.
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    /// Nothing is heard of it after this: its host has dropped the request without a word.
    lost_at: Timestamp,
}

/// Leave to call a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass(Option<u64>);

/// The target is not to be called before this moment, and then perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting(pub Timestamp);

/// What a call says about the health of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answers: content has come.
    Alive,
    /// A whole answer was delivered.
    Well,
    /// It failed.
    Failed,
    /// It asks to be left alone for so long.
    Busy(Duration),
    /// Nothing: the caller's own fault, a refused key, a caller who left.
    Nothing,
}

impl Breaker {
    /// Whether a call would be let through now.
    pub fn is_awake(&self, now: Timestamp) -> bool {
        self.wait(now).is_ok()
    }

    /// Whether it is known to be ill.
    pub fn is_open(&self) -> bool {
        self.rest.is_some()
    }

    /// Whether there is anything to remember.
    pub fn is_blank(&self) -> bool {
        self.rest.is_none() && self.failures.is_empty()
    }

    /// When there was last a reason to remember it.
    pub fn last_sign(&self) -> Timestamp {
        let failed = self.failures.back().copied().unwrap_or_default();
        self.rest.map_or(failed, |rest| rest.until)
    }

    /// Asks to call. When a rest is over one call is let through, as a probe with this `number`, which
    /// no other has; nobody else is until it is known what came of it, or for `patience`, after which
    /// it is taken for lost.
    pub fn admit(
        &mut self,
        now: Timestamp,
        patience: Duration,
        number: u64,
    ) -> Result<Pass, Resting> {
        self.wait(now)?;
        let Some(rest) = &mut self.rest else { return Ok(Pass::default()) };
        rest.probe = Some(Probe { number, lost_at: now + patience });
        Ok(Pass(Some(number)))
    }

    fn wait(&self, now: Timestamp) -> Result<(), Resting> {
        match self.rest {
            Some(Rest { until, .. }) if now < until => Err(Resting(until)),
            Some(Rest { probe: Some(probe), .. }) if now < probe.lost_at => {
                Err(Resting(probe.lost_at))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Learns what came of a call. A sign may come more than once: alive first, then well or failed.
    ///
    /// While the target rests, only the probe counts: calls that began before it tell old news.
    pub fn note(&mut self, pass: Pass, sign: Sign, now: Timestamp, entropy: u64, health: &Health) {
        if health.failures == 0 {
            return;
        }
        let Some(rest) = &mut self.rest else {
            return self.note_closed(sign, now, entropy, health);
        };
        let is_probe = pass.0.is_some() && rest.probe.map(|probe| probe.number) == pass.0;
        match sign {
            // Even a probe that was taken for lost has proved it.
            Sign::Alive | Sign::Well if pass.0.is_some() => *self = Self::default(),
            Sign::Failed if is_probe => {
                let earlier = rest.earlier.saturating_add(1);
                self.open(now + length(health, earlier, entropy), earlier);
            }
            Sign::Busy(wait) if is_probe => {
                let earlier = rest.earlier;
                self.open(now + wait.min(LONGEST_ASKED_REST), earlier);
            }
            // The next one may try.
            Sign::Nothing if is_probe => rest.probe = None,
            Sign::Alive | Sign::Well | Sign::Failed | Sign::Busy(_) | Sign::Nothing => {}
        }
    }

    fn note_closed(&mut self, sign: Sign, now: Timestamp, entropy: u64, health: &Health) {
        match sign {
            // A stream that speaks and then breaks off, time and again, must not pass for well.
            Sign::Alive | Sign::Nothing => {}
            Sign::Well => self.failures.clear(),
            Sign::Busy(wait) => self.open(now + wait.min(LONGEST_ASKED_REST), 0),
            Sign::Failed => {
                while self.failures.front().is_some_and(|at| now.since(*at) > health.window) {
                    self.failures.pop_front();
                }
                self.failures.push_back(now);
                if self.failures.len() >= health.failures as usize {
                    self.open(now + length(health, 0, entropy), 0);
                }
            }
        }
    }

    fn open(&mut self, until: Timestamp, earlier: u32) {
        self.failures.clear();
        self.rest = Some(Rest { until, earlier, probe: None });
    }
}

/// How long to rest: twice as long each time, and jittered, so that many instances do not come back
/// to a provider in the same moment.
fn length(health: &Health, earlier: u32, entropy: u64) -> Duration {
    let doubled = health.rest.saturating_mul(1 << earlier.min(16)).min(Health::LONGEST_REST);
    backoff::jittered(doubled, entropy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use proptest::sample::Index;
    use proptest::strategy::Just;

    use super::{Breaker, Pass, Resting, Sign};
    use crate::config::Health;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const PATIENCE: Duration = Duration::from_secs(3);
    const HEALTH: Health =
        Health { failures: 3, window: Duration::from_secs(30), rest: Duration::from_secs(10) };
    const CALL: Pass = Pass(None);

    /// Asks to call, with a number of its own.
    fn admit(breaker: &mut Breaker, now: Timestamp) -> Result<Pass, Resting> {
        breaker.admit(now, PATIENCE, now.as_millis())
    }

    fn at(millis: u64) -> Timestamp {
        NOW + Duration::from_millis(millis)
    }

    /// Plays signs of calls from the time before any rest, each at its millisecond.
    #[track_caller]
    fn check(signs: &[(u64, Sign)], is_open: bool) {
        let mut breaker = Breaker::default();
        for (millis, sign) in signs {
            breaker.note(CALL, *sign, at(*millis), u64::MAX, &HEALTH);
        }
        assert_eq!(breaker.is_open(), is_open, "{signs:?}");
    }

    #[test]
    fn failures_in_a_row_within_the_window_open_it() {
        use Sign::{Alive, Busy, Failed, Nothing, Well};
        check(&[(0, Failed), (1, Failed)], false);
        check(&[(0, Failed), (1, Failed), (30_000, Failed)], true);
        check(&[(0, Failed), (1, Failed), (30_001, Failed)], false);
        check(&[(0, Failed), (1, Failed), (2, Well), (3, Failed)], false);
        check(&[(0, Failed), (1, Failed), (2, Alive), (3, Failed)], true);
        check(&[(0, Failed), (1, Failed), (2, Nothing), (3, Nothing)], false);
        check(&[(0, Nothing), (1, Nothing), (2, Nothing), (3, Nothing)], false);
        check(&[(0, Busy(Duration::from_secs(1)))], true);
    }

    #[test]
    fn zero_failures_are_never_too_many() {
        let mut breaker = Breaker::default();
        let never = Health { failures: 0, ..HEALTH };
        for sign in [Sign::Failed, Sign::Busy(PATIENCE)] {
            breaker.note(CALL, sign, NOW, 0, &never);
        }
        assert!(breaker.is_blank());
    }

    /// A breaker that opened at `NOW` and rests for ten seconds.
    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.note(CALL, Sign::Failed, NOW, u64::MAX, &HEALTH);
        }
        breaker
    }

    #[test]
    fn a_rest_ends_with_one_probe() {
        let mut breaker = open();
        assert_eq!(admit(&mut breaker, at(9_998)), Err(Resting(at(9_999))));
        let probe = admit(&mut breaker, at(10_000)).expect("the rest is over");
        assert_eq!(admit(&mut breaker, at(10_001)), Err(Resting(at(13_000))));
        assert!(!breaker.is_awake(at(10_001)));
        // Old news changes nothing.
        breaker.note(CALL, Sign::Well, at(10_002), 0, &HEALTH);
        breaker.note(CALL, Sign::Failed, at(10_002), 0, &HEALTH);
        assert!(breaker.is_open());
        breaker.note(probe, Sign::Alive, at(10_003), 0, &HEALTH);
        assert!(breaker.is_blank());
    }

    #[test]
    fn a_probe_that_fails_doubles_the_rest_up_to_the_longest() {
        let mut breaker = open();
        let mut now = at(10_000);
        for rest in [20, 30, 30] {
            let probe = admit(&mut breaker, now).expect("the rest is over");
            breaker.note(probe, Sign::Failed, now, u64::MAX, &HEALTH);
            let Err(Resting(until)) = admit(&mut breaker, now) else { panic!("it rests") };
            assert_eq!(until.since(now).as_millis().div_ceil(1_000), rest);
            now = until;
        }
    }

    #[test]
    fn a_probe_that_says_nothing_or_is_lost_makes_way_for_another() {
        let mut breaker = open();
        let probe = admit(&mut breaker, at(10_000)).expect("the rest is over");
        breaker.note(probe, Sign::Nothing, at(10_001), 0, &HEALTH);
        let lost = admit(&mut breaker, at(10_001)).expect("the first said nothing");
        let second = admit(&mut breaker, at(13_001)).expect("it is taken for lost");
        breaker.note(lost, Sign::Failed, at(13_002), 0, &HEALTH);
        assert_eq!(admit(&mut breaker, at(13_002)), Err(Resting(at(16_001))), "the second is");
        breaker.note(lost, Sign::Alive, at(13_003), 0, &HEALTH);
        assert!(breaker.is_blank(), "what was late is a proof nevertheless");
        breaker.note(second, Sign::Failed, at(13_004), 0, &HEALTH);
        assert!(!breaker.is_open(), "one failure, as any other");
    }

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let mut breaker = Breaker::default();
        breaker.note(CALL, Sign::Busy(Duration::from_secs(7)), NOW, 0, &HEALTH);
        assert_eq!(admit(&mut breaker, NOW), Err(Resting(at(7_000))));
        let probe = admit(&mut breaker, at(7_000)).expect("the rest is over");
        breaker.note(probe, Sign::Busy(Duration::from_secs(1 << 40)), at(7_000), 0, &HEALTH);
        assert_eq!(admit(&mut breaker, at(7_000)), Err(Resting(at(3_607_000))));
    }

    fn sign() -> impl Strategy<Value = Sign> {
        prop_oneof![
            Just(Sign::Alive),
            Just(Sign::Well),
            Just(Sign::Failed),
            Just(Sign::Nothing),
            (0u64..20_000).prop_map(|millis| Sign::Busy(Duration::from_millis(millis))),
        ]
    }

    proptest! {
        /// Calls come, and each is over before it would be taken for lost.
        #[test]
        fn never_more_than_one_probe(steps in proptest::collection::vec((0u64..4_000, any::<bool>(), any::<Index>(), sign(), any::<u64>()), 1..200)) {
            let mut breaker = Breaker::default();
            let mut under_way: Vec<(Pass, Timestamp)> = Vec::new();
            let mut now = NOW;
            for (pause, asks, which, sign, entropy) in steps {
                now = now + Duration::from_millis(pause);
                let (over, going): (Vec<_>, Vec<_>) =
                    under_way.into_iter().partition(|(_, began)| now.since(*began) >= PATIENCE);
                under_way = going;
                for (pass, _) in over {
                    breaker.note(pass, Sign::Nothing, now, entropy, &HEALTH);
                }
                if asks {
                    let was_open = breaker.is_open();
                    if let Ok(pass) = admit(&mut breaker, now) {
                        assert_eq!(was_open, pass.0.is_some());
                        under_way.push((pass, now));
                    }
                } else if !under_way.is_empty() {
                    let (pass, _) = under_way.swap_remove(which.index(under_way.len()));
                    breaker.note(pass, sign, now, entropy, &HEALTH);
                }
                if let Some(rest) = breaker.rest {
                    let is_probe = |pass: &Pass| pass.0.is_some() && pass.0 == rest.probe.map(|probe| probe.number);
                    let probes = under_way.iter().filter(|(pass, _)| is_probe(pass)).count();
                    assert!(probes <= 1);
                    assert_eq!(under_way.iter().filter(|(pass, _)| pass.0.is_some()).count(), probes);
                }
            }
        }

        /// S15: whatever the upstream did in a minute, half a minute later it is called again, and
        /// from then on by everybody.
        #[test]
        fn what_flapped_for_a_minute_is_back_within_half_of_one(flaps in proptest::collection::vec(100u64..20_000, 1..60), step in 20u64..1_000, entropy in any::<u64>()) {
            let mut breaker = Breaker::default();
            let borders: Vec<u64> = flaps.iter().scan(0, |sum, flap| { *sum += flap; Some(*sum) }).collect();
            let is_up = |millis: u64| millis >= 60_000 || borders.iter().filter(|border| **border <= millis).count() % 2 == 1;
            let mut millis = 0;
            while millis <= 120_000 {
                let pass = admit(&mut breaker, at(millis));
                assert!(pass.is_ok() || millis < 60_000 + 30_000 + step, "it rests at {millis}");
                if let Ok(pass) = pass {
                    let sign = if is_up(millis) { Sign::Well } else { Sign::Failed };
                    breaker.note(pass, sign, at(millis), entropy, &HEALTH);
                }
                millis += step;
            }
            assert!(breaker.is_blank());
        }

        /// A dead target costs its threshold, and then one call a rest.
        #[test]
        fn a_dead_target_costs_few_calls(step in 1u64..500, entropy in any::<u64>()) {
            let mut breaker = Breaker::default();
            let mut calls = 0;
            for millis in (0..600_000).step_by(usize::try_from(step).expect("it is small")) {
                if let Ok(pass) = admit(&mut breaker, at(millis)) {
                    calls += 1;
                    breaker.note(pass, Sign::Failed, at(millis), entropy, &HEALTH);
                }
            }
            // The shortest rests are half of 10, 20, 30, 30 … seconds.
            assert!(calls <= 3 + 1 + 1 + 600 / (Health::LONGEST_REST.as_secs() / 2), "{calls}");
        }
    }
}
