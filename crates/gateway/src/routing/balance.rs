//! Load balancing: two targets are drawn by weight and the better one is taken, so that concurrent
//! callers with the same measurements do not all choose the same target.

use std::time::Duration;

use civil_time::Timestamp;
use config::{Target, Targets};

use super::weighted::draw_weighted;

/// Half-life of a measurement: a target that was slow is tried again.
const LATENCY_HALF_LIFE: Duration = Duration::from_secs(10);
/// Share of an average that a new measurement replaces: 1/4.
const SMOOTHING_DIVISOR: u64 = 4;

/// Load and latency of a target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TargetLoad {
    in_flight: u32,
    first_token: DecayingAverage,
    total: DecayingAverage,
}

/// A moving average in milliseconds; zero if nothing was measured.
#[derive(Clone, Copy, Debug, Default)]
struct DecayingAverage {
    millis: u64,
    at: Timestamp,
}

impl DecayingAverage {
    fn record(&mut self, took: Duration, now: Timestamp) {
        let took =
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX / SMOOTHING_DIVISOR).min(1 << 40);
        let is_first = self.millis == 0;
        // Never zero again: zero stands for unknown.
        let mixed = (self.millis * (SMOOTHING_DIVISOR - 1) + took) / SMOOTHING_DIVISOR;
        *self = Self { millis: if is_first { took } else { mixed }.max(1), at: now };
    }

    fn value_at(self, now: Timestamp) -> u64 {
        let halves = now.since(self.at).as_millis() / LATENCY_HALF_LIFE.as_millis();
        self.millis.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or_default()
    }
}

impl TargetLoad {
    /// Counts a started call.
    pub(crate) fn call_started(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// Counts a finished call, with any result.
    pub(crate) fn call_finished(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Number of calls in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Records a latency: to the first content of a stream, else to the end.
    pub(crate) fn record_latency(&mut self, stream: bool, took: Duration, now: Timestamp) {
        if stream { &mut self.first_token } else { &mut self.total }.record(took, now);
    }

    /// Latency in milliseconds, decaying with age: zero without recent measurements, so that an
    /// unknown target is tried.
    pub(crate) fn latency(&self, stream: bool, now: Timestamp) -> u64 {
        if stream { self.first_token } else { self.total }.value_at(now)
    }

    /// Time of the last measurement.
    pub(crate) fn last_used(&self) -> Timestamp {
        self.first_token.at.max(self.total.at)
    }
}

/// Draws two targets that `may` be called, by weight, and returns the one with the smaller measure;
/// the first one if they are equal. `None` if no target may be called.
pub(crate) fn better_of_two<M: Ord>(
    targets: &Targets,
    entropy: u64,
    may: impl Fn(&Target) -> bool,
    measure: impl Fn(&Target, u32) -> M,
) -> Option<&Target> {
    let (first, position) = draw_weighted(targets, entropy, &may)?;
    let is_other = |target: &Target| !std::ptr::eq(target, &first.target) && may(target);
    let Some((second, _)) = draw_weighted(targets, position, is_other) else {
        return Some(&first.target);
    };
    let [first_measure, second_measure] =
        [first, second].map(|drawn| measure(&drawn.target, drawn.weight));
    Some(if second_measure < first_measure { &second.target } else { &first.target })
}

/// Returns the target with the smallest measure that `may` be called; draws by weight among equals.
pub(crate) fn choose_min<M: Ord>(
    targets: &Targets,
    entropy: u64,
    may: impl Fn(&Target) -> bool,
    measure: impl Fn(&Target) -> M,
) -> Option<&Target> {
    let all =
        targets.all().iter().filter(|candidate| candidate.weight > 0 && may(&candidate.target));
    let least = all.map(|candidate| measure(&candidate.target)).min()?;
    let is_least = |target: &Target| may(target) && measure(target) == least;
    draw_weighted(targets, entropy, is_least).map(|(drawn, _)| &drawn.target)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::{Config, Target};
    use proptest::prelude::{any, proptest};

    use super::{TargetLoad, better_of_two, choose_min};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn config(weights: &[u32]) -> Config {
        let target = |(at, weight): (usize, &u32)| {
            format!(r#"{{"provider":"ollama","model":"{at}","weight":{weight}}}"#)
        };
        let targets: Vec<String> = weights.iter().enumerate().map(target).collect();
        let document = format!(
            r#"{{"auth":{{"required":false}},"providers":[{{"id":"ollama"}}],
               "routes":[{{"id":"r","models":["m"],"targets":[{}]}}]}}"#,
            targets.join(",")
        );
        Config::from_json(&document, &|_| None).expect("the document is right")
    }

    fn position(target: &Target) -> usize {
        target.model.as_deref().and_then(|model| model.parse().ok()).expect("models are positions")
    }

    #[test]
    fn average_follows_measurements_and_decays() {
        let mut load = TargetLoad::default();
        assert_eq!(load.latency(true, NOW), 0);
        load.record_latency(true, Duration::from_millis(400), NOW);
        assert_eq!((load.latency(true, NOW), load.latency(false, NOW)), (400, 0));
        load.record_latency(true, Duration::from_millis(800), NOW);
        assert_eq!(load.latency(true, NOW), 500);
        assert_eq!(load.latency(true, NOW + Duration::from_secs(10)), 250);
        assert_eq!(load.latency(true, NOW + Duration::from_secs(1 << 40)), 0);
        load.record_latency(true, Duration::MAX, NOW);
        load.record_latency(true, Duration::MAX, NOW);
        assert!(load.latency(true, NOW) > 500, "the longest duration does not overflow");
        load.call_finished();
        load.call_started();
        assert_eq!(load.in_flight(), 1);
    }

    proptest! {
        /// The target with the largest measure is taken only if it is the only one.
        #[test]
        fn slowest_target_is_never_taken(measures in proptest::collection::vec(0u64..1_000, 2..6), entropy in any::<u64>()) {
            let config = config(&vec![1; measures.len()]);
            let targets = &config.routes[0].targets;
            let chosen = better_of_two(targets, entropy, |_| true, |target, _| measures[position(target)]);
            let taken = measures[position(chosen.expect("there is one"))];
            let worst = measures.iter().max().expect("there are some");
            let is_alone = measures.iter().filter(|measure| *measure == worst).count() == 1;
            assert!(taken < *worst || !is_alone);
            let best = choose_min(targets, entropy, |_| true, |target| measures[position(target)]);
            assert_eq!(measures[position(best.expect("there is one"))], *measures.iter().min().expect("there are some"));
        }

        /// Only targets that may be called and have a weight are taken; one is taken if there is
        /// any.
        #[test]
        fn only_allowed_targets_with_a_weight_are_taken(weights in proptest::collection::vec(0u32..3, 1..6), may in any::<u8>(), entropy in any::<u64>()) {
            let weights = [vec![1], weights].concat();
            let config = config(&weights);
            let targets = &config.routes[0].targets;
            let allows = |target: &Target| may >> position(target) & 1 == 1;
            let any = weights.iter().enumerate().any(|(at, weight)| *weight > 0 && may >> at & 1 == 1);
            for chosen in [
                better_of_two(targets, entropy, allows, |target, _| position(target)),
                choose_min(targets, entropy, allows, position),
            ] {
                assert_eq!(chosen.is_some(), any);
                assert!(chosen.is_none_or(|target| allows(target) && weights[position(target)] > 0));
            }
        }
    }

    #[test]
    fn equal_targets_share_by_weight() {
        let config = config(&[3, 1]);
        let targets = &config.routes[0].targets;
        let mut first = 0u64;
        for step in 0..10_000u64 {
            let entropy = step * (u64::MAX / 10_000);
            let chosen = better_of_two(targets, entropy, |_| true, |_, _| 0).expect("there is one");
            first += u64::from(position(chosen) == 0);
        }
        assert!((7_490..=7_510).contains(&first), "{first}");
    }
}
