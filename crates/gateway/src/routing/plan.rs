//! Selection of the target and its fallbacks.

use civil_time::Timestamp;
use config::{
    Config, ModelPrice, Price, Provider, ProviderIndex, Route, RouteIndex, Sticky, Target,
};
use http::{HeaderMap, Uri};
use protocol::model::Protocol;

use crate::auth::caller::Caller;
use crate::error::Refusal;
use crate::record::RolloutUnit;
use crate::request::parse::ParsedRequest;
use crate::request::translation::NoTranslation;
use crate::routing::choice::{Choice, target_model};
use crate::routing::matched_route::{MatchedRoute, TargetHealth};
use crate::routing::weighted;

/// The targets of one request, in the order in which they are tried. Never empty.
#[derive(Debug)]
pub(crate) struct TargetPlan<'a> {
    matched: MatchedRoute<'a>,
    targets: Vec<Candidate<'a>>,
    /// Selects among weighted targets: random, or the hash of a sticky name.
    entropy: u64,
    /// The prices of all weighted targets, if the first choice may have to be repeated.
    weighted_prices: Vec<ModelPrice>,
    /// Side of the rollout; `None` if the request is no comparison.
    rollout_unit: Option<RolloutUnit>,
}

/// A target that offers the endpoint.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    /// The provider's index, for its keys.
    pub provider_index: ProviderIndex,
    pub provider: &'a Provider,
    /// The model's name at the provider.
    pub model: &'a str,
    /// Protocol of the call.
    pub protocol: Protocol,
    /// URL of the endpoint.
    pub url: Uri,
    /// Price; `None` if unknown.
    pub price: Option<ModelPrice>,
    /// Origin of the model's name.
    pub model_origin: ModelOrigin,
}

/// Origin of a model's name at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelOrigin {
    /// The target has a model of its own.
    Target,
    /// The route lists exactly this name.
    Route,
    /// The caller, within a pattern of the route.
    Caller,
}

impl<'a> Candidate<'a> {
    /// `None` if the provider does not offer the endpoint.
    fn new(config: &'a Config, target: &'a Target, request: &'a ParsedRequest) -> Option<Self> {
        let (index, model) = (target.provider, target_model(target, &request.fields().model));
        let provider = config.provider(index);
        let protocol = provider.protocol_for(request.endpoint(), request.protocol());
        let url = provider.url(request.endpoint(), protocol, model)?;
        let price = config.prices.lookup(index, model);
        let model_origin = match &target.model {
            Some(_) => ModelOrigin::Target,
            None if config.models.has_exact(model) => ModelOrigin::Route,
            None => ModelOrigin::Caller,
        };
        Some(Self { provider_index: index, provider, model, protocol, url, price, model_origin })
    }

    /// Checks that the target's protocol can express the request.
    fn check_translatable(
        &self,
        request: &ParsedRequest,
        route: &Route,
    ) -> Result<(), NoTranslation> {
        request.check_translatable((self.provider, self.model), self.protocol, route)
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.provider_index, self.model) == (other.provider_index, other.model)
    }

    /// `provider/model`, as records and headers name it.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.provider.id, self.model)
    }
}

impl<'a> TargetPlan<'a> {
    /// Chooses a target by weight and adds the route's fallbacks. Takes no permit: the circuit
    /// breaker decides just before each call.
    pub(crate) fn select(
        config: &'a Config,
        matched: MatchedRoute<'a>,
        caller: &Caller<'_>,
        request: &'a ParsedRequest,
        headers: &HeaderMap,
        health: &impl TargetHealth,
        (now, entropy): (Timestamp, u64),
    ) -> Result<Self, Refusal> {
        let route = matched.route;
        let user = request.fields().user.as_deref();
        let name = sticky_name(&route.sticky, caller.authenticated_id(), user, headers);
        let entropy = name.map_or(entropy, |name| weighted::sticky_entropy(&route.id, name));
        let choice = Choice { config, matched, request, health, now };
        let chosen = choice.choose(entropy);
        let mut targets: Vec<Candidate<'a>> = Vec::with_capacity(1 + route.fallback.len());
        let mut no_translation = None;
        for target in chosen.into_iter().chain(&route.fallback) {
            let Some(candidate) = Candidate::new(config, target, request) else { continue };
            if !matched.admits(candidate.provider_index) {
                continue;
            }
            // Only the first target is known to be called; a later one is checked before its call.
            if targets.is_empty()
                && let Err(reason) = candidate.check_translatable(request, route)
            {
                no_translation.get_or_insert(reason);
                continue;
            }
            // A failed target is not a fallback for itself.
            if targets.iter().all(|other| !other.is_same(&candidate)) {
                targets.push(candidate);
            }
        }
        if targets.is_empty() {
            return Err(match no_translation.or_else(|| first_reason(config, route, request)) {
                Some(reason) => reason.into(),
                None => {
                    let (model, path) = (request.fields().model.clone(), request.endpoint().path());
                    Refusal::EndpointNotOffered { model, path }
                }
            });
        }
        let rollout_unit = chosen.and_then(|chosen| {
            let side = choice.side_of(chosen)?;
            let unit = &route.rollout.as_ref()?.unit;
            let name = sticky_name(unit, caller.authenticated_id(), user, headers);
            let name = name.map(|name| weighted::sticky_entropy(&route.id, name));
            let version = matched.canary?.version;
            Some(RolloutUnit { side, target: targets[0].label(), version, name })
        });
        // A half-open target gets one call at a time, so the choice may fall on another one.
        let first = &targets[0];
        let others = match health.is_open_or_half_open(first.provider_index, first.model) {
            true => route
                .targets
                .all()
                .iter()
                .filter_map(|other| {
                    let target = &other.target;
                    config
                        .prices
                        .lookup(target.provider, target_model(target, &request.fields().model))
                })
                .collect(),
            false => Vec::new(),
        };
        Ok(Self { matched, targets, entropy, weighted_prices: others, rollout_unit })
    }

    /// Repeats the choice among the weighted targets, after the first choice turned out to be
    /// unavailable. `None` if no other target is available.
    pub(crate) fn choose_again<'c>(
        &self,
        config: &'c Config,
        request: &'c ParsedRequest,
        health: &impl TargetHealth,
        now: Timestamp,
    ) -> Option<Candidate<'c>>
    where
        'a: 'c,
    {
        let choice = Choice { config, matched: self.matched, request, health, now };
        let chosen = choice.choose(self.entropy)?;
        let candidate = Candidate::new(config, chosen, request)?;
        let is_available = health.is_available(candidate.provider_index, candidate.model, now);
        let is_new = self.targets.iter().all(|other| !other.is_same(&candidate));
        (is_available && is_new).then_some(candidate)
    }

    /// The matched route.
    pub(crate) fn route(&self) -> &'a Route {
        self.matched.route
    }

    /// The route's index in the configuration.
    pub(crate) fn route_index(&self) -> RouteIndex {
        self.matched.index
    }

    /// The highest price of any target from a position on, for a prompt of this many tokens: the
    /// answering target is not known beforehand.
    pub(crate) fn max_price_from(&self, position: usize, prompt_tokens: u64) -> Price {
        let prices = self.targets[position..].iter().filter_map(|candidate| candidate.price);
        let others = self.weighted_prices.iter().copied().filter(|_| position == 0);
        prices
            .chain(others)
            .fold(Price::default(), |highest, price| highest.max(price.at(prompt_tokens)))
    }

    /// Checks that a target can take the request, whose texts a step may have changed since the selection.
    pub(crate) fn check_translatable(
        &self,
        position: usize,
        request: &ParsedRequest,
    ) -> Result<(), NoTranslation> {
        self.targets[position].check_translatable(request, self.route())
    }

    /// Drops the targets before a position, and returns their labels.
    pub(crate) fn drop_before(&mut self, position: usize) -> Vec<String> {
        self.weighted_prices.clear();
        self.rollout_unit = None;
        self.targets.drain(..position).map(|candidate| candidate.label()).collect()
    }

    /// Side of the route's rollout on which the request counts.
    pub(crate) fn rollout_unit(&self) -> Option<&RolloutUnit> {
        self.rollout_unit.as_ref()
    }

    /// The targets in order.
    pub(crate) fn targets(&self) -> &[Candidate<'a>] {
        &self.targets
    }
}

/// The name that keeps a caller at a target. An empty one counts as none: it would send all callers without a
/// name to the same target.
fn sticky_name<'n>(
    sticky: &Sticky,
    consumer: Option<&'n str>,
    user: Option<&'n str>,
    headers: &'n HeaderMap,
) -> Option<&'n str> {
    let name = match sticky {
        Sticky::None => None,
        Sticky::Consumer => consumer,
        Sticky::User => user,
        Sticky::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
    };
    name.filter(|name| !name.trim().is_empty())
}

/// The reason for which the first weighted target that offers the endpoint cannot take the request.
fn first_reason(config: &Config, route: &Route, request: &ParsedRequest) -> Option<NoTranslation> {
    route.targets.all().iter().find_map(|weighted| {
        let candidate = Candidate::new(config, &weighted.target, request)?;
        candidate.check_translatable(request, route).err()
    })
}

#[cfg(test)]
mod tests {
    use config::Sticky;
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::sticky_name;

    #[test]
    fn empty_sticky_name_counts_as_none() {
        let by_header = Sticky::Header(HeaderName::from_static("x-session"));
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(
                HeaderName::from_static("x-session"),
                HeaderValue::from_static(value),
            )])
        };
        let none = HeaderMap::new();
        for empty in ["", " ", "\t"] {
            assert_eq!(sticky_name(&Sticky::User, Some("app"), Some(empty), &none), None);
            assert_eq!(sticky_name(&by_header, Some("app"), Some("ann"), &headers(empty)), None);
        }
        assert_eq!(sticky_name(&by_header, None, None, &none), None);
        assert_eq!(sticky_name(&by_header, None, None, &headers("s1")), Some("s1"));
        assert_eq!(sticky_name(&Sticky::User, Some("app"), Some("ann"), &none), Some("ann"));
        assert_eq!(sticky_name(&Sticky::Consumer, Some("app"), None, &none), Some("app"));
    }
}
