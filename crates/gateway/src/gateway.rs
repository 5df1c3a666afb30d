//! The life of a request, from its head to its answer: the only place where the order of the steps
//! is written.

use std::rc::Rc;

use http::request::Parts;

use crate::admin::{self, Desk};
use crate::body::Body;
use crate::boot::OwnSecrets;
use crate::config::Config;
use crate::error::{Error, Fault, Refusal};
use crate::ids;
use crate::keys::Directory;
use crate::ledger::Bounds;
use crate::observe::Record;
use crate::otlp::Trace;
use crate::platform::Platform;
use crate::policy::limits::Subject;
use crate::rooms::address::{Address, Api};
use crate::rooms::admit::Ask;
use crate::rooms::authenticate::{Caller, Registry};
use crate::rooms::blocked::Blocked;
use crate::rooms::budgets::Budgets;
use crate::rooms::call::Line;
use crate::rooms::entry::Entry;
use crate::rooms::exporter::Exporter;
use crate::rooms::fleet::Fleet;
use crate::rooms::flight::Flights;
use crate::rooms::inspect::{Inspector, Stop};
use crate::rooms::lists::Lists;
use crate::rooms::need::Need;
use crate::rooms::permit;
use crate::rooms::plan::Plan;
use crate::rooms::recall;
use crate::rooms::recent::Recent;
use crate::rooms::reserve::Reservation;
use crate::rooms::respond::{self, Reply, Served};
use crate::rooms::shelf::{self, Look};
use crate::rooms::tee::Tee;
use crate::rooms::transcript::Transcript;
use crate::rooms::visitor::Visitor;
use crate::rooms::vouch::Vouchers;
use crate::usage::Recorder;
use crate::versions::Station;

/// A gateway with its configuration and what it remembers between requests. A host keeps one for as
/// long as it lives.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
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
            config,
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
            config,
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

    /// What is known of upstreams.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Lists of words that are kept in the store.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What is known of budgets.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What was written to the store a moment ago.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Answers under way that others wait for.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Notes a request that is over, for those who ask later who spent what.
    pub(crate) fn note_usage<P: Platform>(&self, platform: &P, record: &Record, cost: u64) {
        self.usage.note(platform, record, cost);
    }

    /// What waits for a collector.
    pub(crate) fn exporter(&self) -> &Exporter {
        &self.exporter
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
        if admin::owns(request.uri().path()) {
            // Apart, so that the callers' requests do not carry the room that it takes.
            return Box::pin(self.administer(platform, request, None)).await;
        }
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
            // No record: a load balancer's question every second is nobody's request.
            Ok(Address::Health) => return respond::without_body(&parts.method, respond::health()),
            Ok(Address::Api(api)) => Ok(api),
            Err(refusal) => Err(refusal),
        };
        let id = ids::request_id(&parts.headers, &platform);
        let mut entry = Entry::open(Rc::clone(self), platform.clone(), id);
        entry.trace = self.trace(&platform, &parts);
        let reply = match api {
            Ok(api) => self.serve(api, &platform, &parts, body, &mut entry).await,
            Err(refusal) => Err(refusal.into()),
        };
        match reply {
            Ok(reply) => {
                let tee = Tee::over(&mut entry, &platform);
                let response = respond::deliver(reply, platform, entry);
                match tee {
                    Some(tee) => tee.wrap(response),
                    None => respond::without_body(&parts.method, response),
                }
            }
            Err(error) => respond::without_body(&parts.method, respond::refuse(&error, entry)),
        }
    }

    /// The rooms, in their order.
    async fn serve<P: Platform>(
        self: &Rc<Self>,
        api: Api,
        platform: &P,
        parts: &Parts,
        body: Body,
        entry: &mut Entry<P>,
    ) -> Result<Reply<P>, Error> {
        // First of all: who may not even knock costs nothing more.
        let address = permit::address(&self.config, parts);
        permit::from_anywhere(&self.config, address)?;
        // Before the body is read: strangers must not make us work.
        let caller = Caller::authenticate(&self.registry(), platform, &parts.headers).await?;
        entry.record.consumer = Some(caller.id().to_owned());
        entry.record.group = caller.group().map(str::to_owned);
        entry.record.operation = Some(api.operation());
        permit::from_here(&caller, address)?;
        let endpoint = match api {
            Api::Models => return Ok(Reply::models(&self.config, &caller)),
            Api::Answer(endpoint) => endpoint,
        };
        // The body is parsed once, here; everything after works on places in it.
        let mut ask =
            Ask::admit(endpoint, &parts.headers, body, self.config.server.max_body).await?;
        entry.record.model = Some(ask.request().model.clone());
        entry.record.stream = ask.request().stream;
        // Everything after looks at the whole conversation.
        let recalled = recall::recall(self, platform, &caller, &parts.headers, &mut ask).await;
        if let Some(recalled) = recalled {
            entry.headers.push((recall::HEADER, recalled.turns().to_string()));
            entry.keep.conversation = Some(Box::new(recalled));
        }
        // What the caller may use is decided with the route, since permissions name routes.
        let moment = (platform.now(), platform.entropy());
        let mut plan =
            Plan::make(&self.config, &caller, &ask, &parts.headers, &self.fleet, moment)?;
        entry.record.route = Some(plan.route().id.clone());
        entry.record.is_named = self.config.models.names(&ask.request().model);
        let kept = self.config.observe.content.iter().find(|(it, _)| *it == plan.route_index());
        entry.transcript = kept.map(|(_, most)| Rc::new(Transcript::new(&ask, *most)));
        permit::parameters(&caller, &ask)?;
        let route = plan.route_index();
        let guards = Inspector::post(self, platform, route, &caller, &entry.record.id).await;
        // An answer that was given before, under the same guards, costs nothing and is nobody's work.
        let watch = guards.as_ref().map_or_else(Vec::new, |guards| guards.fingerprint().to_vec());
        let same = (&ask, &plan);
        let look = shelf::look(self, platform, &caller, &parts.headers, same, &watch).await;
        entry.record.cache = look.name();
        let hit = match look {
            Look::Off | Look::Bypass => None,
            Look::Miss(slot) => {
                entry.keep.slot = Some(slot);
                None
            }
            Look::Hit(hit) if hit.is_charged() => Some(hit),
            Look::Hit(hit) => return Ok(Reply::Kept(hit)),
        };
        // Budgets after everything that may refuse for free, and before what costs money.
        let subject = Subject {
            route: Some(plan.route_index()),
            consumer: caller.id(),
            group: caller.group(),
            address,
            headers: &parts.headers,
            uri: &parts.uri,
        };
        self.reserve(platform, subject, &ask, &mut plan, entry).await?;
        if let Some(hit) = hit {
            let first = &plan.targets()[0];
            if hit.target == first.label() {
                entry.price = first.price;
                return Ok(Reply::Kept(hit));
            }
            // Its limits send the caller to another target than the one that was found.
            entry.record.cache = Look::Bypass.name();
        }
        // Guards after budgets: asking them costs money too.
        let masked = match &guards {
            Some(inspector) => match inspector.admit(&ask).await {
                Ok(masked) => masked,
                Err(stop) => return self.turn_down(&stop, platform, &ask, entry, inspector),
            },
            None => None,
        };
        if let Some(inspector) = &guards {
            inspector.take_notes().write(&mut entry.record);
        }
        // Last, since only this costs much.
        let most_output = entry.reservation.as_ref().and_then(Reservation::most_output);
        if let Some(slot) = &mut entry.keep.slot {
            slot.is_capped = most_output.is_some();
        }
        let asked = masked.as_ref().unwrap_or(&ask);
        let line = Line { platform, fleet: &self.fleet, ask: asked, plan: &plan, most_output };
        let mut answer = line.call(entry).await?;
        let mut is_watched = false;
        if let Some(inspector) = &guards {
            match inspector.receive(&mut answer, ask.endpoint()).await {
                Ok(goes_on) => is_watched = goes_on,
                Err(stop) => return self.turn_down(&stop, platform, &ask, entry, inspector),
            }
            inspector.take_notes().write(&mut entry.record);
        }
        let guards = guards.filter(|_| is_watched);
        let guards = guards.map(|inspector| (inspector, ask.endpoint()));
        Ok(Reply::Answer(Served { answer, timeouts: plan.route().timeouts, guards }))
    }

    /// What the caller gets where a guard has stopped the request or its answer.
    fn turn_down<P: Platform>(
        &self,
        stop: &Stop,
        platform: &P,
        ask: &Ask,
        entry: &mut Entry<P>,
        inspector: &Inspector<P>,
    ) -> Result<Reply<P>, Error> {
        inspector.take_notes().write(&mut entry.record);
        let block = match stop {
            Stop::Blocked(block) => block,
            Stop::Unavailable => return Err(Fault::GuardUnavailable.into()),
            Stop::Unreadable(what) => {
                let param = ask.endpoint().content_field();
                return Err(Refusal::Unchecked { param, what }.into());
            }
        };
        let guard = &self.config.guards[block.guard];
        entry.record.blocked_by = Some(guard.id.clone());
        let stream = ask.request().stream;
        Ok(Reply::Blocked(Blocked::new(platform, guard, block, ask.endpoint(), stream)))
    }

    fn registry(&self) -> Registry<'_> {
        Registry {
            config: &self.config,
            pepper: self.secrets.pepper.as_ref(),
            directory: &self.directory,
            vouchers: &self.vouchers,
        }
    }

    /// The admin plane, which has an authentication, an order and a log of its own.
    pub(crate) async fn administer<P: Platform>(
        &self,
        platform: P,
        request: http::Request<Body>,
        station: Option<&Station>,
    ) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let address = permit::address(&self.config, &parts);
        if let Err(refusal) = permit::from_anywhere(&self.config, address) {
            return respond::turn_away(&refusal.into());
        }
        let desk = Desk {
            config: &self.config,
            token: self.secrets.admin.as_ref(),
            pepper: self.secrets.pepper.as_ref(),
            directory: &self.directory,
            station,
            recent: &self.recent,
            address,
        };
        admin::serve(desk, &platform, http::Request::from_parts(parts, body)).await
    }

    /// Reserves for the plan's targets or, where the route says that a fallback serves whoever is
    /// over a limit, for the first fallback that the caller's limits allow.
    async fn reserve<P: Platform>(
        self: &Rc<Self>,
        platform: &P,
        subject: Subject<'_>,
        ask: &Ask,
        plan: &mut Plan<'_>,
        entry: &mut Entry<P>,
    ) -> Result<(), Error> {
        let total = plan.route().timeouts.total;
        let need = Need { subject, ask, price: plan.price_from(0), total };
        let refused = match Reservation::make(self, platform, need).await {
            Ok(reservation) => {
                entry.hold(reservation);
                return Ok(());
            }
            Err(Error::Refusal(Refusal::Limited(limited))) => limited,
            Err(error) => return Err(error),
        };
        entry.record.limited_by = Some(refused.limit.clone());
        for position in 1..plan.targets().len() {
            if !plan.route().fallback_on.limited {
                break;
            }
            // A fallback has the limits of the route that its model has by itself.
            let candidate = &plan.targets()[position];
            let route = self.config.models.route(candidate.model);
            let price = plan.price_from(position);
            let need = Need { subject: Subject { route, ..subject }, ask, price, total };
            match Reservation::make(self, platform, need).await {
                Ok(reservation) => {
                    entry.hold(reservation);
                    plan.skip_to(position);
                    return Ok(());
                }
                Err(Error::Refusal(Refusal::Limited(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Limited(refused).into())
    }
}

/// How much metrics tell apart.
fn bounds(config: &Config) -> Bounds {
    Bounds { consumers: config.observe.max_consumers, ..Bounds::default() }
}
