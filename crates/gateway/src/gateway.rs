//! The life of a request, from its head to its answer: the only place where the order of the steps
//! is written.

use std::cell::RefCell;
use std::rc::Rc;

use http::request::Parts;

use crate::body::Body;
use crate::config::Config;
use crate::error::Error;
use crate::ids;
use crate::observe::Entry;
use crate::platform::Platform;
use crate::policy::keyring::Keyring;
use crate::rooms::address::{Address, Api};
use crate::rooms::admit::Ask;
use crate::rooms::authenticate::Caller;
use crate::rooms::call::Line;
use crate::rooms::plan::Plan;
use crate::rooms::respond::{self, Reply};

/// A gateway with its configuration and what it remembers between requests. A host keeps one for as
/// long as it lives.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    /// One ring a provider, in the configuration's order.
    keyrings: RefCell<Vec<Keyring>>,
}

impl Gateway {
    /// Opens a gateway.
    pub fn new(config: Config) -> Rc<Self> {
        let keyrings =
            config.providers.iter().map(|provider| Keyring::new(provider.keys.len())).collect();
        Rc::new(Self { config, keyrings: RefCell::new(keyrings) })
    }

    /// Answers one request. Dropping the future, or the response's body before its end, means that
    /// the caller hung up.
    pub async fn handle<P: Platform>(
        self: &Rc<Self>,
        platform: P,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let api = match Address::read(&parts.method, parts.uri.path()) {
            // No record: a load balancer's question every second is nobody's request.
            Ok(Address::Health) => return respond::health(),
            Ok(Address::Api(api)) => Ok(api),
            Err(refusal) => Err(refusal),
        };
        let mut entry = Entry::open(platform.clone(), ids::request_id(&parts.headers, &platform));
        let reply = match api {
            Ok(api) => self.serve(api, &platform, &parts, body, &mut entry).await,
            Err(refusal) => Err(refusal.into()),
        };
        match reply {
            Ok(reply) => respond::deliver(reply, platform, entry),
            Err(error) => respond::refuse(&error, entry),
        }
    }

    /// The rooms, in their order.
    async fn serve<P: Platform>(
        &self,
        api: Api,
        platform: &P,
        parts: &Parts,
        body: Body,
        entry: &mut Entry<P>,
    ) -> Result<Reply, Error> {
        // Before the body is read: strangers must not make us work.
        let caller = Caller::authenticate(&self.config, &parts.headers)?;
        entry.record.consumer = Some(caller.id().to_owned());
        entry.record.group = caller.group().map(str::to_owned);
        entry.record.operation = Some(api.operation());
        let endpoint = match api {
            Api::Models => return Ok(Reply::models(&self.config, &caller)),
            Api::Answer(endpoint) => endpoint,
        };
        // The body is parsed once, here; everything after works on places in it.
        let ask = Ask::admit(endpoint, &parts.headers, body, self.config.server.max_body).await?;
        entry.record.model = Some(ask.request().model.clone());
        entry.record.stream = ask.request().stream;
        // What the caller may use is decided with the route, since permissions name routes.
        let plan = Plan::make(&self.config, &caller, &ask, &parts.headers, platform.entropy())?;
        entry.record.route = Some(plan.route().id.clone());
        // Last, since only this costs money.
        let line = Line { platform, keyrings: &self.keyrings, ask: &ask, plan: &plan };
        let answer = line.call(entry).await?;
        Ok(Reply::Answer(answer, plan.route().timeouts))
    }
}
