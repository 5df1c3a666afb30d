//! The life of a request, from its head to its answer: the only place where the order of the steps
//! stands.

use std::rc::Rc;

use http::request::Parts;

use crate::body::Body;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::ids;
use crate::otlp::Trace;
use crate::platform::Platform;
use crate::policy::limits::Subject;
use crate::rooms::address::{Address, Api};
use crate::rooms::admission::{self, Admitted};
use crate::rooms::admit::Ask;
use crate::rooms::call::Line;
use crate::rooms::entry::Entry;
use crate::rooms::inspect::Inspector;
use crate::rooms::permit;
use crate::rooms::plan::{Matched, Plan};
use crate::rooms::recall;
use crate::rooms::respond::{self, Reply, Served};
use crate::rooms::shelf::{self, Look};
use crate::rooms::tee::Keep;
use crate::rooms::transcript::Transcript;
use crate::rooms::visitor::Visitor;

impl Gateway {
    /// The request's place in a trace, where traces are sent.
    fn trace<P: Platform>(&self, platform: &P, parts: &Parts) -> Option<Rc<Trace>> {
        let otlp = self.shared_config().observe.otlp.as_ref().filter(|otlp| otlp.traces)?;
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
        let visitor = Visitor::read(&self.shared_config().server.origins, &parts.headers);
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
            Ok(api) => run(self, api, &parts, body, &mut entry).await,
            Err(refusal) => Err(refusal.into()),
        };
        respond::without_body(&parts.method, respond::deliver(result, platform, entry))
    }
}

/// Runs the steps of one request. `scope` keeps the books; an error says what the caller gets instead
/// of an answer.
pub(crate) async fn run<P: Platform>(
    gateway: &Gateway,
    api: Api,
    parts: &Parts,
    body: Body,
    scope: &mut Entry<P>,
) -> Result<Reply<P>, Error> {
    let platform = &scope.platform().clone();
    let config = gateway.shared_config();
    // The list of addresses costs nothing, so it comes first.
    let address = permit::address(config, parts);
    permit::from_anywhere(config, address)?;
    // Before the body is read: strangers must not make the gateway work.
    let caller = gateway.registry().authenticate(platform, &parts.headers).await?;
    scope.authenticated(&caller, api.operation());
    permit::from_here(&caller, address)?;
    let endpoint = match api {
        Api::Models => return Ok(Reply::models(config, &caller)),
        Api::Answer(endpoint) => endpoint,
    };
    // The body is parsed once, here; the steps after it work on ranges of it.
    let mut request = Ask::admit(endpoint, &parts.headers, body, config.server.max_body).await?;
    scope.parsed(request.request());
    // Permissions name routes, so the route decides what the caller may use.
    let matched = Matched::find(config, &caller, &request.request().model)?;
    // The steps after this one see the whole conversation.
    let stored = (&**config, gateway.recent());
    let conversation =
        recall::recall(stored, platform, &caller, &parts.headers, matched.index, &mut request)
            .await;
    if let Some(conversation) = &conversation {
        scope.set_header(recall::HEADER, conversation.turns().to_string());
    }
    let (request, conversation) = (request, conversation.map(Box::new));
    let moment = (platform.now(), platform.entropy());
    let fleet = gateway.fleet();
    let plan = Plan::select(config, matched, &caller, &request, &parts.headers, fleet, moment)?;
    scope.routed(matched.route, config.models.names(&request.request().model));
    if let Some(most) = config.observe.logged_content(matched.index) {
        scope.capture(Transcript::new(&request, most));
    }
    permit::parameters(&caller, &request)?;
    let services = (config, fleet, gateway.lists());
    let id = scope.record().id.clone();
    let guards = Inspector::post(services, platform, matched.index, &caller, &id).await;
    // A cached answer that the same guards have checked costs nothing.
    let watch = guards.as_ref().map_or_else(Vec::new, |guards| guards.fingerprint().to_vec());
    let same = (&request, &plan);
    let look = shelf::look(gateway.cache(), platform, &caller, &parts.headers, same, &watch).await;
    scope.looked_up(look.name());
    let (mut slot, charged_hit) = match look {
        Look::Off | Look::Bypass => (None, None),
        Look::Miss(slot) => (Some(slot), None),
        Look::Hit(hit) if hit.is_charged() => (None, Some(hit)),
        Look::Hit(hit) => {
            return Ok(Reply::Kept(hit, Keep { slot: None, conversation }));
        }
    };
    // Limits come after everything that refuses for free, and before everything that costs money.
    let subject = Subject {
        route: Some(matched.index),
        consumer: caller.id(),
        group: caller.group(),
        address,
        headers: &parts.headers,
        uri: &parts.uri,
    };
    let limits = (&**config, gateway.budgets());
    let (limit, admitted) = admission::admit(limits, subject, &request, plan, platform).await;
    scope.limited_by(limit);
    let Admitted { plan, reservation } = admitted?;
    scope.reserved(reservation);
    if let Some(hit) = charged_hit {
        let first = &plan.targets()[0];
        if hit.target == first.label() {
            scope.priced(first.price);
            return Ok(Reply::Kept(hit, Keep { slot: None, conversation }));
        }
        // The limits send the caller to another target than the one of the hit.
        scope.looked_up(Look::Bypass.name());
    }
    // Guards come after limits, since their services cost money too.
    let masked = match &guards {
        Some(guards) => guards.check_request(&request, scope).await?,
        None => None,
    };
    let most_output = scope.most_output();
    if let Some(slot) = &mut slot {
        slot.is_capped = most_output.is_some();
    }
    let ask = masked.as_ref().unwrap_or(&request);
    let line = Line { platform, config, fleet, ask, plan: &plan, most_output };
    let mut answer = line.call(scope).await?;
    let is_watched = match &guards {
        Some(guards) => guards.check_answer(&mut answer.answer, &request, scope).await?,
        None => false,
    };
    let guards = guards.filter(|_| is_watched).map(|guards| (guards, endpoint));
    let keep = Keep { slot, conversation };
    Ok(Reply::Answer(Served { answer, timeouts: matched.route.timeouts, guards, keep }))
}
