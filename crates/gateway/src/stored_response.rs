//! Calls about responses that a provider stores: sent to the key that made them, for their consumer only.

use bytes::Bytes;
use config::{Config, Provider};
use http::Uri;
use http::request::Parts;
use openai::Endpoint;
use protocol::model::Protocol;

use crate::auth::access;
use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::request::endpoint::StoredResponseCall;
use crate::response::{Forwarded, Reply};
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::request::plain_request;
use crate::upstream::response_tag::{ResponseTagger, StoredResponse, find_stored};
use crate::upstream::single_call::{CallBounds, CallFailure, call_once};

/// Maximum length of a stored response, in bytes.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// Statuses that are the caller's fault.
const CALLERS_FAULT: [u16; 3] = [400, 404, 409];
/// Parameters that reach the provider (OpenAI API reference, "Get a model response", "List input items").
const FORWARDED_PARAMETERS: [&str; 5] = ["include", "include[]", "limit", "order", "after"];

/// Forwards a call about a stored response.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    call: StoredResponseCall,
    parts: &Parts,
    caller: &Caller<'_>,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let config = gateway.shared_config();
    let owner = caller.authenticated_id().unwrap_or_default();
    let not_found = || Refusal::StoredResponseNotFound { param: None };
    let stored = find_stored(config, owner, &call.id)
        .filter(|stored| may_use(config, caller, stored))
        .ok_or_else(not_found)?;
    let provider = config.provider(stored.provider);
    let url = url(provider, &stored, call.action, parts.uri.query()).ok_or_else(not_found)?;
    let key = Some(&provider.keys[stored.key]);
    let mut request = plain_request(provider, key, url, Bytes::new(), "application/json");
    *request.method_mut() = call.method;
    let bounds = CallBounds {
        wait: access::max_total_time(config, caller),
        max_bytes: MAX_RESPONSE_BYTES,
        callers_fault: &CALLERS_FAULT,
    };
    let label = format!("{}/{}", provider.id, stored.id);
    let answer = call_once(host, (label, Some(stored.key)), request, bounds, scope).await;
    let (head, body) = answer.map_err(|failure| match failure {
        CallFailure::Timeout => Fault::Timeout,
        CallFailure::NoAnswer => Fault::Upstream,
    })?;
    let tagger =
        head.status.is_success().then(|| ResponseTagger::new(provider, Some(stored.key), owner));
    let (status, protocol, tagger) =
        (head.status, Protocol::Responses, tagger.flatten().map(Box::new));
    Ok(Reply::Forwarded(Forwarded { status, body, protocol, tagger }))
}

/// Whether a route that the caller may use has the provider as a target.
fn may_use(config: &Config, caller: &Caller<'_>, stored: &StoredResponse) -> bool {
    config.routes_with_index().any(|(index, route)| {
        let mut targets = route.reachable_targets();
        caller.may_use(index) && targets.any(|target| target.provider == stored.provider)
    })
}

/// The URL of a stored response, with the parameters that reach the provider.
fn url(
    provider: &Provider,
    stored: &StoredResponse,
    action: &str,
    query: Option<&str>,
) -> Option<Uri> {
    let base = provider.url(Endpoint::ChatCompletions, Protocol::Responses, "")?.to_string();
    let (path, own_query) = base.split_once('?').unwrap_or((&base, ""));
    let is_forwarded = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default().replace("%5B%5D", "[]");
        FORWARDED_PARAMETERS.contains(&name.as_str())
    };
    let parameters = query.into_iter().flat_map(|query| query.split('&')).filter(is_forwarded);
    let own = Some(own_query).filter(|query| !query.is_empty());
    let query = own.into_iter().chain(parameters).collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{path}/{}{action}{mark}{query}", stored.id).try_into().ok()
}
