//! Health of targets: circuit breakers of targets with recent failures, load, and latency.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use config::{Health, ProviderIndex};

use crate::routing::balance::TargetLoad;

use super::caller_tag::CallerTag;
use super::circuit_breaker::{BreakerOpen, CircuitBreaker, Permit, Signal};
use super::last_resort::Access;
use super::latency_histogram::LatencyHistogram;

/// Models of one provider whose state is kept. Beyond it, the oldest state is evicted. Callers
/// choose model names where a route accepts many.
const MAX_MODELS_PER_PROVIDER: usize = 64;

/// State of targets by provider and model. Healthy targets have no circuit breaker.
#[derive(Clone, Debug)]
pub(crate) struct HealthTable {
    breakers: Vec<BTreeMap<Box<str>, CircuitBreaker>>,
    /// Only of targets whose route balances by load.
    loads: Vec<BTreeMap<Box<str>, TargetLoad>>,
    /// Only of targets whose route hedges by latency: for whole answers, and for streams.
    latencies: Vec<BTreeMap<Box<str>, [LatencyHistogram; 2]>>,
    /// Closings of open breakers.
    recovered: Vec<BTreeMap<Box<str>, Recovery>>,
    novelties: Vec<Novelty>,
    probe_count: u64,
}

/// Closing of an open breaker.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    at: Timestamp,
    /// The only caller for whom the breaker was open.
    only_for: Option<CallerTag>,
}

/// Whether a provider is new in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Novelty {
    Known,
    /// New, and not looked at yet.
    Unseen,
    /// New since this time.
    Since(Timestamp),
}

impl HealthTable {
    /// Creates the state of this many providers with every target healthy.
    pub(crate) fn new(providers: usize) -> Self {
        Self {
            breakers: vec![BTreeMap::new(); providers],
            loads: vec![BTreeMap::new(); providers],
            latencies: vec![BTreeMap::new(); providers],
            recovered: vec![BTreeMap::new(); providers],
            novelties: vec![Novelty::Known; providers],
            probe_count: 0,
        }
    }

    /// Copies the circuit breakers of a provider from its position in an earlier configuration.
    /// Load and latency start anew, because calls in flight report to the earlier state.
    pub(crate) fn copy_breakers(&mut self, at: usize, before: &Self, found: usize) {
        self.breakers[at] = before.breakers[found].clone();
        self.recovered[at] = before.recovered[found].clone();
        self.novelties[at] = before.novelties[found];
        self.probe_count = self.probe_count.max(before.probe_count);
    }

    /// Notes that a provider was not in an earlier configuration.
    pub(crate) fn mark_new(&mut self, at: usize) {
        self.novelties[at] = Novelty::Unseen;
    }

    /// Time since which a target is back from a cool-down for a caller, or new. `None` if it was always there.
    pub(crate) fn warm_since(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        caller: CallerTag,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let novelty = &mut self.novelties[provider.position()];
        let new_since = match *novelty {
            Novelty::Known => None,
            Novelty::Unseen => Some(now),
            Novelty::Since(since) => Some(since),
        };
        if let Some(since) = new_since {
            *novelty = Novelty::Since(since);
        }
        let recovery = self.recovered[provider.position()].get(model);
        let concerns = |one: &&Recovery| one.only_for.is_none_or(|only| only == caller);
        new_since.max(recovery.filter(concerns).map(|one| one.at))
    }

    /// Whether a call would be permitted now.
    pub(crate) fn is_available(
        &self,
        (provider, model): (ProviderIndex, &str),
        caller: CallerTag,
        now: Timestamp,
    ) -> bool {
        let breaker = self.breakers[provider.position()].get(model);
        breaker.is_none_or(|breaker| breaker.is_available(caller, now))
    }

    /// Whether a target's circuit breaker is open or half open for a caller.
    pub(crate) fn is_open_or_half_open(
        &self,
        (provider, model): (ProviderIndex, &str),
        caller: CallerTag,
    ) -> bool {
        let breaker = self.breakers[provider.position()].get(model);
        breaker.is_some_and(|breaker| breaker.is_open_for(caller))
    }

    /// The targets of a provider that cool down for everyone, and the ends of their cool-downs.
    pub(crate) fn cooling_down(
        &self,
        provider: usize,
        now: Timestamp,
    ) -> impl Iterator<Item = (&str, Timestamp)> {
        let breakers = self.breakers.get(provider).into_iter().flatten();
        breakers.filter_map(move |(model, breaker)| Some((&**model, breaker.cool_down_end(now)?)))
    }

    /// Measured load of a target.
    pub(crate) fn load(&self, provider: ProviderIndex, model: &str) -> TargetLoad {
        self.loads[provider.position()].get(model).copied().unwrap_or_default()
    }

    /// Changes the measured load of a target.
    pub(crate) fn update_load(
        &mut self,
        provider: ProviderIndex,
        model: &str,
        change: impl FnOnce(&mut TargetLoad),
    ) {
        let loads = &mut self.loads[provider.position()];
        if let Some(load) = loads.get_mut(model) {
            return change(load);
        }
        // Idle targets are evicted before those with calls in flight.
        make_room(loads, |load| (load.in_flight(), load.last_used()));
        let mut load = TargetLoad::default();
        change(&mut load);
        loads.insert(model.into(), load);
    }

    /// Latency from which a target counts as late: of the first content of a stream, or of a whole
    /// answer. `None` if there are too few samples.
    pub(crate) fn p95_latency(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        stream: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        let latencies = self.latencies[provider.position()].get_mut(model)?;
        latencies[usize::from(stream)].p95(now)
    }

    /// Records the latency of an answer, or the time after which waiting for it ended.
    pub(crate) fn record_latency(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        stream: bool,
        took: Duration,
        now: Timestamp,
    ) {
        let latencies = &mut self.latencies[provider.position()];
        if !latencies.contains_key(model) {
            make_room(latencies, |pair| pair[0].last_decay().max(pair[1].last_decay()));
        }
        latencies.entry(model.into()).or_default()[usize::from(stream)].record(took, now);
    }

    /// Requests permission for a call. A probe without a signal for `patience` counts as lost.
    pub(crate) fn acquire(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        caller: (CallerTag, Access),
        now: Timestamp,
        timeout: Duration,
    ) -> Result<Permit, BreakerOpen> {
        let Some(breaker) = self.breakers[provider.position()].get_mut(model) else {
            return Ok(Permit::default());
        };
        self.probe_count += 1;
        breaker.acquire(caller, now, timeout, self.probe_count)
    }

    /// Records a signal of a call.
    pub(crate) fn record(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        caller: CallerTag,
        signal: (Permit, Signal),
        now: Timestamp,
        entropy: u64,
        health: &Health,
    ) {
        let breakers = &mut self.breakers[provider.position()];
        if let Some(breaker) = breakers.get_mut(model) {
            let (was_open, only_for) = (breaker.is_open(), breaker.open_only_for());
            breaker.record(caller, signal, now, entropy, health);
            let has_recovered = was_open && !breaker.is_open();
            if breaker.is_default() {
                breakers.remove(model);
            }
            if has_recovered {
                let recovered = &mut self.recovered[provider.position()];
                make_room(recovered, |one| one.at);
                recovered.insert(model.into(), Recovery { at: now, only_for });
            }
            return;
        }
        let mut breaker = CircuitBreaker::default();
        breaker.record(caller, signal, now, entropy, health);
        if breaker.is_default() {
            return;
        }
        // Closed breakers with a few failures are evicted before open ones.
        make_room(breakers, |breaker| (breaker.is_open(), breaker.last_signal_at()));
        breakers.insert(model.into(), breaker);
    }
}

/// Evicts the entry of the lowest rank if a table of models is full.
fn make_room<V, R: Ord>(models: &mut BTreeMap<Box<str>, V>, rank: impl Fn(&V) -> R) {
    if models.len() < MAX_MODELS_PER_PROVIDER {
        return;
    }
    let lowest = models.iter().min_by_key(|(_, value)| rank(value));
    if let Some(lowest) = lowest.map(|(model, _)| model.clone()) {
        models.remove(&lowest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::{Config, Health, ProviderIndex};

    use crate::upstream::caller_tag::CallerTag;
    use crate::upstream::circuit_breaker::{Permit, Signal};
    use crate::upstream::last_resort::Access;

    use super::{HealthTable, MAX_MODELS_PER_PROVIDER, TargetLoad};

    const ANYONE: CallerTag = CallerTag::ANYONE;
    const REGULAR: (CallerTag, Access) = (ANYONE, Access::Regular);
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const HEALTH: Health =
        Health { failures: 2, window: Duration::from_secs(30), cool_down: Duration::from_secs(10) };

    fn provider() -> ProviderIndex {
        let document = r#"{"auth":{"required":false},"providers":[{"id":"ollama"}],
            "routes":[{"id":"r","models":["m"],"targets":[{"provider":"ollama"}]}]}"#;
        let config = Config::from_json(document, &|_| None).expect("the document is right");
        config.routes[0].targets.all()[0].target.provider
    }

    fn fail(health: &mut HealthTable, model: &str, now: Timestamp) {
        let target = (provider(), model);
        health.record(target, ANYONE, (Permit::default(), Signal::Failure), now, 0, &HEALTH);
    }

    #[test]
    fn open_breaker_of_one_model_leaves_others_available() {
        let mut health = HealthTable::new(1);
        fail(&mut health, "a", NOW);
        fail(&mut health, "b", NOW);
        assert!(health.is_available((provider(), "a"), ANYONE, NOW));
        fail(&mut health, "a", NOW);
        assert!(
            !health.is_available((provider(), "a"), ANYONE, NOW)
                && health.is_open_or_half_open((provider(), "a"), ANYONE)
        );
        assert!(
            health.is_available((provider(), "b"), ANYONE, NOW)
                && !health.is_open_or_half_open((provider(), "b"), ANYONE)
        );
        assert!(health.acquire((provider(), "a"), REGULAR, NOW, HEALTH.cool_down).is_err());
        let later = NOW + HEALTH.cool_down;
        let probe = health
            .acquire((provider(), "a"), REGULAR, later, HEALTH.cool_down)
            .expect("the cool-down is over");
        assert!(!health.is_available((provider(), "a"), ANYONE, later));
        health.record((provider(), "a"), ANYONE, (probe, Signal::Success), later, 0, &HEALTH);
        assert!(
            health.is_available((provider(), "a"), ANYONE, later)
                && !health.is_open_or_half_open((provider(), "a"), ANYONE)
        );
    }

    #[test]
    fn target_is_warm_since_its_breaker_closed_or_its_provider_was_added() {
        let mut health = HealthTable::new(1);
        let target = (provider(), "a");
        assert_eq!(health.warm_since(target, ANYONE, NOW), None);
        fail(&mut health, "a", NOW);
        fail(&mut health, "a", NOW);
        let later = NOW + HEALTH.cool_down;
        assert_eq!(health.warm_since(target, ANYONE, later), None, "it cools down");
        let probe = health.acquire(target, REGULAR, later, HEALTH.cool_down).expect("it is over");
        health.record(target, ANYONE, (probe, Signal::Success), later, 0, &HEALTH);
        assert_eq!(health.warm_since(target, ANYONE, later + HEALTH.window), Some(later));
        assert_eq!(health.warm_since((provider(), "b"), ANYONE, later), None);
        let mut other = HealthTable::new(1);
        other.copy_breakers(0, &health, 0);
        assert_eq!(other.warm_since(target, ANYONE, later), Some(later));
        other.mark_new(0);
        let seen = later + HEALTH.window;
        assert_eq!(other.warm_since((provider(), "b"), ANYONE, seen), Some(seen));
        assert_eq!(other.warm_since((provider(), "b"), ANYONE, seen + HEALTH.window), Some(seen));
    }

    #[test]
    fn target_that_cooled_down_for_one_caller_is_warm_for_it_alone() {
        let mut health = HealthTable::new(1);
        let (target, one) = ((provider(), "a"), CallerTag::new(Some("one")));
        for _ in 0..2 {
            let failure = (Permit::default(), Signal::Failure);
            health.record(target, one, failure, NOW, 0, &HEALTH);
        }
        let later = NOW + HEALTH.cool_down;
        let probe = health
            .acquire(target, (one, Access::Regular), later, HEALTH.cool_down)
            .expect("it is over");
        health.record(target, one, (probe, Signal::Success), later, 0, &HEALTH);
        assert_eq!(health.warm_since(target, one, later), Some(later));
        assert_eq!(health.warm_since(target, CallerTag::new(Some("other")), later), None);
    }

    #[test]
    fn healthy_target_has_no_breaker() {
        let mut health = HealthTable::new(1);
        for signal in [Signal::FirstContent, Signal::Success, Signal::Neutral] {
            health.record((provider(), "a"), ANYONE, (Permit::default(), signal), NOW, 0, &HEALTH);
        }
        fail(&mut health, "b", NOW);
        health.record(
            (provider(), "b"),
            ANYONE,
            (Permit::default(), Signal::Success),
            NOW,
            0,
            &HEALTH,
        );
        assert!(health.breakers[0].is_empty());
    }

    #[test]
    fn loads_are_bounded_and_keep_busy_targets() {
        let mut health = HealthTable::new(1);
        health.update_load(provider(), "busy", TargetLoad::call_started);
        for number in 0..1_000 {
            health.update_load(provider(), &number.to_string(), |load| {
                load.record_latency(
                    true,
                    Duration::from_millis(9),
                    NOW + Duration::from_millis(number),
                );
            });
        }
        assert_eq!(health.loads[0].len(), MAX_MODELS_PER_PROVIDER);
        assert_eq!(health.load(provider(), "busy").in_flight(), 1);
        assert_eq!(health.load(provider(), "999").latency(true, NOW), 9);
        assert_eq!(health.load(provider(), "unknown").latency(true, NOW), 0);
    }

    #[test]
    fn breakers_are_bounded_and_keep_open_ones() {
        let mut health = HealthTable::new(1);
        fail(&mut health, "failing", NOW);
        fail(&mut health, "failing", NOW);
        for number in 0..1_000 {
            fail(&mut health, &number.to_string(), NOW + Duration::from_millis(number));
        }
        assert_eq!(health.breakers[0].len(), MAX_MODELS_PER_PROVIDER);
        assert!(!health.is_available((provider(), "failing"), ANYONE, NOW));
    }
}
