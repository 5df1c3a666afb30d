//! Pace of last-resort calls: a request whose targets all cool down may call one of them nevertheless.
//!
//! A provider with a single key and one spurious 401 would otherwise be off for a minute. The first call
//! follows a second after the cool-down began, and the pauses double. Once a pause is longer than the
//! cool-down, the end of the cool-down permits the next call.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use config::ProviderIndex;

/// Pause before the first call, and between the first two.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause: the longest cool-down.
const MAX_PAUSE: Duration = Duration::from_secs(3_600);
/// Time without a call after which the pauses start anew.
const MAX_IDLE_TIME: Duration = Duration::from_secs(300);
/// Models of one provider whose pace is kept. Beyond it, the one that was due first is evicted.
const MAX_MODELS_PER_PROVIDER: usize = 64;

/// Whether a call needs an available target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// The target and one of its keys must be available.
    #[default]
    Regular,
    /// A cool-down is no obstacle, once the pace permits the call.
    LastResort,
}

/// Paces of the targets that cool down, by provider and model.
#[derive(Clone, Debug)]
pub(crate) struct LastResorts(Vec<BTreeMap<Box<str>, Pace>>);

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Time of the next call.
    due_at: Timestamp,
    /// Pause after the next call.
    pause: Duration,
}

impl LastResorts {
    /// The paces of this many providers.
    pub(crate) fn new(providers: usize) -> Self {
        Self(vec![BTreeMap::new(); providers])
    }

    /// Records that a target began to cool down.
    pub(crate) fn begin(&mut self, (provider, model): (ProviderIndex, &str), now: Timestamp) {
        let paces = &mut self.0[provider.position()];
        if paces.contains_key(model) {
            return;
        }
        if paces.len() >= MAX_MODELS_PER_PROVIDER {
            let first = paces.iter().min_by_key(|(_, pace)| pace.due_at);
            if let Some(first) = first.map(|(model, _)| model.clone()) {
                paces.remove(&first);
            }
        }
        paces.insert(model.into(), Pace { due_at: now + FIRST_PAUSE, pause: FIRST_PAUSE });
    }

    /// Whether a call may be made now. The error holds the time from which one may.
    pub(crate) fn check_due(
        &mut self,
        target: (ProviderIndex, &str),
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        self.begin(target, now);
        let (provider, model) = target;
        let due_at = self.0[provider.position()].get(model).map_or(now, |pace| pace.due_at);
        if due_at > now { Err(due_at) } else { Ok(()) }
    }

    /// Records a call.
    pub(crate) fn called(&mut self, (provider, model): (ProviderIndex, &str), now: Timestamp) {
        let Some(pace) = self.0[provider.position()].get_mut(model) else { return };
        let is_idle = now.since(pace.due_at) > MAX_IDLE_TIME;
        let pause = if is_idle { FIRST_PAUSE } else { pace.pause };
        *pace = Pace { due_at: now + pause, pause: (pause * 2).min(MAX_PAUSE) };
    }

    /// Records that a target has answered.
    pub(crate) fn end(&mut self, (provider, model): (ProviderIndex, &str)) {
        self.0[provider.position()].remove(model);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::{Config, ProviderIndex};

    use super::{LastResorts, MAX_MODELS_PER_PROVIDER};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn provider() -> ProviderIndex {
        let document = r#"{"auth":{"required":false},"providers":[{"id":"ollama"}],
            "routes":[{"id":"r","models":["m"],"targets":[{"provider":"ollama"}]}]}"#;
        let config = Config::from_json(document, &|_| None).expect("the document is right");
        config.routes[0].targets.all()[0].target.provider
    }

    /// Seconds after the start of the cool-down at which calls are made, with a request every 100 ms.
    fn calls(paces: &mut LastResorts, from: u64, to: u64) -> Vec<u64> {
        let target = (provider(), "m");
        let mut calls = Vec::new();
        for tenth in from * 10..to * 10 {
            let now = NOW + Duration::from_millis(tenth * 100);
            if paces.check_due(target, now).is_ok() {
                paces.called(target, now);
                calls.push(tenth / 10);
            }
        }
        calls
    }

    #[test]
    fn calls_begin_after_a_second_and_their_pauses_double() {
        let mut paces = LastResorts::new(1);
        paces.begin((provider(), "m"), NOW);
        assert_eq!(calls(&mut paces, 0, 60), [1, 2, 4, 8, 16, 32]);
        paces.end((provider(), "m"));
        assert_eq!(calls(&mut paces, 60, 64), [61, 62]);
        // Nobody asked for longer than five minutes.
        assert_eq!(calls(&mut paces, 400, 405), [400, 401, 403]);
    }

    #[test]
    fn first_request_without_a_known_start_waits_for_a_second() {
        assert_eq!(calls(&mut LastResorts::new(1), 10, 12), [11]);
    }

    #[test]
    fn paces_are_bounded() {
        let mut paces = LastResorts::new(1);
        for number in 0..1_000_u64 {
            paces.begin((provider(), &number.to_string()), NOW + Duration::from_millis(number));
        }
        assert_eq!(paces.0[0].len(), MAX_MODELS_PER_PROVIDER);
        assert!(paces.0[0].contains_key("999"));
    }
}
