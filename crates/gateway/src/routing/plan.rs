//! Selection of the target and its fallbacks.

use civil_time::Timestamp;
use config::{
    Balance, Config, ModelPrice, Price, Provider, ProviderIndex, Route, RouteIndex, Sticky, Target,
};
use http::{HeaderMap, Uri};
use rollout::Side;

use crate::auth::caller::Caller;
use crate::error::Refusal;
use crate::record::RolloutUnit;
use crate::request::parse::ParsedRequest;
use crate::routing::balance::{self, TargetLoad};
use crate::routing::weighted;

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
        Ok(Self { index, route: config.route(index), canary: None })
    }

    /// Replaces the weight of the canary.
    pub(crate) fn with_canary(self, canary: Option<CanaryShare>) -> Self {
        Self { canary, ..self }
    }
}

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
        let url = provider.url(request.endpoint(), model)?;
        let price = config.prices.lookup(index, model);
        let model_origin = match &target.model {
            Some(_) => ModelOrigin::Target,
            None if config.models.has_exact(model) => ModelOrigin::Route,
            None => ModelOrigin::Caller,
        };
        Some(Self { provider_index: index, provider, model, url, price, model_origin })
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
        let chosen = choose_target(config, matched, request, health, (now, entropy));
        let mut targets: Vec<Candidate<'a>> = Vec::with_capacity(1 + route.fallback.len());
        for target in chosen.into_iter().chain(&route.fallback) {
            let Some(candidate) = Candidate::new(config, target, request) else { continue };
            // A failed target is not a fallback for itself.
            if targets.iter().all(|other| !other.is_same(&candidate)) {
                targets.push(candidate);
            }
        }
        if targets.is_empty() {
            let (model, path) = (request.fields().model.clone(), request.endpoint().path());
            return Err(Refusal::EndpointNotOffered { model, path });
        }
        let rollout_unit = chosen.and_then(|chosen| {
            let side = side_of(config, matched, chosen, request, health, now)?;
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
        let chosen = choose_target(config, self.matched, request, health, (now, self.entropy))?;
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

    /// Drops the targets before a position.
    pub(crate) fn drop_before(&mut self, position: usize) {
        self.targets.drain(..position);
        self.weighted_prices.clear();
        self.rollout_unit = None;
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

/// The model's name at a target.
fn target_model<'t>(target: &'t Target, requested: &'t str) -> &'t str {
    target.model.as_deref().unwrap_or(requested)
}

/// Chooses among the weighted targets of a route by its balance mode, first among the available
/// ones.
fn choose_target<'a>(
    config: &'a Config,
    matched: MatchedRoute<'a>,
    request: &ParsedRequest,
    health: &impl TargetHealth,
    (now, entropy): (Timestamp, u64),
) -> Option<&'a Target> {
    let (model, endpoint) = (&request.fields().model, request.endpoint());
    let offers = |target: &Target| config.provider(target.provider).paths.path(endpoint).is_some();
    let route = matched.route;
    let is_available = |target: &Target| {
        let model = target_model(target, model);
        health.is_available(target.provider, model, now)
            && admitted_share(route, health.warm_since(target.provider, model, now), now)
                .is_none_or(|share| warm_up_position(entropy) < share)
    };
    let may = |target: &Target| offers(target) && is_available(target);
    let all = &route.targets;
    let better = match route.balance {
        Balance::Weight => None,
        Balance::Latency => balance::better_of_two(all, entropy, may, |target, _| {
            let load = health.load(target.provider, target_model(target, model));
            load.latency(request.fields().stream, now)
        }),
        // Calls in flight per weight, in thousandths.
        Balance::LeastBusy => balance::better_of_two(all, entropy, may, |target, weight| {
            let busy = health.load(target.provider, target_model(target, model)).in_flight();
            u64::from(busy) * 1_000 / u64::from(weight.max(1))
        }),
        // A target without a known price counts as the most expensive one.
        Balance::Cost => balance::choose_min(all, entropy, may, |target| {
            let price = config.prices.lookup(target.provider, target_model(target, model));
            price
                .map(|price| price.at(0))
                .map_or(u64::MAX, |price| price.input.saturating_add(price.output))
        }),
    };
    // If no target is available, the weights decide.
    let canary = matched.canary.map(|canary| canary.percent);
    better.or_else(|| weighted::choose_weighted(all, canary, entropy, offers, is_available))
}

/// Smallest share of its requests that a returning target gets, as a divisor.
const MIN_WARM_UP_SHARE_DIVISOR: u64 = 10;

/// The part of its share that a target gets which is back or new since `since`, of 2⁶⁴. `None` if it gets all.
fn admitted_share(route: &Route, since: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let window = u64::try_from(route.warm_up?.as_millis()).unwrap_or(u64::MAX).max(1);
    let age = u64::try_from(now.since(since?).as_millis()).unwrap_or(u64::MAX);
    if age >= window {
        return None;
    }
    let share = u128::from(u64::MAX) * u128::from(age) / u128::from(window);
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    Some(share.max(u64::MAX / MIN_WARM_UP_SHARE_DIVISOR))
}

/// Position of a request within the warm-up of any target, spread over the requests of each target. The
/// same for a sticky name, so that the same callers return first.
fn warm_up_position(entropy: u64) -> u64 {
    // The multiplier of Fibonacci hashing: neighboring requests get distant positions.
    entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Side of the chosen target. `None` without a rollout, or if not every target could have been chosen:
/// then the shares are not those of the rollout.
fn side_of(
    config: &Config,
    matched: MatchedRoute<'_>,
    chosen: &Target,
    request: &ParsedRequest,
    health: &impl TargetHealth,
    now: Timestamp,
) -> Option<Side> {
    let percent = matched.canary.filter(|canary| canary.version > 0)?.percent;
    let (model, endpoint) = (&request.fields().model, request.endpoint());
    let may = |target: &Target| {
        let model = target_model(target, model);
        let since = health.warm_since(target.provider, model, now);
        config.provider(target.provider).paths.path(endpoint).is_some()
            && health.is_available(target.provider, model, now)
            && admitted_share(matched.route, since, now).is_none()
    };
    let (canary, others) = matched.route.targets.all().split_last()?;
    let is_compared = (1..100).contains(&percent)
        && may(&canary.target)
        && others.iter().all(|other| other.weight == 0 || may(&other.target));
    let is_canary = std::ptr::eq(chosen, &canary.target);
    is_compared.then_some(if is_canary { Side::Canary } else { Side::Control })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::{Config, Sticky};
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{admitted_share, sticky_name, warm_up_position};

    #[test]
    fn returning_target_gets_a_tenth_and_then_its_whole_share() {
        let document = r#"{"auth":{"required":false},"providers":[{"id":"ollama"}],
            "routes":[{"id":"r","models":["m"],"warm_up":"60s","targets":[{"provider":"ollama"}]}]}"#;
        let config = Config::from_json(document, &|_| None).expect("the document is right");
        let (route, since) = (&config.routes[0], Timestamp::from_millis(1_000_000));
        let admitted = |seconds| {
            let share = admitted_share(route, Some(since), since + Duration::from_secs(seconds))?;
            let step = u64::MAX / 10_000;
            let count = (0..10_000).filter(|n| warm_up_position(n * step) < share).count();
            Some(count / 100)
        };
        assert_eq!([0, 3, 6, 30, 45].map(admitted), [10, 10, 10, 50, 75].map(Some));
        assert_eq!((admitted(60), admitted_share(route, None, since)), (None, None));
    }

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
