//! The parsed configuration as one value.
//!
//! References are indices into its own lists, weights have a sum above zero, secrets are resolved.

use super::auth::{Auth, Operator, SessionTimes};
use super::cache::Cache;
use super::consumer::{Consumer, Group};
use super::guard::Guard;
use super::history::History;
use super::index::{ConsumerIndex, ProviderIndex, RouteIndex};
use super::ip_access::IpAccessList;
use super::limit::Limit;
use super::model_index::ModelIndex;
use super::observe::Observe;
use super::price::Prices;
use super::problem::Warning;
use super::provider::Provider;
use super::route::Route;
use super::server::Server;
use super::storage::Storage;

/// Everything the gateway does, in one value.
#[derive(Debug)]
pub struct Config {
    /// Bounds on what a caller may send.
    pub server: Server,
    /// Authentication of callers.
    pub auth: Auth,
    /// Providers, in the order of the document.
    pub providers: Vec<Provider>,
    /// Routes, in the order of the document.
    pub routes: Vec<Route>,
    /// Finds the route of a model.
    pub models: ModelIndex,
    /// Named callers.
    pub consumers: Vec<Consumer>,
    /// Groups of consumers and their permissions.
    pub groups: Vec<Group>,
    /// Limits, in the order of the document.
    pub limits: Vec<Limit>,
    /// Prices of models.
    pub prices: Prices,
    /// Operators of the admin API besides the owner of `ADMIN_TOKEN`.
    pub operators: Vec<Operator>,
    /// How long a sign-in to the console lasts.
    pub sessions: SessionTimes,
    /// IP access to the admin API.
    pub admin_ip_access: IpAccessList,
    /// Checks of requests and answers, in the order of the document.
    pub guards: Vec<Guard>,
    /// The response cache. `None` if off.
    pub cache: Option<Cache>,
    /// Stored conversations. `None` if off.
    pub history: Option<History>,
    /// Metrics, traces, and logged content.
    pub observe: Observe,
    /// Places of the ledger and of the store.
    pub storage: Storage,
    /// Parts of the document that need attention.
    pub warnings: Vec<Warning>,
    /// The SHA-256 of the document.
    pub digest: [u8; 32],
}

impl Config {
    /// The provider at an index of this configuration.
    pub fn provider(&self, index: ProviderIndex) -> &Provider {
        &self.providers[index.0]
    }

    /// The providers with their indexes.
    pub fn providers_with_index(&self) -> impl Iterator<Item = (ProviderIndex, &Provider)> {
        self.providers.iter().enumerate().map(|(position, it)| (ProviderIndex(position), it))
    }

    /// The route at an index of this configuration.
    pub fn route(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0]
    }

    /// The routes with their positions, in the order of the document.
    pub fn routes_with_index(&self) -> impl Iterator<Item = (RouteIndex, &Route)> {
        self.routes.iter().enumerate().map(|(position, route)| (RouteIndex(position), route))
    }

    /// The group of this name. `None` if the document does not describe it.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// The consumer at an index of this configuration.
    pub fn consumer(&self, index: ConsumerIndex) -> &Consumer {
        &self.consumers[index.0]
    }

    /// The guards of a route with their positions, in the order of the document.
    pub fn guards_for(&self, route: RouteIndex) -> impl Iterator<Item = (usize, &Guard)> {
        let applies =
            move |guard: &Guard| guard.routes.as_ref().is_none_or(|routes| routes.contains(&route));
        self.guards.iter().enumerate().filter(move |(_, guard)| applies(guard))
    }
}
