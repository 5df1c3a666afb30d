//! A configuration that cannot be wrong: what `parse` makes of the raw document.
//!
//! References are indices that lead somewhere, weights have a sum above zero, secrets are resolved.

use std::num::NonZeroU64;
use std::time::Duration;

use http::{HeaderName, Uri};
use openai::OutputField;
use regex_lite::Regex;
use secret::{KeyDigest, Secret};

use super::auth::{Issuer, Operator};
use super::cache::{Cache, History, Observe};
use super::guard::Guard;
use super::ip_access::IpAccessList;
use super::limit::{Limit, Price};
use super::permission::Permissions;
use super::provider::{Authentication, Paths};

/// Everything the gateway does, in one value.
#[derive(Debug)]
pub struct Config {
    /// Bounds on what a caller may send.
    pub server: Server,
    /// Who may call, and where a key is looked for.
    pub auth: Auth,
    /// Providers, in the order of the document.
    pub providers: Vec<Provider>,
    /// Routes, in the order of the document.
    pub routes: Vec<Route>,
    /// Finds the route of a model.
    pub models: ModelIndex,
    /// Callers that have keys.
    pub consumers: Vec<Consumer>,
    /// What the members of a group may do.
    pub groups: Vec<Group>,
    /// Budgets, in the order of the document.
    pub limits: Vec<Limit>,
    /// What models cost.
    pub prices: Prices,
    /// Who may use the admin plane, beside the one with `ADMIN_TOKEN`.
    pub operators: Vec<Operator>,
    /// Checks of what is asked and answered, in their order.
    pub guards: Vec<Guard>,
    /// Answers that are served again.
    pub cache: Option<Cache>,
    /// Conversations that are remembered.
    pub history: Option<History>,
    /// What observers are told.
    pub observe: Observe,
    /// The SHA-256 of the document that it was read from.
    pub digest: [u8; 32],
}

/// `[server]`
#[derive(Debug)]
pub struct Server {
    /// The longest request body, in bytes.
    pub max_body: usize,
    /// A header in which a trusted proxy before the gateway tells the caller's address; `None`: the
    /// host knows it.
    pub client_ip_header: Option<HeaderName>,
    /// Whose pages may call from a browser.
    pub origins: Origins,
}

/// Whose pages may call from a browser.
#[derive(Debug)]
pub enum Origins {
    /// Everybody's.
    All,
    /// Those of these origins, as browsers write them.
    Some(Vec<String>),
}

/// `[auth]`
#[derive(Debug)]
pub struct Auth {
    /// Without it, a caller with no key is the consumer `anonymous`.
    pub required: bool,
    /// Where a key is looked for, in this order; the first place that holds one decides.
    pub sources: Vec<KeySource>,
    /// From where anybody may call.
    pub ip_access: IpAccessList,
    /// Who else vouches for callers.
    pub issuers: Vec<Issuer>,
}

/// A place in a request that may hold the caller's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `Authorization: Bearer …`
    Bearer,
    /// A header that holds the key and nothing else.
    Header(HeaderName),
}

/// `[[providers]]`
#[derive(Debug)]
pub struct Provider {
    /// Its name in routes, records and `x-serin-target`.
    pub id: String,
    /// Scheme, host and path prefix, with no slash at the end: `https://api.openai.com/v1`.
    pub base_url: String,
    /// How a key is presented.
    pub authentication: Authentication,
    /// Used in turn. Empty: calls carry no key.
    pub keys: Vec<Secret>,
    /// What it offers, and where.
    pub paths: Paths,
    /// Whether it understands `stream_options.include_usage`.
    pub stream_usage: bool,
    /// The field by which it takes the most tokens of a chat's answer.
    pub output_field: OutputField,
}

/// The position of a provider in [`Config::providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderIndex(pub(super) usize);

/// The position of a route in [`Config::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub(super) usize);

/// The position of a consumer in [`Config::consumers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerIndex(pub usize);

/// `[[routes]]`
#[derive(Debug)]
pub struct Route {
    /// Its name in records and `x-serin-route`.
    pub id: String,
    /// The patterns as written, for `GET /v1/models` and for people.
    pub models: Vec<ModelPattern>,
    /// Who answers, by weight.
    pub targets: Targets,
    /// How one of them is chosen.
    pub balance: Balance,
    /// What keeps a caller on its side of a canary.
    pub sticky: Sticky,
    /// Who answers instead, in this order.
    pub fallback: Vec<Target>,
    /// What counts as a failure that another target may make good.
    pub fallback_on: FallbackOn,
    /// More tries at one target.
    pub retries: Retries,
    /// When a target of it rests.
    pub health: Health,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// When a fallback is called beside a target that is late; `None`: never.
    pub hedge: Option<Hedge>,
    /// Whether a fallback goes on where a stream of plain text breaks off.
    pub continues_streams: bool,
}

/// When a fallback is called beside a target that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// For what part of the route's requests at most, in thousandths.
    pub share: u32,
    /// How long the target has first; `None`: what 95 of 100 of its answers took.
    pub after: Option<Duration>,
}

/// A pattern of model names.
#[derive(Clone, Debug)]
pub enum ModelPattern {
    /// This name and no other.
    Exact(String),
    /// Every name that begins so (written `prefix*`).
    Prefix(String),
    /// Every name that the expression matches anywhere (written `~regex`).
    Regex(Regex),
}

/// The targets of a route and their weights, whose sum is above zero.
#[derive(Debug)]
pub struct Targets {
    pub(super) all: Vec<WeightedTarget>,
    pub(super) total: NonZeroU64,
}

impl Targets {
    /// In the order of the document.
    pub fn all(&self) -> &[WeightedTarget] {
        &self.all
    }

    /// The sum of the weights.
    pub fn total(&self) -> NonZeroU64 {
        self.total
    }
}

/// A target and its share: `weight` of [`Targets::total`].
#[derive(Debug)]
pub struct WeightedTarget {
    /// Zero: never chosen.
    pub weight: u32,
    /// Who answers.
    pub target: Target,
}

/// A provider, and the model's name there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who answers.
    pub provider: ProviderIndex,
    /// Sent in place of the caller's model name; `None` keeps it.
    pub model: Option<String>,
}

/// How one of a route's targets is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By weight alone.
    #[default]
    Weight,
    /// The better of two that are drawn by weight: the one that answers sooner.
    Latency,
    /// The better of two that are drawn by weight: the one with fewer calls under way for its weight.
    LeastBusy,
    /// The cheapest; by weight among equals.
    Cost,
}

/// What keeps a caller on its side of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Chance, request by request.
    None,
    /// The authenticated consumer.
    Consumer,
    /// The request's `user` field.
    User,
    /// A header's value.
    Header(HeaderName),
}

/// Conditions under which the next target is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FallbackOn {
    /// No connection, or it broke before an answer was committed.
    pub connect: bool,
    /// No first byte in time.
    pub timeout: bool,
    /// Status 429.
    pub too_many_requests: bool,
    /// Status 5xx, or an answer that is not what was asked for.
    pub server_error: bool,
    /// The caller is over a limit.
    pub limited: bool,
}

/// More tries at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    /// The wait before the first of them; it doubles, and is jittered.
    pub backoff: Duration,
    /// The longest `Retry-After` worth waiting for.
    pub honour_retry_after: Duration,
    /// What part of a provider's requests may be tried again there, in thousandths.
    pub budget: u32,
    /// The longest body that is sent more than once, in bytes; `None`: any.
    pub max_replay_bytes: Option<usize>,
}

/// When a target rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// So many failures in a row put it to rest; 0: it never rests.
    pub failures: u32,
    /// The time within which they must lie.
    pub window: Duration,
    /// How long it rests first; twice as long each time that it is found still failing.
    pub cool_down: Duration,
}

impl Health {
    /// The longest cool-down of a target, however often it is found failing.
    pub const MAX_OPEN_TIME: Duration = Duration::from_secs(30);
}

/// Bounds on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of an attempt to the first byte of its body, of a stream to its first content.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For everything, retries and fallbacks included.
    pub total: Duration,
}

/// `[[consumers]]`
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name in records and limits.
    pub id: String,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Digests of its keys.
    pub keys: Vec<KeyDigest>,
    /// What it may do, beside what its group may.
    pub permissions: Permissions,
}

/// `[[groups]]`
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub id: String,
    /// What its members may do.
    pub permissions: Permissions,
}

/// `[[prices]]`
#[derive(Debug, Default)]
pub struct Prices {
    pub(super) all: Vec<PriceEntry>,
}

/// What some models cost at a provider, or everywhere.
#[derive(Debug)]
pub(super) struct PriceEntry {
    pub(super) provider: Option<ProviderIndex>,
    /// Exact or a prefix, never an expression.
    pub(super) model: ModelPattern,
    pub(super) price: Price,
}

impl Prices {
    /// Every price in the order of the document: at which provider (`None`: everywhere), and of which
    /// models.
    pub fn rows(&self) -> impl Iterator<Item = (Option<ProviderIndex>, &ModelPattern, Price)> {
        self.all.iter().map(|one| (one.provider, &one.model, one.price))
    }

    /// What a model costs at a provider: by the price that names the provider before one for all,
    /// by the exact name before a prefix, by the longer prefix before a shorter one. `None`: unknown.
    pub fn lookup(&self, provider: ProviderIndex, model: &str) -> Option<Price> {
        let fit = |priced: &PriceEntry| {
            let named = match priced.provider {
                Some(index) => index == provider,
                None => true,
            };
            let length = match &priced.model {
                ModelPattern::Exact(name) => (name == model).then_some(usize::MAX),
                ModelPattern::Prefix(prefix) => {
                    model.starts_with(prefix.as_str()).then_some(prefix.len())
                }
                ModelPattern::Regex(_) => None,
            };
            length.filter(|_| named).map(|length| (priced.provider.is_some(), length))
        };
        let fitting = self.all.iter().filter_map(|priced| Some((fit(priced)?, priced.price)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, price)| price)
    }
}

/// Finds the route of a model: exact name, else longest prefix, else first regex.
#[derive(Debug, Default)]
pub struct ModelIndex {
    /// Sorted by name.
    pub(super) exact: Vec<(String, RouteIndex)>,
    /// Longest first.
    pub(super) prefixes: Vec<(String, RouteIndex)>,
    /// In the order of the document.
    pub(super) patterns: Vec<(Regex, RouteIndex)>,
}

impl ModelIndex {
    /// Whether a route names a model exactly.
    pub fn has_exact(&self, model: &str) -> bool {
        self.exact(model).is_some()
    }

    fn exact(&self, model: &str) -> Option<RouteIndex> {
        let found = self.exact.binary_search_by(|(name, _)| name.as_str().cmp(model));
        found.ok().map(|at| self.exact[at].1)
    }

    /// The route that serves a model, if any.
    pub fn route(&self, model: &str) -> Option<RouteIndex> {
        let exact = self.exact(model);
        if exact.is_some() {
            return exact;
        }
        let prefix = self.prefixes.iter().find(|(prefix, _)| model.starts_with(prefix.as_str()));
        let pattern = || {
            self.patterns.iter().find(|(regex, _)| regex.is_match(model)).map(|(_, route)| *route)
        };
        prefix.map(|(_, route)| *route).or_else(pattern)
    }
}

impl Config {
    /// The provider at an index that this configuration handed out.
    pub fn provider(&self, index: ProviderIndex) -> &Provider {
        &self.providers[index.0]
    }

    /// The route at an index that this configuration handed out.
    pub fn route(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0]
    }

    /// The routes with their positions, in the order of the document.
    pub fn routes_with_index(&self) -> impl Iterator<Item = (RouteIndex, &Route)> {
        self.routes.iter().enumerate().map(|(position, route)| (RouteIndex(position), route))
    }

    /// The group of this name, if the document says anything of it.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// The consumer at an index that this configuration handed out.
    pub fn consumer(&self, index: ConsumerIndex) -> &Consumer {
        &self.consumers[index.0]
    }
}

impl ProviderIndex {
    /// The position, for state that is kept beside the configuration.
    pub fn position(self) -> usize {
        self.0
    }
}

impl RouteIndex {
    /// The position, for state that is kept beside the configuration.
    pub fn position(self) -> usize {
        self.0
    }
}

impl Provider {
    /// The URL of an endpoint for a model, or `None` where the provider does not offer it.
    pub fn url(&self, endpoint: openai::Endpoint, model: &str) -> Option<Uri> {
        let path = self.paths.path(endpoint)?;
        let mut url = String::with_capacity(self.base_url.len() + path.len() + model.len());
        url.push_str(&self.base_url);
        match path.split_once("{model}") {
            None => url.push_str(path),
            Some((before, after)) => {
                url.push_str(before);
                openai::percent_encode(model, &mut url);
                url.push_str(after);
            }
        }
        url.try_into().ok()
    }
}
