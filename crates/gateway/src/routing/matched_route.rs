//! The route of a request, and what is known of its targets.

use civil_time::Timestamp;
use config::{Config, ProviderIndex, Route, RouteIndex};

use crate::auth::caller::Caller;
use crate::error::Refusal;
use crate::routing::balance::TargetLoad;

/// Health and load of targets, as input of the selection.
pub(crate) trait TargetHealth {
    /// Whether a target may be called: its circuit breaker lets a call through, and a key is
    /// available.
    fn is_available(&self, provider: ProviderIndex, model: &str, now: Timestamp) -> bool;
    /// Whether a target's circuit breaker is open or half-open.
    fn is_open_or_half_open(&self, provider: ProviderIndex, model: &str) -> bool;
    /// Time since which a target is back from a cool-down, or new. `None` if it was always there.
    fn warm_since(&self, provider: ProviderIndex, model: &str, now: Timestamp)
    -> Option<Timestamp>;
    /// The measured load and latency of a target.
    fn load(&self, provider: ProviderIndex, model: &str) -> TargetLoad;
}

/// The route of a request: looked up once, since permissions, history, and targets depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchedRoute<'a> {
    /// The route's index in the configuration.
    pub index: RouteIndex,
    pub route: &'a Route,
    /// The only provider that can answer, since it stores what the request continues; `None` for any.
    pub only_provider: Option<ProviderIndex>,
    /// The share of the route's canary. `None` if the weights of the configuration apply.
    pub canary: Option<CanaryShare>,
}

/// Share of a canary by the state of its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CanaryShare {
    /// Version of the state.
    pub version: u64,
    pub percent: u8,
}

impl<'a> MatchedRoute<'a> {
    /// Returns the route of a model, if the caller may use it.
    pub(crate) fn lookup(
        config: &'a Config,
        caller: &Caller<'_>,
        model: &str,
    ) -> Result<Self, Refusal> {
        let index =
            config.models.route(model).ok_or_else(|| Refusal::ModelNotFound(model.to_owned()))?;
        if !caller.may_use(index) {
            return Err(Refusal::ModelNotAllowed(model.to_owned()));
        }
        Ok(Self { index, route: config.route(index), only_provider: None, canary: None })
    }

    /// Replaces the weight of the canary.
    pub(crate) fn with_canary(self, canary: Option<CanaryShare>) -> Self {
        Self { canary, ..self }
    }

    /// The route with the only provider that can answer; `None` for any.
    pub(crate) fn bound_to(self, only_provider: Option<ProviderIndex>) -> Self {
        Self { only_provider, ..self }
    }

    /// Whether a provider may answer.
    pub(super) fn admits(&self, provider: ProviderIndex) -> bool {
        self.only_provider.is_none_or(|only| only == provider)
    }
}
