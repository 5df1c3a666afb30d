//! The health of every target: breakers for those that have failed lately, nothing for the others.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Health, ProviderIndex};
use crate::time::Timestamp;

use super::balance::Gauge;
use super::breaker::{Breaker, Pass, Resting, Sign};
use super::pace::Pace;

/// How many models of one provider are watched; beyond it the one that is the longest without a sign
/// is forgotten. Callers choose names of models where a route takes many.
const MOST_MODELS: usize = 64;

/// The targets that are not well, by provider and model.
#[derive(Clone, Debug)]
pub struct Ward {
    ill: Vec<BTreeMap<Box<str>, Breaker>>,
    /// Only of targets whose route asks for it.
    gauges: Vec<BTreeMap<Box<str>, Gauge>>,
    /// Only of targets whose route hedges by them: for whole answers, and for streams.
    paces: Vec<BTreeMap<Box<str>, [Pace; 2]>>,
    probes: u64,
}

impl Ward {
    /// A ward for so many providers, all of them well.
    pub fn new(providers: usize) -> Self {
        Self {
            ill: vec![BTreeMap::new(); providers],
            gauges: vec![BTreeMap::new(); providers],
            paces: vec![BTreeMap::new(); providers],
            probes: 0,
        }
    }

    /// Takes over which models of a provider are ill, from where it has another position. What was
    /// measured is measured anew: calls under way end where they began.
    pub fn inherit(&mut self, at: usize, before: &Self, found: usize) {
        self.ill[at] = before.ill[found].clone();
        self.probes = self.probes.max(before.probes);
    }

    /// Whether a call would be let through now.
    pub fn is_awake(&self, provider: ProviderIndex, model: &str, now: Timestamp) -> bool {
        self.ill[provider.position()].get(model).is_none_or(|breaker| breaker.is_awake(now))
    }

    /// Whether a target is known to be ill: it rests, or is on probation.
    pub fn is_ill(&self, provider: ProviderIndex, model: &str) -> bool {
        self.ill[provider.position()].get(model).is_some_and(Breaker::is_open)
    }

    /// What was measured of a target.
    pub fn gauge(&self, provider: ProviderIndex, model: &str) -> Gauge {
        self.gauges[provider.position()].get(model).copied().unwrap_or_default()
    }

    /// Changes what was measured of a target.
    pub fn measure(
        &mut self,
        provider: ProviderIndex,
        model: &str,
        change: impl FnOnce(&mut Gauge),
    ) {
        let gauges = &mut self.gauges[provider.position()];
        if let Some(gauge) = gauges.get_mut(model) {
            return change(gauge);
        }
        if gauges.len() >= MOST_MODELS {
            let idle = gauges.iter().min_by_key(|(_, one)| (one.busy(), one.last()));
            if let Some(idle) = idle.map(|(model, _)| model.clone()) {
                gauges.remove(&idle);
            }
        }
        let mut gauge = Gauge::default();
        change(&mut gauge);
        gauges.insert(model.into(), gauge);
    }

    /// After which time a target is late: with the first content of a stream, or with a whole answer.
    /// `None`: nobody knows.
    pub fn late_after(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        stream: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        let paces = self.paces[provider.position()].get_mut(model)?;
        paces[usize::from(stream)].late_after(now)
    }

    /// Learns how long an answer took, or was waited for.
    pub fn time(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        stream: bool,
        took: Duration,
        now: Timestamp,
    ) {
        let paces = &mut self.paces[provider.position()];
        if !paces.contains_key(model) && paces.len() >= MOST_MODELS {
            let last = |pair: &[Pace; 2]| pair[0].last().max(pair[1].last());
            let oldest = paces.iter().min_by_key(|(_, pair)| last(pair));
            if let Some(oldest) = oldest.map(|(model, _)| model.clone()) {
                paces.remove(&oldest);
            }
        }
        paces.entry(model.into()).or_default()[usize::from(stream)].took(took, now);
    }

    /// Asks to call. A probe of which nothing is heard for `patience` is taken for lost.
    pub fn admit(
        &mut self,
        provider: ProviderIndex,
        model: &str,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Pass, Resting> {
        let Some(breaker) = self.ill[provider.position()].get_mut(model) else {
            return Ok(Pass::default());
        };
        self.probes += 1;
        breaker.admit(now, patience, self.probes)
    }

    /// Learns what came of a call.
    pub fn note(
        &mut self,
        (provider, model): (ProviderIndex, &str),
        (pass, sign): (Pass, Sign),
        now: Timestamp,
        entropy: u64,
        health: &Health,
    ) {
        let ill = &mut self.ill[provider.position()];
        if let Some(breaker) = ill.get_mut(model) {
            breaker.note(pass, sign, now, entropy, health);
            if breaker.is_blank() {
                ill.remove(model);
            }
            return;
        }
        let mut breaker = Breaker::default();
        breaker.note(pass, sign, now, entropy, health);
        if breaker.is_blank() {
            return;
        }
        if ill.len() >= MOST_MODELS {
            // Those that merely failed once or twice go before those that rest.
            let least = ill.iter().min_by_key(|(_, one)| (one.is_open(), one.last_sign()));
            if let Some(least) = least.map(|(model, _)| model.clone()) {
                ill.remove(&least);
            }
        }
        ill.insert(model.into(), breaker);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Gauge, MOST_MODELS, Ward};
    use crate::config::{Config, Health, ProviderIndex};
    use crate::policy::breaker::{Pass, Sign};
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const HEALTH: Health =
        Health { failures: 2, window: Duration::from_secs(30), rest: Duration::from_secs(10) };

    fn provider() -> ProviderIndex {
        let document = r#"{"auth":{"required":false},"providers":[{"id":"ollama"}],
            "routes":[{"id":"r","models":["m"],"targets":[{"provider":"ollama"}]}]}"#;
        let config = Config::from_json(document, &|_| None).expect("the document is right");
        config.routes[0].targets.all()[0].target.provider
    }

    fn fail(ward: &mut Ward, model: &str, now: Timestamp) {
        let target = (provider(), model);
        ward.note(target, (Pass::default(), Sign::Failed), now, 0, &HEALTH);
    }

    #[test]
    fn one_model_rests_and_the_others_do_not() {
        let mut ward = Ward::new(1);
        fail(&mut ward, "a", NOW);
        fail(&mut ward, "b", NOW);
        assert!(ward.is_awake(provider(), "a", NOW));
        fail(&mut ward, "a", NOW);
        assert!(!ward.is_awake(provider(), "a", NOW) && ward.is_ill(provider(), "a"));
        assert!(ward.is_awake(provider(), "b", NOW) && !ward.is_ill(provider(), "b"));
        assert!(ward.admit(provider(), "a", NOW, HEALTH.rest).is_err());
        let later = NOW + HEALTH.rest;
        let probe = ward.admit(provider(), "a", later, HEALTH.rest).expect("the rest is over");
        assert!(!ward.is_awake(provider(), "a", later));
        ward.note((provider(), "a"), (probe, Sign::Well), later, 0, &HEALTH);
        assert!(ward.is_awake(provider(), "a", later) && !ward.is_ill(provider(), "a"));
    }

    #[test]
    fn who_is_well_takes_no_room() {
        let mut ward = Ward::new(1);
        for sign in [Sign::Alive, Sign::Well, Sign::Nothing] {
            ward.note((provider(), "a"), (Pass::default(), sign), NOW, 0, &HEALTH);
        }
        fail(&mut ward, "b", NOW);
        ward.note((provider(), "b"), (Pass::default(), Sign::Well), NOW, 0, &HEALTH);
        assert!(ward.ill[0].is_empty());
    }

    #[test]
    fn what_is_measured_is_bounded() {
        let mut ward = Ward::new(1);
        ward.measure(provider(), "busy", Gauge::begin);
        for number in 0..1_000 {
            ward.measure(provider(), &number.to_string(), |gauge| {
                gauge.answered(true, Duration::from_millis(9), NOW + Duration::from_millis(number));
            });
        }
        assert_eq!(ward.gauges[0].len(), MOST_MODELS);
        assert_eq!(ward.gauge(provider(), "busy").busy(), 1);
        assert_eq!(ward.gauge(provider(), "999").latency(true, NOW), 9);
        assert_eq!(ward.gauge(provider(), "nobody").latency(true, NOW), 0);
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_wakes_nobody() {
        let mut ward = Ward::new(1);
        fail(&mut ward, "ill", NOW);
        fail(&mut ward, "ill", NOW);
        for number in 0..1_000 {
            fail(&mut ward, &number.to_string(), NOW + Duration::from_millis(number));
        }
        assert_eq!(ward.ill[0].len(), MOST_MODELS);
        assert!(!ward.is_awake(provider(), "ill", NOW));
    }
}
