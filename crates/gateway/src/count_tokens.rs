//! Counts of a prompt's tokens: forwarded to a target whose provider counts, and never estimated.
//!
//! Guards check the prompt like that of any request, since it leaves the gateway. Limits do not apply: a count
//! costs nothing.

use bytes::Bytes;
use http::request::Parts;
use openai::Endpoint;
use protocol::listing::token_count;
use protocol::model::Protocol;
use protocol::request::BodyChanges;
use serde::Deserialize;

use crate::auth::access;
use crate::auth::caller::Caller;
use crate::error::{Error, Fault, Refusal};
use crate::gateway::Gateway;
use crate::guards::pipeline::GuardPipeline;
use crate::host::Host;
use crate::host::body::Body;
use crate::request::endpoint::InferenceCall;
use crate::request::parse::ParsedRequest;
use crate::request::read_body;
use crate::response::{Forwarded, Reply};
use crate::routing::matched_route::MatchedRoute;
use crate::routing::plan::{Candidate, TargetPlan};
use crate::telemetry::request_scope::RequestScope;
use crate::upstream::caller_upstreams::CallerUpstreams;
use crate::upstream::request::upstream_request;
use crate::upstream::response_tag::{StoredResponse, continued_response};
use crate::upstream::single_call::{CallBounds, call_once};

/// Maximum length of a count or of an error in its place, in bytes.
const MAX_COUNT_BYTES: usize = 64 << 10;
/// Statuses that are the caller's fault.
const CALLERS_FAULT: [u16; 3] = [400, 413, 422];

/// Counts the tokens of a prompt. A failure of the call says nothing about a target's health: some
/// providers count for few of their models.
pub(crate) async fn run<P: Host>(
    gateway: &Gateway,
    protocol: Protocol,
    (parts, body): (&Parts, &mut Body),
    caller: &Caller<'_>,
    scope: &mut RequestScope<P>,
) -> Result<Reply<P>, Error> {
    let host = &scope.host().clone();
    let config = gateway.shared_config();
    let bounds = gateway.body_bounds(caller, scope.began());
    let received = read_body::read_json_body(host, &parts.headers, body, bounds).await?;
    let call = InferenceCall { endpoint: Endpoint::ChatCompletions, protocol, deployment: None };
    let request = ParsedRequest::parse(&call, &parts.headers, received)?;
    scope.parsed(request.fields(), protocol);
    let matched = MatchedRoute::lookup(config, caller, &request.fields().model)?;
    let owner = caller.authenticated_id().unwrap_or_default();
    let continued = continued_response(config, matched.route, owner, &request)?;
    let matched = matched.bound_to(continued.as_ref().map(|stored| stored.provider));
    let upstreams = CallerUpstreams::new(gateway.upstreams(), caller.authenticated_id());
    let now_and_entropy = (host.now(), host.entropy());
    let plan = TargetPlan::select(
        config,
        matched,
        caller,
        &request,
        &parts.headers,
        &upstreams,
        now_and_entropy,
    )?;
    scope.routed(matched.route, config.models.has_exact(&request.fields().model));
    access::check_parameters(config, caller, matched.route, &request)?;
    let (services, id) = (gateway.guard_services(), scope.record().id.clone());
    let guards = GuardPipeline::for_request(services, host, matched.index, caller, &id).await;
    let masked = match &guards {
        Some(guards) => guards.check_request(&request, scope).await?,
        None => None,
    };
    let request = masked.as_ref().unwrap_or(&request);
    let mut has_counter = false;
    for candidate in plan.targets() {
        let call = counting_call(candidate, request, continued.as_ref(), &plan);
        let Some((candidate, body)) = call else { continue };
        has_counter = true;
        let key = match &continued {
            Some(stored) => Ok(Some(stored.key)),
            None => upstreams.next_key(candidate.provider_index, candidate.model, host.now()),
        };
        let Ok(key) = key else { continue };
        let headers = request.original().map(|original| original.headers.clone());
        let secret = key.map(|position| &candidate.provider.keys[position]);
        let call = upstream_request(&candidate, secret, body, false, &headers.unwrap_or_default());
        let bounds = CallBounds {
            wait: matched.route.timeouts.until_first_byte(false),
            max_bytes: MAX_COUNT_BYTES,
            callers_fault: &CALLERS_FAULT,
        };
        let answer = call_once(host, (candidate.label(), key), call, bounds, scope).await;
        let Ok((head, body)) = answer else { continue };
        let (body, protocol) = match head.status.is_success() {
            false => (body, candidate.protocol),
            true => {
                let count = read_count(&body);
                match count.and_then(|count| token_count(protocol, count)) {
                    Some(count) => (count.into(), protocol),
                    None => continue,
                }
            }
        };
        scope.answered_by(candidate.label());
        return Ok(Reply::Forwarded(Forwarded {
            status: head.status,
            body,
            protocol,
            tagger: None,
        }));
    }
    match has_counter {
        true => Err(Fault::Upstream.into()),
        false => Err(Refusal::NoTokenCount { model: request.fields().model.clone() }.into()),
    }
}

/// The call that counts at a target's provider. `None` if it has none.
fn counting_call<'c>(
    candidate: &Candidate<'c>,
    request: &ParsedRequest,
    continued: Option<&StoredResponse>,
    plan: &TargetPlan<'_>,
) -> Option<(Candidate<'c>, Bytes)> {
    let Candidate { provider, model, protocol, .. } = *candidate;
    let url = provider.count_url(protocol, model)?;
    let previous_response_id = continued.map(|stored| stored.id.as_str());
    let changes =
        BodyChanges { model: Some(model), previous_response_id, ..BodyChanges::default() };
    let own = match protocol == request.protocol() {
        true => request.own_body_for(provider, changes),
        false => None,
    };
    let body = match own {
        Some(body) => body,
        None => {
            let target = (provider, model);
            request.translate_count(target, protocol, plan.route()).ok()?.body_with(changes)
        }
    };
    Some((Candidate { url, ..*candidate }, body))
}

/// Reads a count in the form of Messages or Responses.
fn read_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    serde_json::from_slice::<Count>(body).ok().map(|count| count.input_tokens)
}
