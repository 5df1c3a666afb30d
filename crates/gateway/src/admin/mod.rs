//! The admin API: everything under `/admin/v1/`, and `/metrics`. Operators read and change consumers,
//! keys, limits, usage, and the configuration.
//!
//! An audit entry is written before each change (see `audit.rs`). No response and no audit entry holds a
//! key, except for the response that returns a new key once.

mod audit;
mod auth;
mod bulk_delete;
mod cache;
mod config;
mod config_diff;
mod config_json;
mod consumer;
mod guard_check;
mod health;
mod history;
mod key;
mod key_expiring;
mod key_roll;
mod key_use;
mod kinds;
mod ledger_unit;
mod limit;
mod limit_adjust;
mod limit_list;
mod lock;
mod metrics;
mod pagination;
mod playground;
mod provider_test;
mod query;
mod request_body;
mod request_log;
mod requests;
mod response;
mod rollout;
mod route_match;
mod router;
mod secrets;
mod session;
mod session_cookie;
mod sign_in;
mod targets;
#[cfg(test)]
mod tests;
mod usage;
mod usage_query;
mod vault;
mod verdicts;
mod word_lists;

use std::net::IpAddr;
use std::rc::Rc;

use ::config::Config;
use auth::AuthenticatedOperator;
use bytes::Bytes;
use http::header::IF_MATCH;
use http::request::Parts;
use http::{Method, StatusCode};
use query::Query;
use response::{AdminError, AdminResult};
use router::Action;
use secret::KeyDigest;
use session_cookie::SessionCookie;

use crate::auth::access;
use crate::auth::keys::{KeyCache, KeyStore, Pepper};
use crate::auth::session::{SessionCache, SessionKey};
use crate::auth::wrong_tokens::WrongTokens;
use crate::error::Refusal;
use crate::gateway::Gateway;
use crate::host::Host;
use crate::host::body::Body;
use crate::host::recent_writes::RecentWrites;
use crate::live_config::ReloadingGateway;
use crate::request::client_ip;
use crate::request::{read_body, request_id};
use crate::rollouts::Rollouts;
use crate::vault::VaultKey;

/// Path prefix of the admin API.
pub(crate) const PREFIX: &str = "/admin/v1/";

/// State that the handlers of the admin API need.
#[derive(Clone, Copy, Debug)]
struct AdminContext<'a> {
    /// The gateway in force, for requests that operators make. `None` in tests of handlers without one.
    pub gateway: Option<&'a Rc<Gateway>>,
    pub config: &'a Config,
    /// Digest of `ADMIN_TOKEN`. Without it and without operators the admin API is disabled.
    pub token: Option<&'a KeyDigest>,
    /// `KEY_PEPPER`. `None` if it is not set: no key can be issued.
    pub pepper: Option<&'a Pepper>,
    /// Encrypts keys of providers. `None` without `VAULT_KEY`.
    pub vault_key: Option<&'a VaultKey>,
    /// This isolate's cache of issued keys.
    pub key_cache: &'a KeyCache,
    /// Receives a new configuration. `None` if the configuration cannot be changed.
    pub reloading_gateway: Option<&'a ReloadingGateway>,
    /// This isolate's knowledge about revoked sessions.
    pub session_cache: &'a SessionCache,
    /// This isolate's knowledge about wrong tokens.
    pub wrong_tokens: &'a WrongTokens,
    /// This isolate's recent writes, which the store may not show yet.
    pub recent_writes: &'a RecentWrites,
    /// Rollouts as this isolate knows them.
    pub rollouts: &'a Rc<Rollouts>,
    /// IP address of the operator.
    pub client_ip: Option<IpAddr>,
}

/// Whether a path belongs to the admin API: the prefix [`PREFIX`], and `/metrics`, the path that
/// Prometheus scrapes by default.
pub(crate) fn is_admin_path(path: &str) -> bool {
    path.starts_with(PREFIX) || path == crate::telemetry::metrics::PATH
}

/// Handles one request to an admin path. A new configuration goes to `reloading_gateway`; without it the
/// configuration cannot be changed.
pub(crate) async fn handle<P: Host>(
    gateway: &Rc<Gateway>,
    reloading_gateway: Option<&ReloadingGateway>,
    host: P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (parts, mut body) = request.into_parts();
    let address = client_ip::client_ip(gateway.config(), &parts);
    if let Err(refusal) = access::check_global_ip(gateway.config(), address) {
        read_body::drain_body(&host, &parts.headers, &mut body).await;
        return crate::response::unrecorded_error_response(&refusal);
    }
    if !gateway.config().admin_ip_access.allows(address) {
        read_body::drain_body(&host, &parts.headers, &mut body).await;
        return crate::response::unrecorded_error_response(&Refusal::AddressNotAllowed);
    }
    let context = AdminContext {
        gateway: Some(gateway),
        config: gateway.config(),
        token: gateway.secrets().admin_token.as_ref(),
        pepper: gateway.secrets().pepper.as_ref(),
        vault_key: gateway.secrets().vault.as_ref(),
        key_cache: gateway.key_cache(),
        reloading_gateway,
        session_cache: gateway.session_cache(),
        wrong_tokens: gateway.wrong_tokens(),
        recent_writes: gateway.recent_writes(),
        rollouts: gateway.rollouts(),
        client_ip: address,
    };
    handle_request(context, &host, http::Request::from_parts(parts, body)).await
}

async fn handle_request<P: Host>(
    context: AdminContext<'_>,
    host: &P,
    request: http::Request<Body>,
) -> http::Response<Body> {
    let (parts, mut body) = request.into_parts();
    let id = request_id::request_id(&parts.headers, host);
    let mut renewed = None;
    let result = dispatch(context, host, &parts, &mut body, &id, &mut renewed).await;
    read_body::drain_body(host, &parts.headers, &mut body).await;
    response::into_response(result, renewed, &id)
}

/// A request that is authenticated and permitted.
struct AdminRequest<'a, P> {
    context: AdminContext<'a>,
    host: &'a P,
    operator: AuthenticatedOperator<'a>,
    parts: &'a Parts,
    request_id: &'a str,
    /// Values of the path's variable parts.
    path_arguments: Vec<String>,
    if_match: Option<&'a str>,
    body: Bytes,
}

async fn dispatch<P: Host>(
    context: AdminContext<'_>,
    host: &P,
    parts: &Parts,
    body: &mut Body,
    request_id: &str,
    renewed: &mut Option<String>,
) -> AdminResult {
    if context.token.is_none() && context.config.operators.is_empty() {
        return Err(AdminError::unknown_url());
    }
    // Before routing: an unauthenticated client must not learn which paths exist.
    let operator = if router::is_sign_in(parts) {
        sign_in::authenticate(context, host, parts, body, request_id).await?
    } else {
        AuthenticatedOperator::authenticate(context, host, parts, request_id).await?
    };
    if let (Some(session), Some(pepper)) =
        (operator.renewed_session(host, &parts.headers), context.pepper)
    {
        let value = session::renew(host, &SessionKey::new(pepper), session);
        *renewed = Some(SessionCookie::for_request(parts).set(&value));
    }
    if parts.uri.path() == crate::telemetry::metrics::PATH {
        return metrics::get(host, context, parts).await;
    }
    let (route, arguments) = router::match_route(&parts.method, parts.uri.path())?;
    operator.require_role(route.role)?;
    let body = match parts.method {
        Method::PUT => {
            request_body::read_body(&parts.headers, body, request_body::MAX_CONFIG_BYTES).await?
        }
        Method::POST if route.action == Action::Try => {
            let max = context.config.server.max_body.min(request_body::MAX_CONFIG_BYTES);
            request_body::read_body(&parts.headers, body, max).await?
        }
        Method::POST | Method::PATCH => {
            request_body::read_body(&parts.headers, body, request_body::MAX_BODY_BYTES).await?
        }
        _ => Bytes::new(),
    };
    // A value that is not ASCII text matches no version.
    let if_match = parts.headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or_default());
    let request = AdminRequest {
        context,
        host,
        operator,
        parts,
        request_id,
        path_arguments: arguments,
        if_match,
        body,
    };
    match route.action {
        Action::Document => request.without_query(response::openapi()),
        Action::OpenSession => session::open(&request).await,
        Action::ReadSession => session::get(&request),
        Action::CloseSession => session::close(&request).await,
        Action::ListSessions => session::list(&request).await,
        Action::RevokeSession => session::revoke(&request).await,
        Action::RevokeSessions => session::revoke_all(&request).await,
        Action::ListConsumers => consumer::list(&request).await,
        Action::CreateConsumer => consumer::create(&request).await,
        Action::ReadConsumer => consumer::get(&request).await,
        Action::ChangeConsumer => consumer::patch(&request).await,
        Action::DeleteConsumer => consumer::delete(&request).await,
        Action::ListKeys => key::list(&request).await,
        Action::ReadKey => key::get(&request).await,
        Action::IssueKey => key::issue(&request).await,
        Action::ChangeKey => key::patch(&request).await,
        Action::RevokeKey => key::revoke(&request).await,
        Action::ListLimits => limit_list::list(&request).await,
        Action::ReadLimit => limit_list::get(&request).await,
        Action::ReadBalance => limit::get(&request).await,
        Action::AdjustLimit => limit_adjust::adjust(&request).await,
        Action::ReadConfig => config::get(&request).await,
        Action::PutConfig => config::put(&request).await,
        Action::ListVersions => config::list(&request).await,
        Action::ReadVersion => config::get_version(&request).await,
        Action::RestoreVersion => config::restore(&request).await,
        Action::FollowDeployed => config::follow(&request).await,
        Action::ReadSchema => config_diff::schema(&request),
        Action::DiffVersions => config_diff::diff(&request).await,
        Action::ListKinds => kinds::list(&request),
        Action::MatchRoute => route_match::get(&request).await,
        Action::ListTargets => targets::list(&request).await,
        Action::ListRequests => requests::list(&request).await,
        Action::CountRequests => requests::histogram(&request).await,
        Action::ReadRequest => requests::get(&request).await,
        Action::RollKey => key_roll::roll(&request).await,
        Action::ListExpiringKeys => key_expiring::list(&request).await,
        Action::CheckGuard => guard_check::check(&request).await,
        Action::TestProvider => provider_test::test(&request).await,
        Action::TestUnsavedProvider => provider_test::test_unsaved(&request).await,
        Action::ListModels => provider_test::models(&request).await,
        Action::Try => playground::send(&request).await,
        Action::ReadHealth => health::get(&request).await,
        Action::ListSecrets => secrets::list(&request).await,
        Action::ListVault => vault::list(&request).await,
        Action::PutVault => vault::put(&request).await,
        Action::DeleteVault => vault::delete(&request).await,
        Action::Usage => usage::get(&request).await,
        Action::Audit => audit::list(&request).await,
        Action::Verdicts => verdicts::list(&request).await,
        Action::SummarizeVerdicts => verdicts::summarize(&request).await,
        Action::PurgeCache => cache::purge(&request).await,
        Action::ListConversations => history::list(&request).await,
        Action::ForgetConversations => history::purge(&request).await,
        Action::ReadConversation => history::get(&request).await,
        Action::ForgetConversation => history::delete(&request).await,
        Action::ReadWords => word_lists::get(&request).await,
        Action::PutWords => word_lists::put(&request).await,
        Action::DeleteWords => word_lists::delete(&request).await,
        Action::ReadRollout => rollout::get(&request).await,
        Action::ChangeRollout => rollout::change(&request).await,
    }
}

impl<'a, P: Host> AdminRequest<'a, P> {
    /// The gateway in force.
    fn gateway(&self) -> Result<&'a Rc<Gateway>, AdminError> {
        self.context.gateway.ok_or_else(AdminError::unknown_url)
    }

    fn key_store(&self) -> KeyStore<'a, P> {
        KeyStore::new(self.host, self.context.key_cache)
    }

    /// Whether `If-Match` names this tag. A `W/` is ignored: a proxy that compresses a response adds it, and
    /// the content is the same.
    fn if_match_fits(&self, tag: &str) -> Result<bool, AdminError> {
        let Some(if_match) = self.if_match else {
            let message = "The header If-Match is missing: send the ETag of the state to replace.";
            let status = StatusCode::PRECONDITION_REQUIRED;
            return Err(AdminError::new(status, "precondition_required", message));
        };
        let fits = |one: &str| {
            let one = one.trim();
            one == "*" || one.strip_prefix("W/").unwrap_or(one).trim_matches('"') == tag
        };
        Ok(if_match.split(',').any(fits))
    }

    /// Returns the value of a variable part of the path.
    fn path_argument(&self, position: usize) -> &str {
        &self.path_arguments[position]
    }

    fn parse_query(&self, allowed: &[&'static str]) -> Result<Query, AdminError> {
        Query::parse(self.parts.uri.query(), allowed)
    }

    fn parse_repeatable(
        &self,
        allowed: &[&'static str],
        repeatable: &[&'static str],
    ) -> Result<Query, AdminError> {
        Query::parse_repeatable(self.parts.uri.query(), allowed, repeatable)
    }

    /// Returns `answer` if the request has no query parameters.
    fn without_query(&self, answer: AdminResult) -> AdminResult {
        self.parse_query(&[])?;
        answer
    }
}
