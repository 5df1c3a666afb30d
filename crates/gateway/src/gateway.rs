//! State that the requests of an isolate share.

use std::rc::Rc;

use civil_time::Timestamp;
use config::Config;
use ledger::CardinalityLimits;

use crate::auth::access;
use crate::auth::authenticate::Authenticator;
use crate::auth::caller::Caller;
use crate::auth::jwt::JwtAuthenticator;
use crate::auth::keys::KeyCache;
use crate::auth::session::SessionCache;
use crate::auth::wrong_tokens::WrongTokens;
use crate::cache::lookup::ResponseCache;
use crate::cache::single_flight::SingleFlight;
use crate::config_loader::GatewaySecrets;
use crate::guards::call_load::CallLoad;
use crate::guards::pipeline::GuardServices;
use crate::guards::word_lists::WordLists;
use crate::history::load::ConversationStore;
use crate::host::recent_writes::RecentWrites;
use crate::limits::local_state::LimiterState;
use crate::request::body_budget::BodyBudget;
use crate::request::read_body::BodyBounds;
use crate::rollouts::Rollouts;
use crate::telemetry::otlp::exporter::OtlpExporter;
use crate::telemetry::record_sinks::RecordSinks;
use crate::telemetry::usage::aggregator::UsageAggregator;
use crate::telemetry::usage::details::CoolingDown;
use crate::upstream::state::Upstreams;

/// A gateway with its configuration and its state between requests. A host keeps one per isolate.
#[derive(Debug)]
pub struct Gateway {
    config: Rc<Config>,
    upstreams: Rc<Upstreams>,
    secrets: GatewaySecrets,
    key_cache: KeyCache,
    jwt_authenticator: JwtAuthenticator,
    limiter_state: Rc<LimiterState>,
    usage_aggregator: Rc<UsageAggregator>,
    otlp_exporter: Rc<OtlpExporter>,
    word_lists: Rc<WordLists>,
    call_load: Rc<CallLoad>,
    recent_writes: Rc<RecentWrites>,
    single_flight: Rc<SingleFlight>,
    body_budget: Rc<BodyBudget>,
    rollouts: Rc<Rollouts>,
    session_cache: Rc<SessionCache>,
    wrong_tokens: Rc<WrongTokens>,
}

impl Gateway {
    /// Opens a gateway with a configuration and nothing in its caches.
    pub fn new(config: Config, secrets: GatewaySecrets) -> Rc<Self> {
        let rollouts: Rc<Rollouts> = Rc::default();
        let aggregator = UsageAggregator::new(cardinality_limits(&config), Rc::clone(&rollouts));
        Rc::new(Self {
            jwt_authenticator: JwtAuthenticator::new(&config),
            upstreams: Rc::new(Upstreams::new(&config)),
            usage_aggregator: Rc::new(aggregator),
            rollouts,
            config: Rc::new(config),
            secrets,
            key_cache: KeyCache::default(),
            limiter_state: Rc::default(),
            otlp_exporter: Rc::default(),
            word_lists: Rc::default(),
            call_load: Rc::default(),
            recent_writes: Rc::default(),
            single_flight: Rc::default(),
            body_budget: Rc::default(),
            session_cache: Rc::default(),
            wrong_tokens: Rc::default(),
        })
    }

    /// Opens a gateway with another configuration and keeps the state of this one: health of
    /// providers, budgets, rollouts, and usage totals. Cached keys and tokens are dropped, because they name
    /// the old configuration's routes.
    pub(crate) fn with_config(&self, config: Config, secrets: GatewaySecrets) -> Rc<Self> {
        self.usage_aggregator.set_cardinality(cardinality_limits(&config));
        Rc::new(Self {
            jwt_authenticator: self.jwt_authenticator.carry_over(&self.config, &config),
            upstreams: Upstreams::carry_over(&self.upstreams, &self.config, &config),
            config: Rc::new(config),
            secrets,
            key_cache: self.key_cache.carry_over(),
            limiter_state: Rc::clone(&self.limiter_state),
            usage_aggregator: Rc::clone(&self.usage_aggregator),
            otlp_exporter: Rc::clone(&self.otlp_exporter),
            word_lists: Rc::clone(&self.word_lists),
            call_load: Rc::clone(&self.call_load),
            recent_writes: Rc::clone(&self.recent_writes),
            single_flight: Rc::clone(&self.single_flight),
            body_budget: Rc::clone(&self.body_budget),
            rollouts: Rc::clone(&self.rollouts),
            session_cache: Rc::clone(&self.session_cache),
            wrong_tokens: Rc::clone(&self.wrong_tokens),
        })
    }

    /// Configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Secrets that no document names.
    pub(crate) fn secrets(&self) -> &GatewaySecrets {
        &self.secrets
    }

    /// Cached lookups of issued keys.
    pub(crate) fn key_cache(&self) -> &KeyCache {
        &self.key_cache
    }

    /// Revoked sessions of operators.
    pub(crate) fn session_cache(&self) -> &SessionCache {
        &self.session_cache
    }

    /// Wrong tokens of operators.
    pub(crate) fn wrong_tokens(&self) -> &WrongTokens {
        &self.wrong_tokens
    }

    /// Recent writes to the store.
    pub(crate) fn recent_writes(&self) -> &Rc<RecentWrites> {
        &self.recent_writes
    }

    /// Receivers of finished records.
    pub(crate) fn record_sinks(&self) -> RecordSinks {
        let (usage, exporter) = (Rc::clone(&self.usage_aggregator), Rc::clone(&self.otlp_exporter));
        RecordSinks::new(Rc::clone(&self.config), usage, exporter, Rc::clone(&self.rollouts))
    }

    /// Reports the targets and keys that cool down here, with the usage totals.
    pub(crate) fn report_health(&self, now: Timestamp) {
        self.usage_aggregator.record_health(now, || self.cooling_down(now));
    }

    /// Targets and keys that cool down in this isolate.
    pub(crate) fn cooling_down(&self, now: Timestamp) -> Vec<CoolingDown> {
        self.upstreams.cooling_down(&self.config, now)
    }

    /// Bounds on the body of a caller's request that arrived at `began`.
    pub(crate) fn body_bounds(&self, caller: &Caller<'_>, began: Timestamp) -> BodyBounds<'_> {
        BodyBounds {
            max_bytes: self.config.server.max_body,
            // The route stands in the body, so the longest time that any of them allows bounds it.
            deadline: began + access::max_total_time(&self.config, caller),
            budget: self.body_budget(),
        }
    }

    pub(crate) fn authenticator(&self) -> Authenticator<'_> {
        Authenticator {
            config: &self.config,
            pepper: self.secrets.pepper.as_ref(),
            key_cache: &self.key_cache,
            jwt_authenticator: &self.jwt_authenticator,
        }
    }

    pub(crate) fn response_cache(&self) -> ResponseCache<'_> {
        ResponseCache {
            config: &self.config,
            recent_writes: &self.recent_writes,
            single_flight: &self.single_flight,
        }
    }

    pub(crate) fn conversation_store(&self) -> ConversationStore<'_> {
        ConversationStore { config: &self.config, recent_writes: &self.recent_writes }
    }

    pub(crate) fn guard_services(&self) -> GuardServices<'_> {
        GuardServices {
            config: &self.config,
            upstreams: &self.upstreams,
            word_lists: &self.word_lists,
            call_load: &self.call_load,
        }
    }

    /// The configuration, for steps that keep it beyond a borrow.
    pub(crate) fn shared_config(&self) -> &Rc<Config> {
        &self.config
    }

    /// State of the upstreams.
    pub(crate) fn upstreams(&self) -> &Rc<Upstreams> {
        &self.upstreams
    }

    /// Rollouts as this isolate knows them.
    pub(crate) fn rollouts(&self) -> &Rc<Rollouts> {
        &self.rollouts
    }

    /// Bytes of request bodies in flight.
    pub(crate) fn body_budget(&self) -> &Rc<BodyBudget> {
        &self.body_budget
    }

    /// Leases, and local counters for an unavailable ledger.
    pub(crate) fn limiter_state(&self) -> &Rc<LimiterState> {
        &self.limiter_state
    }
}

/// Bounds on the label values of metrics.
fn cardinality_limits(config: &Config) -> CardinalityLimits {
    CardinalityLimits { consumers: config.observe.max_consumers, ..CardinalityLimits::default() }
}
