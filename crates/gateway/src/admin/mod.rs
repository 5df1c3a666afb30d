//! The admin plane: everything under `/admin/v1/`, and `/metrics`. Operators look at consumers, keys, limits, usage and
//! the audit log here, and change them.
//!
//! Every change is logged before it is made (`audit.rs` says why). No answer and no entry holds a key,
//! but for the one answer that hands a new key out.

mod audit;
mod body;
mod cache;
mod claim;
mod config;
mod consumer;
mod conversation;
mod key;
mod limit;
mod metrics;
mod operator;
mod page;
mod query;
mod reply;
mod router;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod verdict;
mod words;

use std::net::IpAddr;

use bytes::Bytes;
use http::Method;
use http::header::IF_MATCH;
use http::request::Parts;

use crate::body::Body;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::ids;
use crate::keys::{Directory, Pepper, Shelf};
use crate::platform::Platform;
use crate::rooms::permit;
use crate::rooms::recent::Recent;
use crate::rooms::respond;
use crate::secret::KeyDigest;
use crate::versions::Station;

use operator::Operator;
use query::Query;
use reply::{Answer, Failure};
use router::Action;

/// How every path of the admin plane begins. Nothing may stand before it.
pub const PREFIX: &str = "/admin/v1/";

/// What the admin plane works with.
#[derive(Clone, Copy, Debug)]
struct Desk<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The digest of `ADMIN_TOKEN`. Without it and without operators the admin plane is off.
    pub token: Option<&'a KeyDigest>,
    /// `KEY_PEPPER`. Without it no key can be issued.
    pub pepper: Option<&'a Pepper>,
    /// What this isolate remembers of keys.
    pub directory: &'a Directory,
    /// Where the gateway is kept, which a new configuration replaces. Without it there is one for ever.
    pub station: Option<&'a Station>,
    /// What this isolate has written a moment ago.
    pub recent: &'a Recent,
    /// From where the operator calls.
    pub address: Option<IpAddr>,
}

/// Whether a path is the admin plane's: what begins with [`PREFIX`], and `/metrics`, where Prometheus
/// looks for it.
pub fn owns(path: &str) -> bool {
    path.starts_with(PREFIX) || path == crate::metrics::PATH
}

/// Answers one request to a path that the admin plane [`owns`]. `station` is replaced by a new
/// configuration; without it the configuration cannot be changed.
pub(crate) async fn handle<P: Platform>(
    gateway: &Gateway,
    station: Option<&Station>,
    platform: P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let address = permit::address(gateway.config(), &parts);
    if let Err(refusal) = permit::from_anywhere(gateway.config(), address) {
        return respond::turn_away(&refusal);
    }
    let desk = Desk {
        config: gateway.config(),
        token: gateway.secrets().admin.as_ref(),
        pepper: gateway.secrets().pepper.as_ref(),
        directory: gateway.directory(),
        station,
        recent: gateway.recent(),
        address,
    };
    serve(desk, &platform, http::Request::from_parts(parts, body)).await
}

async fn serve<P: Platform>(
    desk: Desk<'_>,
    platform: &P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (parts, body) = request.into_parts();
    let id = ids::request_id(&parts.headers, platform);
    reply::deliver(answer(desk, platform, &parts, body, &id).await, &id)
}

/// An operator's request that may be done.
struct Call<'a, P> {
    desk: Desk<'a>,
    platform: &'a P,
    operator: Operator<'a>,
    request_id: &'a str,
    /// What stands in the path's variable parts.
    arguments: Vec<String>,
    query: Option<&'a str>,
    if_match: Option<&'a str>,
    body: Bytes,
}

async fn answer<P: Platform>(
    desk: Desk<'_>,
    platform: &P,
    parts: &Parts,
    body: Body,
    request_id: &str,
) -> Answer {
    if desk.token.is_none() && desk.config.operators.is_empty() {
        return Err(Failure::unknown_url());
    }
    // First of all: a stranger learns nothing of which paths there are.
    let operator = Operator::authenticate(desk, &parts.headers)?;
    if parts.uri.path() == crate::metrics::PATH {
        return metrics::read(platform, parts).await;
    }
    let (route, arguments) = router::find(&parts.method, parts.uri.path())?;
    operator.must_be(route.role)?;
    let body = match parts.method {
        Method::PUT => body::read(&parts.headers, body, body::MOST_OF_DOCUMENT).await?,
        Method::POST | Method::PATCH => body::read(&parts.headers, body, body::MOST).await?,
        _ => Bytes::new(),
    };
    let query = parts.uri.query();
    // One that is no text is that of no version.
    let if_match = parts.headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or_default());
    let call = Call { desk, platform, operator, request_id, arguments, query, if_match, body };
    match route.action {
        Action::Document => call.plain(reply::document()),
        Action::ListConsumers => consumer::list(&call).await,
        Action::CreateConsumer => consumer::create(&call).await,
        Action::ReadConsumer => consumer::read(&call).await,
        Action::ChangeConsumer => consumer::change(&call).await,
        Action::DeleteConsumer => consumer::delete(&call).await,
        Action::ListKeys => key::list(&call).await,
        Action::IssueKey => key::issue(&call).await,
        Action::ChangeKey => key::change(&call).await,
        Action::RevokeKey => key::revoke(&call).await,
        Action::ReadLimit => limit::read(&call).await,
        Action::AdjustLimit => limit::adjust(&call).await,
        Action::ReadConfig => config::read(&call).await,
        Action::PutConfig => config::put(&call).await,
        Action::ListVersions => config::list(&call).await,
        Action::ReadVersion => config::look(&call).await,
        Action::RestoreVersion => config::restore(&call).await,
        Action::Usage => usage::read(&call).await,
        Action::Audit => audit::list(&call).await,
        Action::Verdicts => verdict::list(&call).await,
        Action::PurgeCache => cache::purge(&call).await,
        Action::ListConversations => conversation::list(&call).await,
        Action::ForgetConversations => conversation::purge(&call).await,
        Action::ReadConversation => conversation::read(&call).await,
        Action::ForgetConversation => conversation::delete(&call).await,
        Action::ReadWords => words::read(&call).await,
        Action::PutWords => words::put(&call).await,
        Action::DeleteWords => words::delete(&call).await,
    }
}

impl<'a, P: Platform> Call<'a, P> {
    fn shelf(&self) -> Shelf<'a, P> {
        Shelf::new(self.platform, self.desk.directory)
    }

    /// What stands in a variable part of the path.
    fn argument(&self, position: usize) -> &str {
        &self.arguments[position]
    }

    fn query(&self, allowed: &[&'static str]) -> Result<Query, Failure> {
        Query::read(self.query, allowed)
    }

    /// An answer to a question that takes no parameters.
    fn plain(&self, answer: Answer) -> Answer {
        self.query(&[])?;
        answer
    }
}
