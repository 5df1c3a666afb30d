//! The state that the requests of an isolate share, and the way of a request into the pipeline.

use std::rc::Rc;

use http::request::Parts;

use crate::body::Body;
use crate::boot::OwnSecrets;
use crate::config::Config;
use crate::ids;
use crate::keys::Directory;
use crate::ledger::Bounds;
use crate::otlp::Trace;
use crate::pipeline;
use crate::platform::Platform;
use crate::rooms::address::Address;
use crate::rooms::authenticate::Registry;
use crate::rooms::budgets::Budgets;
use crate::rooms::entry::Entry;
use crate::rooms::exporter::Exporter;
use crate::rooms::fleet::Fleet;
use crate::rooms::flight::Flights;
use crate::rooms::lists::Lists;
use crate::rooms::recent::Recent;
use crate::rooms::respond;
use crate::rooms::shelf::ResponseCache;
use crate::rooms::sinks::RecordSinks;
use crate::rooms::visitor::Visitor;
use crate::rooms::vouch::Vouchers;
use crate::usage::Recorder;

/// A gateway with its configuration and what it remembers between requests. A host keeps one for as
/// long as it lives.
#[derive(Debug)]
pub struct Gateway {
    config: Rc<Config>,
    fleet: Rc<Fleet>,
    secrets: OwnSecrets,
    directory: Directory,
    vouchers: Vouchers,
    budgets: Rc<Budgets>,
    usage: Rc<Recorder>,
    exporter: Rc<Exporter>,
    lists: Rc<Lists>,
    recent: Rc<Recent>,
    flights: Rc<Flights>,
}

impl Gateway {
    /// Opens a gateway.
    pub fn new(config: Config, secrets: OwnSecrets) -> Rc<Self> {
        Rc::new(Self {
            vouchers: Vouchers::new(&config),
            fleet: Rc::new(Fleet::new(&config)),
            usage: Rc::new(Recorder::new(bounds(&config))),
            config: Rc::new(config),
            secrets,
            directory: Directory::default(),
            budgets: Rc::default(),
            exporter: Rc::default(),
            lists: Rc::default(),
            recent: Rc::default(),
            flights: Rc::default(),
        })
    }

    /// Opens a gateway with another configuration that goes on where this one is: what is known of
    /// providers, budgets and sums of requests stays. What the old configuration has concluded from
    /// keys and tokens does not, since it names that one's routes.
    pub fn succeed(&self, config: Config, secrets: OwnSecrets) -> Rc<Self> {
        self.usage.bound(bounds(&config));
        Rc::new(Self {
            vouchers: self.vouchers.succeed(&self.config, &config),
            fleet: Fleet::succeed(&self.fleet, &self.config, &config),
            config: Rc::new(config),
            secrets,
            directory: self.directory.succeed(),
            budgets: Rc::clone(&self.budgets),
            usage: Rc::clone(&self.usage),
            exporter: Rc::clone(&self.exporter),
            lists: Rc::clone(&self.lists),
            recent: Rc::clone(&self.recent),
            flights: Rc::clone(&self.flights),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The secrets that no document names.
    pub(crate) fn secrets(&self) -> &OwnSecrets {
        &self.secrets
    }

    /// What is remembered of issued keys.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was written to the store a moment ago.
    pub(crate) fn recent(&self) -> &Rc<Recent> {
        &self.recent
    }

    fn sinks(&self) -> RecordSinks {
        let (usage, exporter) = (Rc::clone(&self.usage), Rc::clone(&self.exporter));
        RecordSinks::new(Rc::clone(&self.config), usage, exporter)
    }

    /// The request's place in a trace, where traces are sent.
    fn trace<P: Platform>(&self, platform: &P, parts: &Parts) -> Option<Rc<Trace>> {
        let otlp = self.config.observe.otlp.as_ref().filter(|otlp| otlp.traces)?;
        Some(Rc::new(Trace::begin(&parts.headers, otlp.sample, platform)))
    }

    /// Answers one request. Dropping the future, or the response's body before its end, means that
    /// the caller hung up.
    pub async fn handle<P: Platform>(
        self: &Rc<Self>,
        platform: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::read(&self.config.server.origins, &parts.headers);
        if let Some(answer) = visitor.as_ref().and_then(|visitor| visitor.preflight(&parts)) {
            return answer;
        }
        let mut response = self.answer(platform, parts, body).await;
        if let Some(visitor) = visitor {
            visitor.admit(response.headers_mut());
        }
        response
    }

    async fn answer<P: Platform>(
        self: &Rc<Self>,
        platform: P,
        parts: Parts,
        body: Body,
    ) -> http::Response<Body> {
        let api = match Address::read(&parts.method, parts.uri.path()) {
            // No record: a load balancer asks every second, and is no caller.
            Ok(Address::Health) => return respond::without_body(&parts.method, respond::health()),
            Ok(Address::Api(api)) => Ok(api),
            Err(refusal) => Err(refusal),
        };
        let id = ids::request_id(&parts.headers, &platform);
        let trace = self.trace(&platform, &parts);
        let mut entry = Entry::open(self.sinks(), platform.clone(), id, trace);
        let result = match api {
            Ok(api) => pipeline::run(self, api, &parts, body, &mut entry).await,
            Err(refusal) => Err(refusal.into()),
        };
        respond::without_body(&parts.method, respond::deliver(result, platform, entry))
    }

    /// What authenticates callers.
    pub(crate) fn registry(&self) -> Registry<'_> {
        Registry {
            config: &self.config,
            pepper: self.secrets.pepper.as_ref(),
            directory: &self.directory,
            vouchers: &self.vouchers,
        }
    }

    /// The response cache.
    pub(crate) fn cache(&self) -> ResponseCache<'_> {
        ResponseCache { config: &self.config, recent: &self.recent, flights: &self.flights }
    }

    /// The settings as the steps of a request share them.
    pub(crate) fn shared_config(&self) -> &Rc<Config> {
        &self.config
    }

    /// What is known of upstreams.
    pub(crate) fn fleet(&self) -> &Rc<Fleet> {
        &self.fleet
    }

    /// Word lists that are kept in the store.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Leases, and counters for when the ledger is unavailable.
    pub(crate) fn budgets(&self) -> &Rc<Budgets> {
        &self.budgets
    }
}

/// How much metrics tell apart.
fn bounds(config: &Config) -> Bounds {
    Bounds { consumers: config.observe.max_consumers, ..Bounds::default() }
}
