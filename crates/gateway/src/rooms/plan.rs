//! Who is to answer, and who else if that fails.

use std::cell::RefCell;

use http::{HeaderMap, Uri};

use crate::config::{
    Balance, Config, Price, Provider, ProviderIndex, Route, RouteIndex, Sticky, Target,
};
use crate::error::Refusal;
use crate::policy::{balance, canary};
use crate::time::Timestamp;

use super::admit::Ask;
use super::authenticate::Caller;
use super::fleet::{Fleet, Ticket};

/// The targets of one request, in the order in which they are tried. Never empty.
#[derive(Debug)]
pub struct Plan<'a> {
    index: RouteIndex,
    route: &'a Route,
    targets: Vec<Candidate<'a>>,
}

/// A target that offers what is asked for.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The provider's position, for its keys.
    pub index: ProviderIndex,
    /// The provider.
    pub provider: &'a Provider,
    /// The model's name there.
    pub model: &'a str,
    /// Where to call.
    pub url: Uri,
    /// What it costs; `None`: nobody knows.
    pub price: Option<Price>,
    /// Leave to call it, of the first that is tried: who is to be a probe is decided with the choice,
    /// so that nobody else is sent where only one may go.
    pub ticket: RefCell<Option<Ticket>>,
}

impl Candidate<'_> {
    /// `provider/model`, as records and headers name it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider.id, self.model)
    }
}

/// The model's name at a target.
fn of<'t>(target: &'t Target, asked: &'t str) -> &'t str {
    target.model.as_deref().unwrap_or(asked)
}

impl<'a> Plan<'a> {
    /// Finds the route of the model, makes sure that the caller may use it, and chooses by weight.
    pub fn make(
        config: &'a Config,
        caller: &Caller<'_>,
        ask: &'a Ask,
        headers: &HeaderMap,
        fleet: &Fleet,
        (now, entropy): (Timestamp, u64),
    ) -> Result<Self, Refusal> {
        let model = &ask.request().model;
        let index =
            config.models.route(model).ok_or_else(|| Refusal::ModelNotFound(model.clone()))?;
        if !caller.may_use(index) {
            return Err(Refusal::ModelNotAllowed(model.clone()));
        }
        let route = config.route(index);
        let name = match &route.sticky {
            Sticky::None => None,
            Sticky::Consumer => caller.proven(),
            Sticky::User => ask.request().user.as_deref(),
            Sticky::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()),
        };
        let entropy = name.map_or(entropy, |name| canary::sticky(&route.id, name));
        let endpoint = ask.endpoint();
        let offers =
            |target: &Target| config.provider(target.provider).paths.of(endpoint).is_some();
        let awake = |target: &Target| fleet.is_awake(target.provider, of(target, model), now);
        let may = |target: &Target| offers(target) && awake(target);
        let all = &route.targets;
        let better = match route.balance {
            Balance::Weight => None,
            Balance::Latency => balance::better_of_two(all, entropy, may, |target, _| {
                let gauge = fleet.gauge(target.provider, of(target, model));
                gauge.latency(ask.request().stream, now)
            }),
            // What an equal part of a share has to do, in thousandths of a call.
            Balance::LeastBusy => balance::better_of_two(all, entropy, may, |target, weight| {
                let busy = fleet.gauge(target.provider, of(target, model)).busy();
                u64::from(busy) * 1_000 / u64::from(weight.max(1))
            }),
            // Whose price nobody knows is taken for the dearest.
            Balance::Cost => balance::least(all, entropy, may, |target| {
                let price = config.prices.of(target.provider, of(target, model));
                price.map_or(u64::MAX, |price| price.input.saturating_add(price.output))
            }),
        };
        // Where nobody is awake, the rule of the weights decides.
        let chosen = better.or_else(|| canary::choose(all, entropy, offers, awake));
        let mut targets: Vec<Candidate<'a>> = Vec::with_capacity(1 + route.fallback.len());
        for target in chosen.into_iter().chain(&route.fallback) {
            let provider = config.provider(target.provider);
            let model = of(target, model);
            // What has failed once is not a fallback for itself.
            let is_new =
                |other: &Candidate<'_>| (other.index, other.model) != (target.provider, model);
            if let Some(url) = provider.url(endpoint, model).filter(|_| targets.iter().all(is_new))
            {
                let price = config.prices.of(target.provider, model);
                let ticket = RefCell::default();
                let index = target.provider;
                targets.push(Candidate { index, provider, model, url, price, ticket });
            }
        }
        let Some(first) = targets.first() else {
            let path = ask.endpoint().path();
            return Err(Refusal::EndpointNotOffered { model: model.clone(), path });
        };
        first.ticket.replace(fleet.admit(first.index, first.model, route, now).ok());
        Ok(Self { index, route, targets })
    }

    /// The route that was found.
    pub fn route(&self) -> &'a Route {
        self.route
    }

    /// Its position in the configuration.
    pub fn route_index(&self) -> RouteIndex {
        self.index
    }

    /// The highest price of any target from a position on: which of them will answer is not known
    /// beforehand.
    pub fn price_from(&self, position: usize) -> Price {
        let prices = self.targets[position..].iter().filter_map(|candidate| candidate.price);
        prices.fold(Price::default(), |highest, price| Price {
            input: highest.input.max(price.input),
            cached: highest.cached.max(price.cached),
            output: highest.output.max(price.output),
        })
    }

    /// Leaves out the targets before this one.
    pub fn skip_to(&mut self, position: usize) {
        self.targets.drain(..position);
    }

    /// The targets in their order.
    pub fn targets(&self) -> &[Candidate<'a>] {
        &self.targets
    }
}
